"""Scores of a model's outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from datasets import Dataset
from sklearn.metrics import f1_score

from scalearn_lib.tasks import SUITES, get_suite, get_task
from scalearn_lib.tasks.metrics import METRICS, QUESTION_METRICS, normalised_answer, score

SCORE, TOPIC, POLARITY = (get_task("toy", f"toy_{name}") for name in ("score", "topic", "polarity"))


def test_classification_scores_with_the_primary_metric_first() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 9.0]])
    scores = score(POLARITY, logits, np.array([0, 1, 1, 1]))
    assert list(scores) == ["matthews", "accuracy", "f1_macro"]
    assert scores["accuracy"] == 0.75
    # by hand: TP 2, TN 1, FP 0, FN 1
    assert scores["matthews"] == pytest.approx(2 / math.sqrt(2 * 3 * 1 * 2))
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert list(score(TOPIC, np.eye(3), np.arange(3)).values()) == [1.0, 1.0]


@pytest.mark.parametrize("shape", [(4, 1), (4,)])
def test_regression_scores(shape: tuple[int, ...]) -> None:
    scores = score(SCORE, np.array([1.0, 2.0, 4.0, 8.0]).reshape(shape), np.array([1.0, 2.0, 3.0, 4.0]))
    assert list(scores) == ["pearson", "spearman"]
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] == pytest.approx(np.corrcoef([1, 2, 4, 8], [1, 2, 3, 4])[0, 1])


@pytest.mark.parametrize("name", METRICS)
def test_a_constant_prediction_has_a_finite_score(name: str) -> None:
    labels = np.array([0, 1, 1, 0])
    value = METRICS[name](np.ones_like(labels), labels)
    right = {"accuracy": 0.5, "f1": pytest.approx(2 / 3), "f1_macro": pytest.approx(1 / 3), "f1_micro": 0.5}
    assert value == right.get(name, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_have_no_score(bad: float) -> None:
    assert all(math.isnan(v) for v in score(SCORE, np.array([1.0, bad]), np.array([1.0, 2.0])).values())
    assert all(math.isnan(v) for v in score(POLARITY, np.array([[1.0, bad]]), np.array([1])).values())


def test_every_task_has_a_metric_that_exists() -> None:
    metrics = {
        metric for suite in SUITES.values() for task in suite.tasks for metric in (task.metric, *task.more_metrics)
    }
    assert metrics <= {*METRICS, *QUESTION_METRICS}


def test_multi_label_scores_count_probabilities_above_a_half() -> None:
    task = get_suite("humset").tasks[3]
    logits = np.array([[2.0, -1, -1, -1, -1, -1], [1.0, 1, -1, -1, -1, -1]])
    labels = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0]])
    scores = score(task, logits, labels)
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 1 + 0 + 0 + 0 + 0) / 6)  # by class
    assert scores["f1_micro"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))


def test_record_is_scored_by_question_with_normalised_answers() -> None:
    rows = Dataset.from_dict(
        {
            "question": [7, 7, 7, 9, 9],
            "answer": ["Anna", "The Queen!", "Bob", "New York City", "Rome"],
            "answers": [["queen", "King"]] * 3 + [["York"]] * 2,
        }
    )
    # "The Queen!" and "New York City" have the highest logits of "right", though not the largest margins.
    logits = np.array([[-9.0, 1], [0.0, 3], [2.0, 2], [0.0, 1], [-9.0, 0.5]])
    scores = score(get_task("superglue", "record"), logits, np.array([0, 1, 0, 0, 0]), rows)
    assert scores["exact_match"] == 0.5
    assert scores["answer_f1"] == pytest.approx((1.0 + 2 * 1 / (3 + 1)) / 2)
    assert list(scores)[:2] == ["answer_f1", "exact_match"]


def test_multirc_counts_all_answers_and_whole_questions() -> None:
    rows = Dataset.from_dict({"question": [1, 1, 2, 2]})
    logits = np.array([[0.0, 1], [1.0, 0], [0.0, 1], [0.0, 1]])
    scores = score(get_task("superglue", "multirc"), logits, np.array([1, 0, 1, 0]), rows)
    assert scores["exact_match"] == 0.5
    assert scores["f1"] == pytest.approx(f1_score([1, 0, 1, 0], [1, 0, 1, 1]))


@pytest.mark.parametrize(
    "text, normal", [("The  Queen's!", "queens"), ("an apple, a day", "apple day"), ("theatre", "theatre")]
)
def test_answers_are_normalised_as_in_squad(text: str, normal: str) -> None:
    assert normalised_answer(text) == normal
