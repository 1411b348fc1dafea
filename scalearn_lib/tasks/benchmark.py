"""Tasks of published benchmarks: read from the hub's Parquet files, with the paper's splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader
import numpy as np

from ..errors import UserError
from .hub import find
from .progress import progress_bars
from .task import Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without
pa = lazy_loader.load("pyarrow")


@dataclass(frozen=True, kw_only=True)
class HubTask(Task):
    """A task whose rows come from a dataset repository of the hub, or from a mirror of it.

    Args:
        config: its configuration, a folder of Parquet files named by their splits.
        inputs: columns that the files must have.
        convert: makes our columns of a batch of theirs; `None` where they are the same.
        splits: our splits by theirs; validation is held out from train where no split is ours.
        stratify: whether it is held out in proportion to the labels.

    Raises:
        UserError: a regression or multi-label task is to be stratified.
    """

    config: str
    inputs: tuple[str, ...]
    convert: Callable[[dict[str, list]], dict[str, list]] | None = None
    splits: Mapping[str, str] = field(
        default_factory=lambda: {"train": "train", "validation": "test"}, compare=False, repr=False
    )
    stratify: bool = True
    checks_files = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stratify and self.kind in ("regression", "multi_label"):
            raise UserError(f"Task '{self.name}' is {self.kind}: it has no single class by which to stratify.")

    def patterns(self) -> list[str]:
        """Glob patterns of the files, below the repository's folder."""
        return [f"{self.config}/{split}-*.parquet" for split in self.splits]

    def _read(self) -> DatasetDict:
        folder = find(self.repo, "dataset", self.patterns(), f"Task '{self.name}'")
        with progress_bars(False):
            splits = {
                ours: self._rows(sorted(folder.glob(f"{self.config}/{theirs}-*.parquet")))
                for theirs, ours in self.splits.items()
            }
        if "validation" not in splits:
            splits["train"], splits["validation"] = hold_out(self, splits["train"])
        return datasets.DatasetDict(splits)

    def _rows(self, files: list[Path]) -> Dataset:
        """Read one split and bring it into this task's columns."""
        where = ", ".join(map(str, files))
        remedy = "run `scalearn prefetch` or copy it again"
        try:
            if not sum(pa.parquet.read_metadata(file).num_rows for file in files):
                raise UserError(f"{where} of task '{self.name}' has no rows; {remedy}.")
            rows = datasets.Dataset.from_parquet([str(file) for file in files])
        except (pa.ArrowException, OSError, datasets.exceptions.DatasetGenerationError) as error:
            raise UserError(f"{where} of task '{self.name}' is no readable Parquet file; {remedy}.") from error
        lacking = [column for column in self.inputs if column not in rows.column_names]
        if lacking:
            raise UserError(
                f"{where} of task '{self.name}' has the columns {', '.join(rows.column_names)}, but no "
                f"'{lacking[0]}'; {remedy}."
            )
        if "label" in rows.column_names:
            rows = self._labelled(rows, where)
        if self.convert is not None:
            rows = rows.map(self.convert, batched=True, remove_columns=rows.column_names, features=self.features)
        rows = rows.select_columns([*self.columns, *self.extra, "label"])
        self.check(rows, where)
        return rows

    def _labelled(self, rows: Dataset, where: str) -> Dataset:
        """Check the classes and give `label` the type of this task."""
        feature, wanted = rows.features["label"], self.features["label"]
        if feature == datasets.Value("string"):
            unknown = sorted(set(rows["label"][:]) - set(self.labels))
            if unknown:
                raise UserError(
                    f"{where} of task '{self.name}' has the unknown label '{unknown[0]}', expected one of "
                    f"{', '.join(self.labels)}."
                )
        elif isinstance(feature, datasets.ClassLabel) and feature.names != list(self.labels):
            raise UserError(
                f"{where} of task '{self.name}' has the classes {feature.names}, expected {list(self.labels)} in this "
                "order; the file belongs to another task or version."
            )
        elif isinstance(wanted, datasets.ClassLabel):
            ids = np.array([-1 if label is None else label for label in rows["label"][:]])
            strange = np.flatnonzero((ids < -1) | (ids >= len(self.labels)))
            if strange.size:
                raise UserError(
                    f"Row {strange[0]} of {where} of task '{self.name}' has the label {ids[strange[0]]}, expected 0 to "
                    f"{len(self.labels) - 1}."
                )
        return rows if feature == wanted else rows.cast_column("label", wanted)


def hold_out(task: HubTask, train: Dataset) -> tuple[Dataset, Dataset]:
    """Hold out 10 % of a benchmark's training rows for model selection, as the paper did: shuffled by seed 42.

    In proportion to the labels where the task says so. Rows that are candidate answers to one question stay together
    where that is not asked for.

    Returns:
        Training rows and validation rows.

    Raises:
        UserError: there are too few rows.
    """
    try:
        if "question" in task.extra and not task.stratify:
            numbers = np.array(train["question"][:])
            chosen = np.random.RandomState(42).permutation(np.unique(numbers))
            if len(chosen) < 2:
                raise ValueError("one question")
            held = np.isin(numbers, chosen[: max(1, len(chosen) // 10)])
            return train.select(np.flatnonzero(~held)), train.select(np.flatnonzero(held))
        by = "label" if task.stratify else None
        parts = train.train_test_split(test_size=0.1, seed=42, shuffle=True, stratify_by_column=by)
    except ValueError as error:
        raise UserError(
            f"The {len(train)} training rows of task '{task.name}' are too few to hold out 10 % for validation"
            f"{' with every class in both parts' if task.stratify else ''}; use the whole benchmark."
        ) from error
    return parts["train"], parts["test"]
