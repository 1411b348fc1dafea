"""Equal budgets: the rate is chosen on validation, and stands beside the budget's own settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.evidence.equal_budgets import RATES, equal_budget_runs, equal_budget_scores
from scalearn_lib.runs import Run
from scalearn_lib.runs.result import RESULT
from tests.stored import store


def test_each_method_tries_the_same_rates_with_the_same_patience() -> None:
    runs = equal_budget_runs(
        [Run("toy", "toy_topic", m, "tiny", budget="smoke") for m in ("scalearn", "adapter_fusion")]
    )
    assert len(runs) == 2 * len(RATES)
    settings = [(run.method, run.settings().learning_rate, run.settings().patience) for run in runs]
    assert settings == [(m, rate, 10) for m in ("scalearn", "adapter_fusion") for rate in RATES]
    with pytest.raises(UserError, match="must have no overrides"):
        equal_budget_runs(runs)


def test_the_rate_with_the_best_validation_is_reported_on_test(tmp_path: Path) -> None:
    def stored(rate: float, seed: int, validation: float, test: float) -> None:
        folder = store(tmp_path, "toy_topic", "scalearn", seed, test, overrides={"learning_rate": rate, "patience": 10})
        result = json.loads((folder / RESULT).read_text())
        result["validation"]["accuracy"] = validation
        (folder / RESULT).write_text(json.dumps(result))

    for seed in (0, 1):
        stored(1e-3, seed, 0.8, 0.6)
        stored(6e-3, seed, 0.7, 0.9)  # better on test, but that must not be looked at
        stored(2e-3, seed, 0.9, 0.9)  # none of the rates that all methods try
    assert equal_budget_scores(tmp_path, "toy", "tiny", "smoke").empty  # nothing to stand beside yet
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 1, 0.1, overrides={"patience": 10})  # another experiment
    assert equal_budget_scores(tmp_path, "toy", "tiny", "smoke").empty  # two of four rates
    for rate in (5e-5, 3e-4):
        stored(rate, 0, 0.1, 0.1)
    (row,) = equal_budget_scores(tmp_path, "toy", "tiny", "smoke").to_dict("records")
    assert (row["method"], row["task"], row["rate"], row["seeds"]) == ("ScaLearn", "toy_topic", 1e-3, 2)
    assert row["own settings"] == pytest.approx(50.0) and row["equal"] == pytest.approx(60.0)
