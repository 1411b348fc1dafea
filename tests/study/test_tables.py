"""Tables show what is stored, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.study import Run, load_results, scores, table
from scalearn_lib.study.result import RESULT


def store(output: Path, task: str, method: str, seed: int, score: float, status: str = "ok", **more: object) -> Path:
    """Write a result by hand, as `execute` would."""
    run = Run("toy", task, method, "tiny", seed, budget="smoke", **more)
    folder = run.folder(output)
    folder.mkdir(parents=True)
    result = {"run": run.spec(), "status": status, "files": {}, "metric": "accuracy", "seconds": {"total": 1.0}}
    result |= {"transfer_parameters": 8, "trainable_parameters": 9}
    result |= {"test": {"accuracy": score}, "validation": {"accuracy": score}}
    (folder / RESULT).write_text(json.dumps(result))
    return folder


def test_mean_and_standard_deviation_over_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate([0.5, 0.6, 0.7]):
        store(tmp_path, "toy_topic", "scalearn", seed, score)
    store(tmp_path, "toy_pair", "scalearn", 0, 0.9)
    shown = table(tmp_path, "toy", "tiny", "smoke")
    assert shown.loc["ScaLearn", "toy_topic"] == "60.0 ± 10.0"
    assert shown.loc["ScaLearn", "toy_pair"] == "90.0"
    assert shown.loc["ScaLearn", "average"] == "75.0"
    assert shown.loc["ScaLearn", "seeds"] == "1-3"
    assert shown.loc["ScaLearn", "parameters"] == "8"


def test_a_missing_run_is_blank_and_takes_the_average_with_it(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_pair", "scalearn", 0, 0.5)
    shown = table(tmp_path, "toy", "tiny", "smoke")
    assert shown.loc["adapter", "toy_pair"] == ""
    assert shown.loc["adapter", "average"] == ""
    assert list(shown.index) == ["adapter", "ScaLearn"]


def test_other_settings_stay_apart(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.9, k=4)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.1, overrides={"patience": 3})
    assert table(tmp_path, "toy", "tiny", "smoke").loc["ScaLearn", "toy_topic"] == "50.0"
    assert table(tmp_path, "toy", "tiny", "smoke", k=4).loc["ScaLearn", "toy_topic"] == "90.0"


def test_failed_damaged_and_unfinished_results_stay_out(tmp_path: Path, capsys) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 1, 0.9, status="failed")
    (store(tmp_path, "toy_topic", "scalearn", 2, 0.9) / RESULT).write_text('{"run"')
    unfinished = store(tmp_path, "toy_topic", "scalearn", 3, 0.9)
    unfinished.rename(unfinished.with_name(".seed3.tmp"))
    results = load_results(tmp_path)
    assert list(results["seed"]) == [0]
    assert "seed2" in capsys.readouterr().out


def test_scores_are_tidy(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    summary = scores(tmp_path, "toy")
    assert list(summary.columns) == ["method", "task", "mean", "std", "seeds", "transfer_parameters"]
    assert summary.loc[0, "mean"] == 50.0 and pd.isna(summary.loc[0, "std"])


def test_no_results_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No results for suite 'toy'.*scalearn run toy"):
        table(tmp_path, "toy", "tiny", "smoke")
