"""A run knows its folder, its sources and its settings, and refuses what does not exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.methods import METHODS
from scalearn_lib.runs import Run, source_tasks_at_hand
from scalearn_lib.tasks import get_suite

from ..tasks.mirror import write_glue

RUN = Run("toy", "toy_topic", "scalearn", "tiny", seed=3, budget="smoke")


def test_folder_names_everything_that_distinguishes_a_run() -> None:
    out = Path("out")
    assert RUN.folder(out) == out / "toy/tiny/smoke/scalearn/toy_topic/seed3"
    assert replace(RUN, k=4).folder(out) == out / "toy/tiny/smoke/scalearn/toy_topic-k4/seed3"
    changed = replace(RUN, overrides={"patience": 2, "max_steps": 3})
    assert changed.folder(out) == out / "toy/tiny/smoke-max_steps=3-patience=2/scalearn/toy_topic/seed3"
    assert replace(RUN, encoder="FacebookAI/roberta-base").folder(out).parts[2] == "FacebookAI--roberta-base"


def test_runs_are_values() -> None:
    first = replace(RUN, overrides={"patience": 2, "max_steps": 3})
    second = replace(RUN, overrides=(("max_steps", 3), ("patience", 2)))
    assert first == second and hash(first) == hash(second)
    assert first.spec()["overrides"] == {"max_steps": 3, "patience": 2}


def test_sources_are_the_seed_0_adapters_of_the_whole_suite() -> None:
    sources = RUN.sources()
    assert list(sources) == [task.name for task in get_suite("toy").tasks]
    assert {(s.method, s.seed, s.k, s.budget, s.encoder) for s in sources.values()} == {
        ("adapter", 0, None, "smoke", "tiny")
    }
    assert all(source.task == name for name, source in sources.items())


def test_a_few_shot_run_trains_its_own_source_on_the_same_examples() -> None:
    sources = replace(RUN, k=4).sources()
    assert (sources["toy_topic"].k, sources["toy_topic"].seed) == (4, 3)
    others = [source for name, source in sources.items() if name != "toy_topic"]
    assert {(source.k, source.seed) for source in others} == {(None, 0)}


def test_one_stage_methods_have_no_sources() -> None:
    assert replace(RUN, method="adapter").sources() == {}
    assert replace(RUN, method="full").sources() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"suite": "toi"}, "Unknown suite 'toi' .did you mean 'toy'.*valid: "),
        ({"task": "toy_topik"}, "Unknown task 'toy_topik' .did you mean 'toy_topic'"),
        ({"method": "scalern"}, "Unknown method 'scalern' .did you mean 'scalearn'"),
        ({"budget": "quik"}, "Unknown budget 'quik' .did you mean 'quick'"),
        ({"overrides": {"learning_rat": 1.0}}, "Unknown setting 'learning_rat' .did you mean 'learning_rate'"),
        ({"overrides": {"max_steps": 0}}, "max_steps must be a whole number of at least 1, got 0"),
        ({"overrides": {"learning_rate": -1.0}}, "learning_rate must be positive"),
        ({"seed": -1}, "seed is a whole number"),
        ({"k": 0}, "k is a whole number"),
    ],
)
def test_bad_input_gets_one_sentence(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        replace(RUN, **change)
    assert "\n" not in str(error.value)


def test_paper_budget_has_the_published_settings() -> None:
    published = {"full": (2e-5, 5), "adapter": (3e-4, 5), "adapter_fusion": (5e-5, 5), "scalearn": (6e-3, 30)}
    for name, (rate, patience) in published.items():
        settings = replace(RUN, method=name, budget="paper").settings()
        assert (settings.learning_rate, settings.patience) == (rate, patience)
        assert (settings.epochs, settings.batch_size, settings.eval_steps, settings.select) == (30, 32, None, "loss")
        few = replace(RUN, method=name, budget="paper", k=16).settings()
        assert (few.max_steps, few.patience, few.select) == (1000, 20, "metric")


def test_quick_raises_only_small_learning_rates() -> None:
    rates = {name: replace(RUN, method=name, budget="quick").settings().learning_rate for name in METHODS}
    assert rates["adapter"] == pytest.approx(1.5e-3) and rates["adapter_fusion"] == pytest.approx(2.5e-4)
    assert rates["scalearn"] == rates["scalearn_uniform_pp"] == 6e-3


def test_source_tasks_and_sampling_name_the_folder_and_the_sources() -> None:
    some = replace(RUN, source_tasks=("toy_pair", "toy_topic"))
    assert some.source_tasks == ("toy_topic", "toy_pair")  # in the order of the suite
    assert some.folder(Path("out")).parts[-2] == "toy_topic-from-toy_topic+toy_pair"
    assert list(some.sources()) == ["toy_topic", "toy_pair"]
    few = replace(RUN, k=4, sampling="official")
    assert few.folder(Path("out")).parts[-2] == "toy_topic-k4-official"
    assert few.sources()["toy_topic"].sampling == "official" and few.sources()["toy_pair"].sampling == "resampled"


def test_a_folder_of_an_encoder_has_one_name() -> None:
    run = Run("toy", "toy_topic", "adapter", "some/folder/")
    assert run == Run("toy", "toy_topic", "adapter", "some/folder") and run.encoder == "some/folder"


def test_equal_work_is_one_run() -> None:
    everything = tuple(task.name for task in get_suite("toy").tasks)
    assert replace(RUN, source_tasks=everything) == RUN == replace(RUN, sampling="official")
    adapter = replace(RUN, method="adapter")
    assert replace(adapter, source_tasks=("toy_pair",)) == adapter
    gsg = Run("gsg", "copa", "adapter", "tiny", budget="smoke")
    assert gsg == Run("superglue", "copa", "adapter", "tiny", budget="smoke")
    sources = Run("gsg", "copa", "scalearn", "tiny", budget="smoke").sources()
    assert len(sources) == 15 and sources["rte"].suite == "glue" and sources["cb"].suite == "superglue"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_tasks": ("toy_pear",)}, "Unknown source task of suite 'toy' 'toy_pear' .did you mean 'toy_pair'"),
        ({"source_tasks": ()}, "Source tasks are a list of at least one name"),
        ({"source_tasks": "toy_pair"}, "Source tasks are a list of at least one name"),
        ({"sampling": "oficial"}, "Unknown sampling 'oficial' .did you mean 'official'"),
        ({"overrides": {"select_on": "train"}}, "Unknown split to select on 'train'"),
        ({"overrides": {"weight_decay": 1.5}}, "weight_decay must be at least 0 and below 1"),
    ],
)
def test_bad_sources_and_sampling(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(RUN, **change)


def test_a_joint_run_has_its_target_among_its_tasks() -> None:
    joint = replace(RUN, method="adapter_m", source_tasks=("toy_topic", "toy_pair"))
    with pytest.raises(UserError, match="source tasks, toy_topic, toy_pair, and 'toy_score' is not among them; add it"):
        replace(joint, task="toy_score")
    assert replace(joint, task="toy_score", method="scalearn").source_tasks == joint.source_tasks


def test_published_exceptions() -> None:
    record = Run("superglue", "record", "scalearn", "tiny", budget="paper")
    assert record.settings().epochs == 3 and replace(record, method="adapter").settings().epochs == 30
    assert Run("humset", "sectors", "scalearn", "tiny", budget="paper").settings().select == "metric"


def test_source_tasks_are_limited_to_what_the_mirror_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for task in ("rte", "cola"):
        write_glue(tmp_path, task)
    monkeypatch.setenv("SCALEARN_HUB", str(tmp_path))
    monkeypatch.setattr("scalearn_lib.tasks.task.unreachable", lambda: "out of reach")
    rte, mnli, alone = (
        Run("glue", task, method, "tiny")
        for task, method in (("rte", "scalearn"), ("mnli", "scalearn"), ("rte", "adapter"))
    )
    limited = source_tasks_at_hand([rte, mnli, alone, RUN])
    assert limited[0].source_tasks == ("rte", "cola") and limited[1:] == [mnli, alone, RUN]
    assert (
        "mnli, qqp, qnli, sst2, stsb, mrpc cannot be had here: the 2 source tasks are rte, cola"
        in capsys.readouterr().err
    )
