"""What a task is: its texts, its labels, its metric, and the rows that it reads."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import lazy_loader
import numpy as np

from ..errors import UserError, unknown
from ..paths import data_dir, hub_dir
from .adapters import Adapter
from .hub import at_hand, unreachable

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict, Features

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without

SPLITS = ("train", "validation", "test")
"""Splits of every task; a task may have further test splits, named `test_` and more (`test_mismatched` of mnli)."""

KIND_METRICS = {
    "classification": ("accuracy", "f1_macro"),
    "multiple_choice": ("accuracy",),
    "multi_label": ("f1_macro", "f1_micro"),
    "regression": ("pearson", "spearman"),
}
"""What is usual for a kind of task, reported beside its own metrics."""


@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Args:
        name: unique within the suite; also the name of its adapter and head.
        suite: name of the suite.
        kind: "classification", "regression", "multiple_choice" (one right text of several) or "multi_label" (any number
            of classes).
        columns: the one or two text columns; for multiple choice the text, then the choices.
        labels: names of the classes or choices in the order of their ids, empty for regression.
        metric: primary metric, a key of `METRICS` or one of `QUESTION_METRICS`.
        about: one line for humans.
        read: reads the splits `train`, `validation` and `test`, each with the text columns and `label` (a list of ids
            for multi-label tasks).
        max_length: tokens at most.
        truncation: "longest_first" cuts the longer text of a pair, "only_first" just the first.
        more_metrics: further metrics that are reported.
        extra: columns that metrics over questions need: `question`, and where answers are texts `answer`, `answers`.
        select: published rule for the best state: lowest validation "loss" or highest validation "metric".
        seeds: number of seeds in the paper, from 0.
        empty_texts: whether a text may be empty, as in a published benchmark whose rows all count.
        repo: id of the dataset on the hub, where it comes from there.
        content: fingerprint of a user's own data and of how they are read; empty for published tasks.

    Raises:
        UserError: an unknown kind.
    """

    name: str
    suite: str
    kind: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metric: str
    about: str
    read: Callable[[], DatasetDict] | None = field(repr=False, compare=False, default=None)
    max_length: int = 128
    truncation: str = "longest_first"
    more_metrics: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    select: str = "loss"
    seeds: int = 10
    empty_texts: bool = False
    repo: str = ""
    content: str = ""
    checks_files: ClassVar[bool] = False
    """Whether `_read` checks each file's rows itself, to name the file; benchmarks have millions of rows."""

    def __post_init__(self) -> None:
        if self.kind not in KIND_METRICS:
            raise unknown("kind of task", self.kind, KIND_METRICS)

    @property
    def num_labels(self) -> int:
        """Outputs of the head for a row: the number of classes or choices, or 1 for regression."""
        return 1 if self.kind == "regression" else len(self.labels)

    @property
    def features(self) -> Features:
        """Types of the columns: strings, and a `ClassLabel`, list of them or float32 as `label`."""
        text = datasets.Value("string")
        label = datasets.Value("float32") if self.kind == "regression" else datasets.ClassLabel(names=list(self.labels))
        label = datasets.List(label) if self.kind == "multi_label" else label
        return datasets.Features(dict.fromkeys(self.columns, text) | self.extra_types | {"label": label})

    @property
    def extra_types(self) -> dict[str, object]:
        """Types of the columns in `extra`."""
        text = datasets.Value("string")
        types = {"question": datasets.Value("int64"), "answer": text, "answers": datasets.List(text)}
        return {column: types[column] for column in self.extra}

    def load(self) -> DatasetDict:
        """Return the checked splits; the same object for the whole process, so do not change it.

        Raises:
            UserError: the data is not there, or a row is not as it must be.
        """
        return _load(self, self.read, (data_dir(), hub_dir()))

    def patterns(self) -> list[str]:
        """Glob patterns of the files of `repo` that are needed."""
        return []

    def available(self) -> bool:
        """Whether the data can be had: not of the hub, or in the mirror or the hub's cache, or the hub answers."""
        return not self.repo or at_hand(self.repo, "dataset", self.patterns()) is not None or unreachable() is None

    def _read(self) -> DatasetDict:
        return self.read()

    def targets(self, rows: Dataset | Mapping[str, list]) -> np.ndarray:
        """The labels as numbers: ids or scores `(rows,)`, for multi-label tasks 0/1 `(rows, classes)`."""
        if self.kind != "multi_label":
            return np.array(rows["label"][:])
        return np.array([[float(i in ids) for i in range(self.num_labels)] for ids in rows["label"][:]])

    def check(self, rows: Dataset, where: str = "") -> None:
        """Check the columns, texts and labels of one split.

        Args:
            rows: the split.
            where: the file that it comes from, for the message.

        Raises:
            UserError: the first thing that is wrong, with its row.
        """
        where = f" in {where}" if where else ""
        of_task = f"of task '{self.name}'{where}"
        missing = [column for column in (*self.columns, *self.extra, "label") if column not in rows.column_names]
        if missing:
            raise UserError(
                f"Task '{self.name}'{where} has no column '{missing[0]}'; its rows need {', '.join(self.columns)} and "
                "label."
            )
        if not len(rows):
            raise UserError(f"A split {of_task} has no rows; every split needs at least one.")
        for column in self.columns:
            for row, text in enumerate(rows[column][:]):
                if not isinstance(text, str) or not (text.strip() or self.empty_texts):
                    raise UserError(f"Row {row} {of_task} has an empty {column}; remove the row or fill the text.")
        feature = rows.features["label"]
        if isinstance(feature, datasets.ClassLabel) and feature.names != list(self.labels):
            raise UserError(
                f"The data {of_task} has the classes {feature.names}, expected {list(self.labels)} in this order."
            )
        for row, label in enumerate(rows["label"][:]):
            self._check_label(f"Row {row} {of_task}", label)

    def _check_label(self, row: str, label: object) -> None:
        if label is None or (self.kind != "regression" and label == -1):
            raise UserError(f"{row} has no label; use labelled splits, not a hidden test set.")
        if self.kind == "regression":
            if not math.isfinite(label):
                raise UserError(f"{row} has the score {label}, expected a finite number.")
            return
        for one in label if self.kind == "multi_label" else [label]:
            if one not in range(self.num_labels):
                raise UserError(f"{row} has the label {one!r}, expected 0 to {self.num_labels - 1}.")


