"""A run knows its folder, its sources and its settings, and refuses what does not exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.methods import METHODS
from scalearn_lib.study import Run
from scalearn_lib.tasks import get_suite

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
