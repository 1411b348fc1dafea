"""Tasks: names, checks of their rows, baselines; the toy suite as the example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Value

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import SUITES, get_suite, get_task
from scalearn_lib.tasks.metrics import baseline
from scalearn_lib.tasks.splits import normalised
from scalearn_lib.tasks.task import Task

TOY = get_suite("toy").tasks


def one(task: str, **columns: list) -> Dataset:
    task = get_task("toy", task)
    return Dataset.from_dict(columns, features=task.features)


def test_unknown_names_are_answered_with_the_valid_ones() -> None:
    with pytest.raises(UserError, match=r"Unknown suite 'ofline' \(did you mean 'offline'\?\); valid: offline, glue"):
        get_suite("ofline")
    with pytest.raises(UserError, match=r"Unknown task 'toy_topics' \(did you mean 'toy_topic'\?\)"):
        get_task("toy", "toy_topics")


def test_names_are_unique_and_tasks_know_their_suite() -> None:
    for name, suite in SUITES.items():
        homes = {"glue", "superglue"} if name == "gsg" else {name}
        assert suite.name == name and {task.suite for task in suite.tasks} == homes
        assert len({task.name for task in suite.tasks}) == len(suite.tasks)


@pytest.mark.parametrize("task", TOY, ids=lambda task: task.name)
def test_toy_tasks_are_typed_and_their_splits_share_no_text(task: Task) -> None:
    splits = task.load()
    texts = []
    for part in splits.values():
        label = part.features["label"]
        assert label == (Value("float32") if task.kind == "regression" else ClassLabel(names=list(task.labels)))
        assert len(part) >= 32
        texts.append({normalised(text) for column in task.columns for text in part[column]})
        if task.kind == "classification":
            assert set(part["label"]) == set(range(task.num_labels))
    assert sum(map(len, texts)) == len(set.union(*texts))
    assert task.load() is splits


def test_toy_tasks_are_the_same_everywhere() -> None:
    first = {task.name: tuple(task.load()["test"][0].values()) for task in TOY}
    assert first == {
        "toy_topic": ("the snow and the sunshine near the hills", 0),
        "toy_pair": ("they say the rain came back to the sea", "no way, not once with the hotel at the old town", 0),
        "toy_score": ("the phone was slightly good in may", 0.5),
        "toy_polarity": ("the hotel near the park was awful", 0),
    }


def test_baseline_is_the_score_of_a_constant() -> None:
    topic = get_task("toy", "toy_topic")
    train, test = (np.array(topic.load()[split]["label"][:]) for split in ("train", "test"))
    assert baseline(topic) == np.mean(test == np.bincount(train).argmax())
    assert baseline(get_task("toy", "toy_score")) == baseline(get_task("toy", "toy_polarity")) == 0.0
    assert topic.num_labels == 3 and get_task("toy", "toy_score").num_labels == 1


@pytest.mark.parametrize(
    "task, columns, message",
    [
        ("toy_topic", {"text": ["a", " "], "label": [0, 1]}, "Row 1 of task 'toy_topic' has an empty text"),
        ("toy_topic", {"text": [None], "label": [0]}, "Row 0 .* empty text"),
        ("toy_pair", {"text": ["a"], "text_pair": [""], "label": [0]}, "Row 0 .* empty text_pair"),
        ("toy_topic", {"text": ["a", "b"], "label": [0, -1]}, "Row 1 .* has no label"),
        ("toy_topic", {"text": ["a"], "label": [None]}, "Row 0 .* has no label"),
        ("toy_score", {"text": ["a"], "label": [None]}, "Row 0 .* has no label"),
        ("toy_score", {"text": ["a"], "label": [float("nan")]}, "expected a finite number"),
        ("toy_topic", {"text": [], "label": []}, "has no rows"),
    ],
)
def test_bad_rows_are_refused_in_one_sentence(task: str, columns: dict[str, list], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        get_task("toy", task).check(one(task, **columns))
    assert "\n" not in str(error.value)


def test_bad_columns_and_classes_are_refused() -> None:
    topic = get_task("toy", "toy_topic")
    with pytest.raises(UserError, match="has no column 'label'"):
        topic.check(Dataset.from_dict({"text": ["a"]}))
    with pytest.raises(UserError, match="expected 0 to 2"):
        topic.check(Dataset.from_dict({"text": ["a"], "label": [3]}))
    swapped = Dataset.from_dict({"text": ["a"], "label": [0]}).cast_column("label", ClassLabel(names=["x", "y"]))
    with pytest.raises(UserError, match="expected .'weather', 'sport', 'music'. in this order"):
        topic.check(swapped)


def test_a_task_is_checked_when_it_is_loaded() -> None:
    rows = one("toy_topic", text=["a", ""], label=[0, 1])
    task = replace(get_task("toy", "toy_topic"), read=lambda: DatasetDict(train=rows, validation=rows, test=rows))
    with pytest.raises(UserError, match="empty text"):
        task.load()
    with pytest.raises(UserError, match="has the splits train; expected train, validation, test"):
        replace(task, read=lambda: DatasetDict(train=rows)).load()
