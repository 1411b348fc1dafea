"""Executing runs: made once, read after that; damage is made good, failures are kept apart."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import RobertaConfig, RobertaModel

from scalearn_lib import scaling_coefficients
from scalearn_lib.errors import UserError
from scalearn_lib.evidence import load_results
from scalearn_lib.grids.jobs import state
from scalearn_lib.methods import METHODS
from scalearn_lib.runs import Run, RunFailed, execute, execute_all, load_trained, making
from scalearn_lib.runs.result import Result
from scalearn_lib.runs.versions import code_version
from scalearn_lib.tasks.encoders import encoder_dir, load_tokenizer
from tests.stored import result_of, store

from ..tasks.mirror import write_mirror

ADAPTER = Run("toy", "toy_topic", "adapter", "tiny", budget="smoke")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder whose source adapters are trained once for the tests that only read them."""
    return tmp_path_factory.mktemp("outputs")


def modified(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_a_result_holds_what_its_readers_need(tmp_path: Path) -> None:
    result = execute(ADAPTER, tmp_path)
    assert result.run == ADAPTER
    assert result.status == "ok"
    assert result.metric in result.test and result.metric in result.validation
    assert result.sizes == {"train": 64, "validation": 32, "test": 32}
    assert 0 < result.selected_step <= result.steps == 4
    # 2 layers of 32 x 2 down and up with biases
    assert result.transfer_parameters == 2 * (32 * 2 + 2 + 2 * 32 + 32)
    assert result.trainable_parameters == result.transfer_parameters + 32 * 32 + 32 + 32 * 3 + 3
    assert set(result.versions) >= {"python", "torch", "transformers", "adapters"}
    assert result.seconds["total"] > 0 and result.peak_memory_mib > 0
    assert "adapter_config.json" in result.files


def test_a_second_execution_only_reads(tmp_path: Path) -> None:
    first = execute(ADAPTER, tmp_path)
    before = modified(tmp_path)
    assert execute(ADAPTER, tmp_path) == first
    assert modified(tmp_path) == before


def test_same_seed_same_numbers_and_another_seed_others(tmp_path: Path) -> None:
    first, again = execute(ADAPTER, tmp_path / "a"), execute(ADAPTER, tmp_path / "b")
    assert first.test == again.test and first.files == again.files
    other = execute(replace(ADAPTER, seed=1), tmp_path / "a")
    assert other.test["loss"] != first.test["loss"]


def test_runs_that_share_a_process_equal_runs_of_their_own(tmp_path: Path) -> None:
    few = Run("toy", "toy_score", "scalearn", "tiny", k=4, budget="smoke")
    runs = [few, replace(few, method="adapter_fusion"), replace(few, method="full"), replace(few, seed=1)]
    orders = {"forwards": execute_all(runs, tmp_path / "a"), "backwards": execute_all(runs[::-1], tmp_path / "b")[::-1]}
    code = f"from scalearn_lib.runs import Run, execute; execute({runs[-1]!r}, __import__('pathlib').Path('alone'))"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300, cwd=tmp_path)
    orders["alone"] = [*orders["forwards"][:-1], execute(runs[-1], tmp_path / "alone")]
    for results in orders.values():
        for one, other in zip(orders["forwards"], results, strict=True):
            for key in ("test", "validation", "history", "selected_step"):
                assert getattr(one, key) == getattr(other, key)
            assert {n: h for n, h in one.files.items() if n.endswith("safetensors")} == {
                n: h for n, h in other.files.items() if n.endswith("safetensors")
            }


def test_a_run_has_its_own_precision_whatever_ran_before_it(tmp_path: Path) -> None:
    half = replace(ADAPTER, overrides={"precision": "bf16"})
    first = execute(ADAPTER, tmp_path / "before")
    other = execute(half, tmp_path / "before")
    after = execute(ADAPTER, tmp_path / "after")
    assert (first.test, first.history) == (after.test, after.history) and first.test["loss"] != other.test["loss"]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random encoder of width 64: Compacter does not fit into tiny's 32."""
    folder = tmp_path_factory.mktemp("wide")
    load_tokenizer("tiny").save_pretrained(folder)
    config = RobertaConfig.from_pretrained(encoder_dir("tiny"), hidden_size=64, intermediate_size=64)
    RobertaModel(config).save_pretrained(folder)
    return str(folder)


def run_of(name: str, wide: str) -> Run:
    """A run of each method that small random encoders allow."""
    return replace(ADAPTER, method=name, encoder=wide if name == "compacter" else "tiny")


def logits_of(run: Run, output: Path) -> torch.Tensor:
    tokens = load_tokenizer("tiny")(["a storm over the sea", "the striker scores"], return_tensors="pt", padding=True)
    with torch.no_grad():
        return load_trained(run, output)(**tokens).logits


