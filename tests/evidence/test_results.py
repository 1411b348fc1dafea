"""Results of an experiment as a tidy frame: the columns of what is stored, in the order of the experiment."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest

from scalearn_lib.evidence import load_results, suite_results, tidy, titled, validation_losses
from scalearn_lib.runs import Run, execute_all
from tests.stored import result_of, store

RUNS = [
    Run("toy", task, method, "tiny", seed, k=4, budget="smoke", sampling="official")
    for task in ("toy_score", "toy_pair")
    for method in ("scalearn", "adapter")
    for seed in (1, 0)
]


def test_a_row_per_run_in_the_order_of_the_experiment() -> None:
    frame = tidy([result_of(run, 0.1 * run.seed, steps=9) for run in RUNS])
    assert list(frame["seed"]) == [1, 0] * 4 and list(frame["score"]) == [0.1, 0.0] * 4
    assert list(frame["task"].cat.categories) == ["toy_score", "toy_pair"]
    assert list(frame["method"].cat.categories) == ["ScaLearn", "adapter"]
    assert set(frame["sampling"]) == {"official"} and set(frame["k"]) == {4}
    assert (frame["steps"] == 9).all() and (frame["selected_step"] == 4).all()
    means = frame.groupby(["task", "method"])["score"].mean()
    assert list(means.index) == [(t, m) for t in ("toy_score", "toy_pair") for m in ("ScaLearn", "adapter")]


def test_it_has_the_columns_of_stored_results(tmp_path: Path) -> None:
    store(tmp_path, "toy_pair", "scalearn", 0, 0.5)
    stored = load_results(tmp_path)
    frame = tidy([result_of(Run("toy", "toy_pair", "scalearn", "tiny", 0, budget="smoke"), 0.5)])
    assert [*frame, "folder"] == list(stored)
    assert frame.astype(object).equals(titled(stored).drop(columns="folder").astype(object))


def test_nothing_run_is_an_empty_frame() -> None:
    assert tidy([]).empty and validation_losses([]).empty


def test_a_joint_run_has_the_scores_of_the_task_that_was_asked_for(tmp_path: Path) -> None:
    runs = [Run("toy", task, "adapter_m", "tiny", budget="smoke") for task in ("toy_score", "toy_topic")]
    results = execute_all(runs, tmp_path)
    frame = tidy(results).set_index("task")
    assert list(frame["metric"]) == ["pearson", "accuracy"]
    assert frame.loc["toy_score", "score"] == results[0].tasks["toy_score"].score


def test_validation_losses_leave_training_out() -> None:
    history = [{"step": 2, "eval_loss": 0.7}, {"step": 4, "eval_loss": 0.5}, {"step": 4, "loss": 1.0}]
    frame = validation_losses([result_of(RUNS[0], 0.5, history=history)])
    assert frame.to_dict("records") == [
        {"task": "toy_score", "method": "ScaLearn", "seed": 1, "step": step, "loss": loss}
        for step, loss in ((2, 0.7), (4, 0.5))
    ]


def test_a_first_entropy_of_zero_leaves_nothing_to_compare_with() -> None:
    for first, left in ((0.0, math.nan), (0.5, 0.5)):
        history = [{"step": step, "entropy_0": value} for step, value in ((0, first), (4, 0.25))]
        (found,) = tidy([result_of(RUNS[0], 0.5, history=history)])["entropy_left"]
        assert found == pytest.approx(left, nan_ok=True)


def test_stored_results_of_a_suite_stand_in_its_order(tmp_path: Path) -> None:
    for seed, task, method in product((1, 0), ("toy_pair", "toy_topic"), ("scalearn", "adapter_fusion", "adapter")):
        store(tmp_path, task, method, seed, 0.5)
    frame = titled(suite_results(tmp_path, "toy"))
    assert list(frame["method"].cat.categories) == ["adapter", "AdapterFusion", "ScaLearn"]
    assert list(frame["task"].cat.categories) == ["toy_topic", "toy_pair"]
    assert list(frame["seed"]) == [0, 1] * 6
