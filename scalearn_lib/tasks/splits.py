"""Train, validation and test rows that share no text, and few-shot draws from the training rows.

Random numbers come from NumPy's `RandomState`, whose streams are frozen: a split stays the same with every version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset, DatasetDict

from ..errors import UserError

if TYPE_CHECKING:
    from .benchmark import HubTask
    from .task import Task


def normalised(text: str) -> str:
    """`text` as it is compared between splits: case folded, every run of white space one blank."""
    return " ".join(text.casefold().split())


def split(dataset: Dataset, columns: Sequence[str], seed: int, share: float = 0.1, at_most: int = 1000) -> DatasetDict:
    """Split into train, validation and test so that no (normalised) text occurs in two of them.

    Rows that share a text in any of the columns, directly or through other rows, stay together. A group that fits
    neither into test nor into validation goes to train, so these two may end smaller than asked, never larger.

    Args:
        dataset: the rows.
        columns: its text columns.
        seed: seed of the draw.
        share: share of the rows for test, and for validation.
        at_most: rows in each of the two at most.

    Raises:
        UserError: a split would be empty.
    """
    size = max(1, min(int(share * len(dataset)), at_most))
    groups = _groups([[normalised(text) for text in dataset[column][:]] for column in columns])
    rows: dict[str, list[int]] = {"test": [], "validation": [], "train": []}
    for index in np.random.RandomState(seed).permutation(len(groups)):
        group = groups[index]
        fitting = [name for name in ("test", "validation") if len(rows[name]) + len(group) <= size]
        rows[min(fitting, key=lambda name: len(rows[name]), default="train")].extend(group)
    for name, chosen in rows.items():
        if not chosen:
            raise UserError(f"The {len(dataset)} rows leave no {name} split; more different texts are needed.")
    return DatasetDict({name: dataset.select(sorted(rows[name])) for name in ("train", "validation", "test")})


def _groups(columns: list[list[str]]) -> list[list[int]]:
    """Row numbers grouped by shared texts, in order of first appearance (union-find over rows)."""
    parent = list(range(len(columns[0])))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[str, int] = {}
    for texts in columns:
        for row, text in enumerate(texts):
            a, b = root(first.setdefault(text, row)), root(row)
            parent[max(a, b)] = min(a, b)
    groups = defaultdict(list)
    for row in range(len(parent)):
        groups[root(row)].append(row)
    return list(groups.values())


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


SAMPLINGS = ("resampled", "official")
"""How k-shot rows are drawn: by each seed, or as in the paper's runs the same first k of the split for every seed."""


def few_shot(task: Task, train: Dataset, k: int, seed: int, sampling: str = "resampled") -> list[int]:
    """Draw `k` training rows; another seed draws others, and a larger `k` of the same seed adds to a smaller one.

    Classes are drawn from in turn, in an order that depends on the seed, until each has run out: as evenly as their
    sizes allow. Rows of regression and multi-label tasks are drawn evenly at random.

    Args:
        task: the task.
        train: its training rows.
        k: rows in all, over all classes.
        seed: seed of the draw.
        sampling: one of `SAMPLINGS`.

    Returns:
        Row numbers.

    Raises:
        UserError: `k` is less than 1 or more than there are rows.
    """
    if not 1 <= k <= len(train):
        raise UserError(
            f"Task '{task.name}' has {len(train)} training rows, so k must lie between 1 and {len(train)}, got {k}."
        )
    if sampling == "official":
        return list(range(k))
    random = np.random.RandomState(seed)
    order = random.permutation(len(train))
    if task.kind in ("classification", "multiple_choice"):
        labels = np.array(train["label"][:])[order]
        classes = random.permutation(np.unique(labels))
        turn = np.empty(len(train), dtype=np.int64)  # how many rows of the same class come before
        rank = np.empty(len(train), dtype=np.int64)  # the class's place in the order of classes
        for place, label in enumerate(classes):
            members = labels == label
            turn[members], rank[members] = np.arange(members.sum()), place
        order = order[np.lexsort((rank, turn))]
    return order[:k].tolist()
