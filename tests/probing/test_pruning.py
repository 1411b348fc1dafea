"""Leaving sources out: which are kept, what of them is kept, their scores, and where these lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from scalearn_lib import ScaLearnConfig
from scalearn_lib.composition.reading import transfer_layers
from scalearn_lib.errors import UserError, say_once
from scalearn_lib.methods import get_method
from scalearn_lib.probing import pruning
from scalearn_lib.probing.pruning import kept_block, prune
from scalearn_lib.probing.pruning_store import (
    REPAIR_STEPS,
    TYPES,
    keep_pruned,
    load_pruned,
    pruned_file,
    read_pruned,
    write_pruned,
)
from scalearn_lib.probing.source_sizes import source_sizes
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.runs.data import splits_of, tokenizer_of
from scalearn_lib.tasks import get_task
from tests.runs.test_own_runs import suite_file

TASK = get_task("toy", "toy_topic")
WHERE = ("toy", "tiny", "smoke")


def run_of(method: str = "scalearn", **more: object) -> Run:
    return Run("toy", "toy_topic", method, "tiny", budget="smoke", **more)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, in which a run of ScaLearn has been pruned."""
    folder = tmp_path_factory.mktemp("outputs")
    prune(run_of(), kept=(1, 2), output=folder)
    return folder


@pytest.fixture
def model(output: Path) -> Iterator[nn.Module]:
    yield load_trained(run_of(), output)


def by_hand(model: nn.Module, rows) -> dict[str, float]:
    """Mean |ω| |o| of each source, text by text without any padding, from what the adapters' own modules give."""
    places = transfer_layers(model, model.active_adapters)
    given: dict[tuple[str, str], torch.Tensor] = {}
    hooks = []
    for place, module, layer in places:
        layer.config = ScaLearnConfig.load(layer.config, fused=False)  # else the adapters' modules do not run
        for source in layer.sources:
            up, key = module.adapters[source].adapter_up, (place, source)
            hooks.append(up.register_forward_hook(lambda _, __, o, key=key: given.update({key: o})))
    sums, tokens = dict.fromkeys(places[0][2].sources, 0.0), 0
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))
        tokens += ids.numel()
        for place, _, layer in places:
            for omega, source in zip(layer.owner.omega, layer.sources, strict=True):
                sums[source] += (omega.abs() * given[place, source].abs()).mean(-1).sum().item() / len(places)
    for hook in hooks:
        hook.remove()
    return {source: value / tokens for source, value in sums.items()}


def test_sources_are_ranked_by_what_they_add(model: nn.Module, output: Path) -> None:
    rows = splits_of(run_of(), TASK)[0]["train"].select(range(40))
    assert len({len(ids) for ids in rows["input_ids"]}) > 1  # so that there is padding
    before = torch.get_rng_state()
    sizes = source_sizes(model, model.active_adapters, TASK, tokenizer_of("tiny"), rows)
    assert torch.equal(before, torch.get_rng_state())
    assert all(layer.config.fused and "loop" not in vars(layer) for _, _, layer in transfer_layers(model, "scalearn"))
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes.to_dict() == pytest.approx(by_hand(model, rows), rel=1e-4)
    assert len(set(sizes.round(6))) == len(sizes)
    stored = prune(run_of(), (1, 2), output=output)
    train = splits_of(run_of(), TASK)[0]["train"]
    assert len(train) == pruning.ROWS
    ranking = [
        *source_sizes(load_trained(run_of(), output), model.active_adapters, TASK, tokenizer_of("tiny"), train).index
    ]
    assert [text.split() for text in stored["sources"]] == [ranking[:n] for n in stored["kept"]]


def test_a_source_of_no_size_is_the_last_to_be_kept(model: nn.Module) -> None:
    rows = splits_of(run_of(), TASK)[0]["train"].select(range(8))
    with torch.no_grad():
        for _, _, layer in transfer_layers(model, "scalearn"):
            layer.owner.omega[0] = 0.0
            layer.owner.omega[2] *= -50.0  # the sign does not count
    sizes = source_sizes(model, model.active_adapters, TASK, tokenizer_of("tiny"), rows)
    names = model.active_adapters.sources
    assert sizes.index[0] == names[2] and sizes.index[-1] == names[0] and sizes.iloc[-1] == 0


