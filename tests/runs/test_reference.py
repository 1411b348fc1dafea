"""The reference study: results in a second place are read like one's own, and never made again or changed."""

from __future__ import annotations

import lzma
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalearn_lib.errors import UserError, say_once
from scalearn_lib.evidence import load_results, suite_results
from scalearn_lib.grids.jobs import make_jobs, remaining, state
from scalearn_lib.paths import reference_dir
from scalearn_lib.runs import Run, execute, load_trained, making, stored_results, weights_of
from scalearn_lib.runs.reference import HISTORY, keep, reference_result, reference_results
from scalearn_lib.runs.result import read_result, write_result
from tests.grids.helpers import study
from tests.stored import result_of, store

ADAPTER = Run("toy", "toy_topic", "adapter", "tiny", budget="smoke")
SCALEARN = replace(ADAPTER, method="scalearn", source_tasks=("toy_topic", "toy_pair"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference study of two source adapters and a run on them."""
    output, reference = tmp_path_factory.mktemp("outputs"), tmp_path_factory.mktemp("reference")
    execute(SCALEARN, output)
    lines = keep([*SCALEARN.sources().values(), SCALEARN], output, reference)
    assert len(lines) == 3 and "1 results, 1 of them from" in lines[-1]
    return reference


@pytest.fixture
def reference(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(kept))
    say_once.cache_clear()
    return kept


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_it_holds_adapters_without_heads_and_scores(kept: Path) -> None:
    names = {file.relative_to(kept).as_posix() for file in files(kept)}
    folders = [f"toy/tiny/smoke/adapter/{task}/seed0" for task in SCALEARN.source_tasks]
    inside = ("result.json", "weights/adapter_config.json", "weights/adapter.safetensors")
    assert names == {f"{folder}/{name}" for folder in folders for name in inside} | {"toy.jsonl.xz"}


def test_what_it_has_is_read_and_not_made_again(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(making, "train", None)  # training would fail
    before = files(reference)
    result = execute(SCALEARN, tmp_path)
    assert result.run == SCALEARN and execute(ADAPTER, tmp_path).run == ADAPTER
    assert capsys.readouterr().err.count("reference study") == 1
    assert not list(tmp_path.iterdir()) and files(reference) == before
    assert set(load_results(tmp_path)["method"]) == {"adapter", "scalearn"}
    assert weights_of(ADAPTER, tmp_path) == ADAPTER.weights(reference)


def test_new_runs_build_on_its_adapters(reference: Path, tmp_path: Path) -> None:
    result = execute(replace(SCALEARN, seed=1), tmp_path)
    assert result.source_weights == reference_result(SCALEARN).source_weights
    assert not ADAPTER.folder(tmp_path).exists()


def test_what_a_run_learned_is_made_where_only_scores_are_there(reference: Path, tmp_path: Path) -> None:
    model = load_trained(SCALEARN, tmp_path)
    assert model.active_adapters and (SCALEARN.folder(tmp_path) / "result.json").exists()


def test_ones_own_results_come_first(reference: Path, tmp_path: Path) -> None:
    folder = store(tmp_path, "toy_topic", "adapter", 0, 0.123)
    assert execute(ADAPTER, tmp_path).score == 0.123
    shown = load_results(tmp_path, method="adapter", task="toy_topic")
    assert list(shown["score"]) == [0.123] and list(shown["folder"]) == [str(folder)]


def test_ones_own_result_of_other_settings_does_not_hide_the_one_that_is_read(reference: Path, tmp_path: Path) -> None:
    settings = replace(ADAPTER.settings(), max_steps=3)
    store(tmp_path, "toy_topic", "adapter", 0, 0.123, made_from={"settings": settings})
    (read,) = stored_results([ADAPTER], tmp_path)
    shown = suite_results(tmp_path, "toy", method="adapter", task="toy_topic")
    assert list(shown["score"]) == [read.score] != [0.123]


def test_it_can_be_left_out(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", "")
    assert reference_result(ADAPTER) is None and load_results(tmp_path).empty


def test_a_grid_makes_what_it_lacks(reference: Path, tmp_path: Path) -> None:
    few = replace(SCALEARN, k=4)
    jobs = make_jobs(study(SCALEARN, few))
    left = [item for job in remaining(jobs, tmp_path) for item in job.items]
    assert set(left) == {few, few.sources()["toy_topic"]}
    assert state(SCALEARN, tmp_path) == "complete" and state(SCALEARN, tmp_path, "weights") == "missing"


def test_of_an_adapter_known_by_its_score_the_weights_are_missing_where_something_builds_on_it(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(SCALEARN, k=4)
    own = few.sources()["toy_topic"]
    store(tmp_path / "made", "toy_topic", "adapter", 0, 0.5, k=4)
    place = tmp_path / "reference"
    keep([own], tmp_path / "made", place)
    monkeypatch.setenv("SCALEARN_REFERENCE", str(place))
    assert state(own, tmp_path) == "complete"
    assert remaining(make_jobs(study(own)), tmp_path) == []
    assert own in {item for job in remaining(make_jobs(study(own, few)), tmp_path) for item in job.items}


def test_damage_is_named_once_and_counts_as_nothing(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    good = lzma.decompress((kept / "toy.jsonl.xz").read_bytes())
    for number, content in enumerate((b"no archive", lzma.compress(b"{}\n" + good))):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "toy.jsonl.xz").write_bytes(content)
        monkeypatch.setenv("SCALEARN_REFERENCE", str(place))
        assert (reference_result(SCALEARN) is not None) == (number == 1)
        assert "Left out of the reference study" in capsys.readouterr().err
    folder = ADAPTER.folder(tmp_path / "2")
    write_result(folder_of(folder), result_of(ADAPTER, 0.5, files={"adapter.safetensors": "00"}))
    monkeypatch.setenv("SCALEARN_REFERENCE", str(tmp_path / "2"))
    assert reference_result(ADAPTER) is None and "missing or damaged" in capsys.readouterr().err


def folder_of(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_what_others_build_on_is_kept_with_its_adapter(tmp_path: Path) -> None:
    few = replace(ADAPTER, k=4, seed=1)
    store(tmp_path / "made", "toy_topic", "adapter", 1, 0.5, k=4)
    few.weights(tmp_path / "made").mkdir()
    assert keep([few], tmp_path / "made", tmp_path / "kept", {few}) == [f"{few}: {few.folder(tmp_path / 'kept')}"]
    assert few.weights(tmp_path / "kept").is_dir() and not (tmp_path / "kept" / "toy.jsonl.xz").exists()


def test_a_run_to_look_at_is_kept_with_all_that_it_learned(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, reference = tmp_path / "made", tmp_path / "reference"
    shutil.copytree(kept, reference)
    monkeypatch.setenv("SCALEARN_REFERENCE", str(reference))
    execute(SCALEARN, output, "weights")
    (line,) = keep([SCALEARN], output, reference, with_weights={SCALEARN})[:1]
    assert (
        line == f"{SCALEARN}: {SCALEARN.folder(reference)}"
        and not lzma.decompress((reference / "toy.jsonl.xz").read_bytes()).strip()
    )  # no result is there twice
    state = load_trained(SCALEARN, tmp_path / "none").state_dict()
    assert not (tmp_path / "none").exists()
    made = load_trained(SCALEARN, output).state_dict()
    assert all(torch.equal(state[name], made[name]) for name in made)


def test_damaged_results_are_not_kept_and_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    say_once.cache_clear()
    output, reference = tmp_path / "made", tmp_path / "reference"
    topic, pair, full = ADAPTER, replace(ADAPTER, task="toy_pair"), replace(ADAPTER, method="full")
    for run in (topic, pair, full, replace(full, seed=1)):
        store(output, run.task, run.method, run.seed, 0.5)
    topic.weights(output).mkdir()
    write_result(pair.folder(output), result_of(pair, 0.5, files={"adapter.safetensors": "00"}))
    (full.folder(output) / "result.json").write_text("{")
    lines = keep([topic, pair, full, replace(full, seed=1)], output, reference)
    assert [line.partition(":")[0] for line in lines] == [str(topic), f"1 results, 1 of them from {output}"]
    assert not pair.folder(reference).exists()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith("Not kept: ") for line in said)
    assert "missing or damaged" in said[0] and str(full.folder(output)) in said[1]


def test_scores_leave_the_file_where_the_adapter_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, reference = tmp_path / "made", tmp_path / "reference"
    few = replace(ADAPTER, k=4, seed=1)
    store(output, "toy_topic", "adapter", 1, 0.5, k=4)
    few.weights(output).mkdir()
    keep([few], output, reference)
    keep([few], output, reference, with_adapters={few})
    monkeypatch.setenv("SCALEARN_REFERENCE", str(reference))
    assert len(list(reference_results())) == 1 and not lzma.decompress((reference / "toy.jsonl.xz").read_bytes())


def test_keeping_adds_and_thins(tmp_path: Path) -> None:
    output, reference = tmp_path / "outputs", tmp_path / "reference"
    long = [{"step": float(step), "loss": 1.0} for step in range(10 * HISTORY)]
    for seed in (1, 2):
        store(output, "toy_topic", "full", seed, seed / 10, made_from={"history": long})
    runs = [replace(ADAPTER, method="full", seed=seed) for seed in (1, 2)]
    keep(runs[:1], output, reference)
    keep(runs[1:], output, reference)
    keep(runs[1:], output, reference)
    lines = lzma.decompress((reference / "toy.jsonl.xz").read_bytes()).splitlines()
    assert len(lines) == 2 and all(len(line) < 6000 for line in lines)


def test_a_result_of_other_settings_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    other = replace(ADAPTER.settings(), max_steps=3)
    folder = store(tmp_path, "toy_topic", "adapter", 0, 0.5, made_from={"settings": other})
    assert state(ADAPTER, tmp_path) == "missing" and load_results(tmp_path)["outdated"].all()
    assert execute(ADAPTER, tmp_path).steps == 4 and read_result(folder).steps == 4
    assert "had other settings" in capsys.readouterr().err


def test_a_variable_that_names_no_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="none, which is no folder"):
        reference_dir()


def test_scores_that_are_there_stay_but_for_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(tmp_path / "reference"))
    run, place = Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke"), tmp_path / "reference"
    place.mkdir()
    for score, made_from, kept in ((0.5, {}, 0.5), (0.6, {}, 0.5), (0.7, {"code": "other"}, 0.7)):
        store(tmp_path / str(score), "toy_topic", "scalearn", 0, score, made_from=made_from)
        keep([run], tmp_path / str(score), place)
        assert [result.score for result, _ in reference_results()] == [kept]


def test_what_lies_there_with_weights_stays_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(tmp_path / "reference"))
    run, place = Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke", k=4), tmp_path / "reference"
    place.mkdir()
    for score, more in ((0.5, {"with_adapters": [run]}), (0.6, {})):
        folder = store(tmp_path / str(score), "toy_topic", "scalearn", 0, score, k=4, made_from={"code": str(score)})
        (folder / "weights").mkdir()
        lines = keep([run], tmp_path / str(score), place, **more)
    assert lines == [] and [result.score for result, _ in reference_results()] == [0.5]
    assert "1 results lie in" in capsys.readouterr().err