# toy has four sources
SMALL_SOUP = replace(METHODS["adapter_soup"], options={"top_k": 2, "sentences": 16})


@pytest.fixture
def small_soup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "adapter_soup", SMALL_SOUP)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_is_stored_and_comes_back(name: str, shared: Path, wide: str, small_soup: None) -> None:
    run = run_of(name, wide)
    result = execute(run, shared)
    assert result.status == "ok"
    logits = logits_of(run, shared)
    assert logits.shape == (2, 3) and torch.equal(logits, logits_of(run, shared))
    stored = next((run.weights(shared)).glob("*.safetensors"))
    assert stored.stat().st_size > 0
    assert not list((run.weights(shared)).glob("*.bin"))


def test_a_new_process_computes_the_same_logits_with_every_method(
    shared: Path, wide: str, small_soup: None, tmp_path: Path
) -> None:
    torch.save({name: logits_of(run_of(name, wide), shared) for name in METHODS}, tmp_path / "expected.pt")
    code = f"""
import torch
from pathlib import Path
from scalearn_lib.methods import METHODS
from tests.runs.test_execution import SMALL_SOUP, logits_of, run_of

METHODS["adapter_soup"] = SMALL_SOUP
expected = torch.load({str(tmp_path / "expected.pt")!r})
found = {{name: logits_of(run_of(name, {wide!r}), Path({str(shared)!r})) for name in METHODS}}
print([name for name in METHODS if not torch.equal(found[name], expected[name])])
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=root)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_model_can_be_asked_for_where_nothing_may_learn(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = load_trained(replace(ADAPTER, method="scalearn"), tmp_path)
        assert load_trained(ADAPTER, tmp_path) is not model
    assert not any(parameter.is_inference() for parameter in model.parameters())
    with torch.no_grad():
        assert execute(replace(ADAPTER, method="full"), tmp_path).status == "ok"


def test_training_moved_omega_and_only_it(shared: Path) -> None:
    model = load_trained(replace(ADAPTER, method="scalearn_uniform"), shared)
    omega = scaling_coefficients(model, "scalearn_uniform")
    assert omega.shape == (2, 4, 1)
    assert abs(omega - 0.5).max() > 0.005  # it started at 2/4, with noise of 0.001
    source = load_trained(ADAPTER, shared)
    for name, parameter in source.named_parameters():
        if ".adapters.toy_topic." in name:
            assert torch.equal(parameter, model.get_parameter(name))


@pytest.mark.parametrize("damage", ["{", "[]", '{"run": 1}', '{"run": [], "status": "ok", "files": {}, "seconds": 1}'])
def test_a_damaged_result_is_made_again_and_said_so(damage: str, tmp_path: Path, capsys) -> None:
    first = execute(ADAPTER, tmp_path)
    (ADAPTER.folder(tmp_path) / "result.json").write_text(damage)
    assert execute(ADAPTER, tmp_path).test == first.test
    assert "Made again" in capsys.readouterr().err


def test_a_truncated_source_adapter_is_made_again(tmp_path: Path, capsys) -> None:
    first = execute(ADAPTER, tmp_path)
    weights = next((ADAPTER.weights(tmp_path)).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    execute(replace(ADAPTER, method="scalearn_uniform_pp"), tmp_path)
    assert "damaged" in capsys.readouterr().err
    assert execute(ADAPTER, tmp_path).files == first.files


def test_the_result_of_another_encoder_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5, encoder="my/tiny")
    for use in (execute, state):
        with pytest.raises(UserError, match="holds the result of the encoder 'my/tiny', not of 'my--tiny': rename one"):
            use(replace(ADAPTER, encoder="my--tiny"), tmp_path)


def test_a_trained_model_is_not_put_together_with_other_source_adapters(tmp_path: Path) -> None:
    run = replace(ADAPTER, method="scalearn")
    load_trained(run, tmp_path)
    source = replace(ADAPTER, task="toy_pair")
    shutil.rmtree(source.folder(tmp_path))
    longer = execute(replace(source, overrides={"max_steps": 3}), tmp_path)  # as if the code had changed
    made = replace(source, overrides={"max_steps": 3}).folder(tmp_path)
    as_if = {"run": source, "settings": source.settings()}
    (made / "result.json").write_text(longer.model_copy(update=as_if).model_dump_json())
    made.rename(source.folder(tmp_path))
    assert execute(run, tmp_path).status == "ok"
    with pytest.raises(UserError, match="was made with another source adapter 'toy_pair' than the one in"):
        load_trained(run, tmp_path)


def test_nan_loss_is_stored_as_failed_and_enters_no_table(tmp_path: Path) -> None:
    wild = replace(ADAPTER, overrides={"learning_rate": 1e30})
    with pytest.raises(RunFailed, match="loss is .* at step|is nan|is inf") as error:
        execute(wild, tmp_path)
    assert "\n" not in str(error.value)
    stored = json.loads((wild.folder(tmp_path) / "result.json").read_text())
    assert stored["status"] == "failed" and stored["error"]
    assert load_results(tmp_path).empty


def test_many_runs_go_on_after_a_failure(tmp_path: Path, capsys) -> None:
    wild = replace(ADAPTER, overrides={"learning_rate": 1e30})
    results = execute_all([wild, ADAPTER], tmp_path)
    assert [r.run for r in results] == [ADAPTER]
    assert "failed" in capsys.readouterr().err


def test_results_of_different_code_are_not_mixed_without_a_word(tmp_path: Path, capsys) -> None:
    execute_all([ADAPTER], tmp_path)
    assert "different code" not in capsys.readouterr().err
    store(tmp_path, "toy_pair", "adapter", 0, 0.5, made_from={"code": "aaaa"})
    execute_all([ADAPTER, replace(ADAPTER, task="toy_pair")], tmp_path)
    assert f"made by different code ({', '.join(sorted([code_version(), 'aaaa']))})" in capsys.readouterr().err


def test_a_failing_source_adapter_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    tried = []

    def failing(run: Run, output: Path, need: str = "scores") -> Result:
        tried.append(run)
        if run.task == "toy_pair":
            raise RunFailed(f"{run} failed: no reason.")
        return result_of(run, 0.5)

    monkeypatch.setattr("scalearn_lib.runs.execution.execute", failing)
    runs = [replace(ADAPTER, method="scalearn", seed=seed) for seed in range(3)]
    assert [result.run for result in execute_all([*runs, ADAPTER], tmp_path)] == [ADAPTER]
    assert len(tried) == 4 and sum(run.task == "toy_pair" for run in tried) == 1
    assert capsys.readouterr().err.count("is left out: toy/toy_pair adapter seed 0 (tiny, smoke) failed") == 3


def test_models_do_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = weakref.WeakSet()
    load = making.load_model
    monkeypatch.setattr(making, "load_model", lambda name: models.add(model := load(name)) or model)
    for seed in range(3):
        execute_all([replace(ADAPTER, seed=seed)], tmp_path)
    gc.collect()
    assert not models


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scalearn_lib.runs.making.train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        execute(ADAPTER, tmp_path)
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]  # free, for the next maker


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to .*choose another output folder"):
        execute(ADAPTER, tmp_path / "file")


def test_few_shot_runs_train_on_k_examples(tmp_path: Path) -> None:
    result = execute(replace(ADAPTER, k=6, seed=1), tmp_path)
    assert result.sizes["train"] == 6
    drawn = result.few_shot
    assert len(set(drawn.indices)) == 6 and len(drawn.sha256) == 64 and drawn.sampling == "resampled"
    other = execute(replace(ADAPTER, k=6, seed=2), tmp_path).few_shot
    assert other.indices != drawn.indices and other.sha256 != drawn.sha256
    official = [execute(replace(ADAPTER, k=6, seed=s, sampling="official"), tmp_path).few_shot for s in (1, 2)]
    assert official[0] == official[1] and official[0].indices == list(range(6))


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.mark.parametrize(
    "name", ["glue/mnli", "superglue/copa", "superglue/record", "superglue/multirc", "humset/pillars_2d"]
)
def test_every_kind_of_task_trains_and_is_scored(
    name: str, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    suite, task = name.split("/")
    run = Run(suite, task, "scalearn_uniform_pp", "tiny", budget="smoke", source_tasks=(task,))
    result = execute(run, tmp_path)
    assert result.status == "ok" and 0 <= result.test[result.metric] <= 1
    expected = {
        "mnli": {"accuracy", "accuracy_mismatched"},
        "copa": {"accuracy"},
        "record": {"answer_f1", "exact_match", "accuracy"},
        "multirc": {"f1", "exact_match", "accuracy"},
        "pillars_2d": {"f1_macro", "f1_micro"},
    }[task]
    assert expected <= set(result.test)
    if task == "record":
        assert result.sizes["test"] % 3 == 0  # whole questions
    again = load_trained(run, tmp_path)
    assert not again.training


def test_selecting_on_test_repeats_what_the_paper_did_on_record(tmp_path: Path) -> None:
    result = execute(replace(ADAPTER, overrides={"select_on": "test"}), tmp_path)
    assert result.validation["loss"] == pytest.approx(result.test["loss"], abs=1e-5)