def test_all_sources_as_they_are_have_the_runs_own_score(output: Path) -> None:
    table = prune(run_of(), (1, 2), output=output)
    result, count = execute(run_of(), output), len(run_of().sources())
    assert [*zip(table["kept"], table["repaired"], strict=True)] == [
        (1, False), (1, True), (2, False), (2, True), (count, False), (count, True)
    ]  # fmt: skip
    everything = table[(table["kept"] == count) & ~table["repaired"]].iloc[0]
    assert everything["score"] == pytest.approx(result.score, abs=1e-6)
    assert everything["validation"] == pytest.approx(result.validation[result.metric], abs=1e-6)
    assert (table["of"] == count).all() and (table["steps"] == table["repaired"] * 4).all()  # as the budget has
    adapter = next(iter(load_trained(run_of(), output).get_adapter("toy_topic")[0].values()))
    assert (table["width"] == table["kept"] * adapter.adapter_up.in_features).all()
    assert table["k"].isna().all() and set(table["method"]) == {"scalearn"} and table["score"].between(0, 1).all()


@pytest.mark.parametrize(
    "method", ["scalearn", "scalearn_uniform_pp", "scalearn_softmax", "scalearn_from_target", "scalearn_blocks_2"]
)
def test_the_kept_sources_have_the_rows_that_were_learned(method: str, output: Path) -> None:
    model = load_trained(run_of(method), output)
    block = model.active_adapters
    learned = [layer.owner.omega.detach().clone() for _, _, layer in transfer_layers(model, block)]
    head = {name: p.clone() for name, p in model.heads.named_parameters()}
    chosen = [block.sources[2], block.sources[0]]
    setup = kept_block(model, block, chosen)
    assert setup.sources == [block.sources[0], block.sources[2]] and model.active_adapters == setup
    for (_, _, layer), before in zip(transfer_layers(model, setup), learned, strict=True):
        assert torch.equal(layer.owner.omega, before[[0, 2]])
    assert all(torch.equal(p, head[name]) for name, p in model.heads.named_parameters())
    model.train_adapter_fusion(setup)
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    assert all("scalearn" in name and "_kept" in name for name in names if not name.startswith("heads."))
    assert any(name.startswith("heads.") for name in names)


@pytest.mark.parametrize(
    "method", ["scalearn_uniform_pp", "scalearn_from_target", "scalearn_low_rank", "scalearn_lora"]
)
@torch.inference_mode()  # whoever calls: repairs learn
def test_variants_can_be_pruned(method: str, output: Path) -> None:
    run = run_of(method, k=4, seed=1)
    table = prune(run, (1,), 2, output)
    assert [*table["kept"]] == [1, 1, 4, 4] and (table["k"] == 4).all()
    assert table["score"].iloc[2] == pytest.approx(execute(run, output).score, abs=1e-6)
    assert table["width"].iloc[2] == 4 * table["width"].iloc[0]


