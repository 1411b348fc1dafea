"""What a task is: its texts, its labels, its metric, and the rows that it reads."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from ..errors import UserError
from ..paths import data_dir
from .metrics import METRICS

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Args:
        name: unique within the suite; also the name of its adapter and head.
        suite: name of the suite.
        kind: "classification" or "regression".
        columns: the one or two text columns.
        labels: names of the classes in the order of their ids, empty for regression.
        metric: primary metric, a key of `METRICS`.
        about: one line for humans.
        read: reads the splits `train`, `validation` and `test`, each with the text columns and `label`.
        max_length: tokens at most; of a pair, the longer text is cut first.
    """

    name: str
    suite: str
    kind: str
    columns: tuple[str, ...]
    labels: tuple[str, ...]
    metric: str
    about: str
    read: Callable[[], DatasetDict] = field(repr=False, compare=False)
    max_length: int = 128

    @property
    def num_labels(self) -> int:
        """Outputs of the head: the number of classes, or 1 for regression."""
        return 1 if self.kind == "regression" else len(self.labels)

    @property
    def features(self) -> Features:
        """Types of the columns: strings, and a `ClassLabel` or float32 `label`."""
        label = Value("float32") if self.kind == "regression" else ClassLabel(names=list(self.labels))
        return Features({column: Value("string") for column in self.columns} | {"label": label})

    def load(self) -> DatasetDict:
        """Return the checked splits; the same object for the whole process, so do not change it.

        Raises:
            UserError: the data is not there, or a row is not as it must be.
        """
        return _load(self, self.read, data_dir())

    def baseline(self) -> float:
        """The primary metric on test of always predicting what is most common in training (regression: the mean).

        Pearson and Matthews correlation of a constant are 0.0 by definition here.
        """
        splits = self.load()
        seen, wanted = (np.array(splits[split]["label"][:]) for split in ("train", "test"))
        constant = seen.mean() if self.kind == "regression" else np.bincount(seen).argmax()
        return METRICS[self.metric](np.full_like(wanted, constant), wanted)

    def check(self, rows: Dataset) -> None:
        """Check the columns, texts and labels of one split.

        Raises:
            UserError: the first thing that is wrong, with its row.
        """
        missing = [column for column in (*self.columns, "label") if column not in rows.column_names]
        if missing:
            raise UserError(
                f"Task '{self.name}' has no column '{missing[0]}'; its rows need {', '.join(self.columns)} and label."
            )
        if not len(rows):
            raise UserError(f"A split of task '{self.name}' has no rows; every split needs at least one.")
        for column in self.columns:
            for row, text in enumerate(rows[column][:]):
                if not isinstance(text, str) or not text.strip():
                    raise UserError(
                        f"Row {row} of task '{self.name}' has an empty {column}; remove the row or fill the text."
                    )
        feature = rows.features["label"]
        if isinstance(feature, ClassLabel) and feature.names != list(self.labels):
            raise UserError(
                f"The data of task '{self.name}' has the classes {feature.names}, expected {list(self.labels)} "
                "in this order."
            )
        for row, label in enumerate(rows["label"][:]):
            self._check_label(row, label)

    def _check_label(self, row: int, label: object) -> None:
        if label is None or (self.kind == "classification" and label == -1):
            raise UserError(
                f"Row {row} of task '{self.name}' has no label; use labelled splits, not a hidden test set."
            )
        if self.kind == "regression":
            if not math.isfinite(label):
                raise UserError(f"Row {row} of task '{self.name}' has the score {label}, expected a finite number.")
        elif label not in range(self.num_labels):
            raise UserError(
                f"Row {row} of task '{self.name}' has the label {label!r}, expected 0 to {self.num_labels - 1}."
            )


@dataclass(frozen=True)
class Suite:
    """A named benchmark: tasks that serve each other as sources."""

    name: str
    about: str
    tasks: tuple[Task, ...]


@functools.lru_cache(maxsize=64)
def _load(task: Task, read: Callable[[], DatasetDict], folder: Path) -> DatasetDict:
    """Read and check `task`; kept for each reader and data folder, since `Task` compares neither."""
    splits = read()
    if set(splits) != set(SPLITS):
        raise UserError(f"Task '{task.name}' has the splits {', '.join(splits)}; expected {', '.join(SPLITS)}.")
    for split in SPLITS:
        task.check(splits[split])
    return DatasetDict({split: splits[split] for split in SPLITS})