@dataclass(frozen=True)
class Suite:
    """A named benchmark: tasks that serve each other as sources.

    A task may be at home in another suite (`Task.suite`), which then shares its single-task results with this one.
    A user's own has the path of its `file`, and may have `adapters`: further sources of every two-stage run.
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    adapters: tuple[Adapter, ...] = ()
    file: str = ""

    @property
    def word(self) -> str:
        """What names it on the command line."""
        return self.file or self.name

    def repositories(self) -> list[tuple[str, str, list[str]]]:
        """The hub's repositories that the tasks need: id, kind and patterns of files."""
        patterns: dict[str, list[str]] = {}
        for task in self.tasks:
            if task.repo:
                patterns.setdefault(task.repo, []).extend(task.patterns())
        return [(repo, "dataset", list(dict.fromkeys(files))) for repo, files in patterns.items()]


@functools.lru_cache(maxsize=64)
def _load(task: Task, read: Callable | None, folders: tuple[Path | None, ...]) -> DatasetDict:
    """Read and check `task`; kept for each reader and data folder, since `Task` compares neither."""
    splits = task._read()
    more = [split for split in splits if split not in SPLITS]
    if not set(SPLITS) <= set(splits) or not all(split.startswith("test_") for split in more):
        raise UserError(f"Task '{task.name}' has the splits {', '.join(splits)}; expected {', '.join(SPLITS)}.")
    if not task.checks_files:
        for rows in splits.values():
            task.check(rows)
    return datasets.DatasetDict({split: splits[split] for split in (*SPLITS, *more)})