def test_what_is_stored_is_read(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, file = prune(run_of(), (1, 2), output=output), pruned_file(output, run_of())
    assert file.relative_to(output).as_posix() == "pruning/toy/tiny/smoke/scalearn/toy_topic/seed0.csv"
    before = file.read_bytes()
    monkeypatch.setattr(pruning, "train", None)
    again = prune(run_of(), (2,), output=output)
    assert file.read_bytes() == before and [*file.parent.glob("*.csv")] == [file]
    pd.testing.assert_frame_equal(again, first[first["kept"] > 1].reset_index(drop=True))


def test_further_numbers_are_added_and_other_repairs_are_made(output: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").symlink_to(output / "toy")
    run = run_of()
    prune(run, (1,), output=tmp_path)
    added = prune(run, (3,), output=tmp_path)
    assert [*added["kept"].unique()] == [3, 4]
    usual = load_pruned(tmp_path, *WHERE)
    assert [*usual["kept"].unique()] == [1, 3, 4]
    other = prune(run, (1,), 2, tmp_path)
    assert (other["repair_steps"] == 2).all() and pruned_file(tmp_path, run, 2).name == "seed0-repair2.csv"
    pd.testing.assert_frame_equal(load_pruned(tmp_path, *WHERE), usual)  # which claims read: as it was, and alone
    pd.testing.assert_frame_equal(prune(run, (1,), 2, tmp_path), other)
    table = pd.read_csv(pruned_file(tmp_path, run, 2), dtype=str).assign(weights="other")
    table.to_csv(pruned_file(tmp_path, run, 2), index=False)
    assert "other" not in {*prune(run, (1,), 2, tmp_path)["weights"]}  # the run was made again since


def test_repairs_can_be_repeated(output: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").symlink_to(output / "toy")
    again = prune(run_of(), (1, 2), output=tmp_path)
    pd.testing.assert_frame_equal(
        again.drop(columns="seconds"), prune(run_of(), (1, 2), output=output).drop(columns="seconds")
    )


def test_a_damaged_table_is_named_left_out_and_made_again(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy").symlink_to(output / "toy")
    file = pruned_file(tmp_path, run_of())
    file.parent.mkdir(parents=True)
    whole = pruned_file(output, run_of()).read_text()
    for number, text in enumerate(
        ("", "kept,score\n1,0.5\n", whole[: len(whole) - 20], whole.replace("True", "perhaps"))
    ):
        damaged = file.with_name(f"seed{number}.csv")
        damaged.write_text(text)
        frame = load_pruned(tmp_path, *WHERE)
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and str(damaged) in said[0]
        assert frame.empty and [*frame.columns] == [*TYPES] and (~frame["repaired"]).sum() == 0
    assert len(prune(run_of(), (1,), output=tmp_path)) == 4
    assert [*load_pruned(tmp_path, *WHERE)["kept"].unique()] == [1, 4]


def test_the_reference_study_is_read_where_ones_own_is_not_there(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, own = tmp_path / "reference", tmp_path / "own"
    (line,) = keep_pruned([run_of(), run_of(seed=9)], output, reference)
    assert str(pruned_file(reference, run_of())) in line
    monkeypatch.setenv("SCALEARN_REFERENCE", str(reference))
    monkeypatch.setattr(pruning, "execute", None)
    pd.testing.assert_frame_equal(prune(run_of(), (1, 2), output=own), prune(run_of(), (1, 2), output=output))
    assert len(load_pruned(own, *WHERE)) == 6 and not own.exists()
    other = pruned_file(own, run_of())
    other.parent.mkdir(parents=True)
    other.write_text(pruned_file(reference, run_of()).read_text().replace(",False,", ",True,"))
    assert load_pruned(own, *WHERE)["repaired"].all()
    shorter = other.read_text().replace(f",{REPAIR_STEPS},", ",3,")  # as it lay there once
    other.write_text(shorter)
    assert set(load_pruned(own, *WHERE)["repair_steps"]) == {REPAIR_STEPS}
    assert keep_pruned([run_of()], own, reference) == [] and shorter != pruned_file(reference, run_of()).read_text()


def test_a_shorter_table_does_not_replace_what_is_kept_of_the_same_weights(output: Path, tmp_path: Path) -> None:
    whole = read_pruned(pruned_file(output, run_of()))
    reference, own = tmp_path / "reference", tmp_path / "own"
    keep_pruned([run_of()], output, reference)
    few = whole[whole["kept"] == 2].assign(score=0.25)
    for weights, rows in ((whole["weights"].iloc[0], len(whole)), ("other", len(few))):
        write_pruned(few.assign(weights=weights), pruned_file(own, run_of()))
        keep_pruned([run_of()], own, reference)
        kept = read_pruned(pruned_file(reference, run_of()))
        assert len(kept) == rows and set(kept.loc[kept["kept"] == 2, "score"]) == {0.25}


def test_tables_of_a_users_earlier_data_do_not_count(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stored(words: str, score: float) -> pd.DataFrame:
        run = Run(suite_file(tmp_path, words), "first", "scalearn", "tiny", budget="smoke")
        about = {"suite": run.suite, "task": run.task, "score": score}
        write_pruned(read_pruned(pruned_file(output, run_of())).assign(**about), pruned_file(tmp_path, run))
        return load_pruned(tmp_path, "notes", "tiny", "smoke")

    say_once.cache_clear()
    assert set(stored("ward", 0.5)["score"]) == {0.5} and not capsys.readouterr().err
    assert set(stored("other", 0.75)["score"]) == {0.75}
    assert "1 tables of 'notes' with fewer sources are left out: they were made from other" in capsys.readouterr().err
    assert len([*tmp_path.glob("pruning/notes/tiny/smoke/scalearn/first@*/seed0.csv")]) == 2


@pytest.mark.parametrize("method", ["adapter_fusion", "polytropon", "adapter"])
def test_a_method_without_coefficients_is_told_in_a_sentence(method: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prune(run_of(method), output=tmp_path)
    text = str(error.value)
    assert get_method(method).title in text and text.endswith(".") and text.count(". ") == 0
    assert not [*tmp_path.iterdir()]  # nothing was trained for it


@pytest.mark.parametrize(("kept", "steps"), [((0,), 60), ((True,), 60), ((1.5,), 60), ((1,), 0)])
def test_numbers_are_whole_ones(kept: tuple, steps: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="whole numbers of at least 1"):
        prune(run_of(), kept, steps, tmp_path)


def test_a_repair_that_diverges_is_told_in_a_sentence(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy").symlink_to(output / "toy")

    def diverge(*_: object) -> None:
        raise pruning.Diverged("loss is nan at step 1")

    monkeypatch.setattr(pruning, "train", diverge)
    with pytest.raises(UserError, match="cannot be scored with fewer sources: loss is nan"):
        prune(run_of(), output=tmp_path)
    assert not pruned_file(tmp_path, run_of()).exists()
