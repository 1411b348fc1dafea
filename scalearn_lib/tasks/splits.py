"""Train, validation and test rows that share no text.

Random numbers come from NumPy's `RandomState`, whose streams are frozen: a split stays the same with every version.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import lazy_loader
import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without


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
    return datasets.DatasetDict({name: dataset.select(sorted(rows[name])) for name in ("train", "validation", "test")})


def stratified(
    columns: Sequence[Sequence[str]], strata: Sequence, seed: int, parts: Sequence[str]
) -> dict[str, list[int]]:
    """Draw a tenth of the rows for each of `parts`, in proportion to the strata; no text occurs in two of them.

    Args:
        columns: the texts of the rows, by column.
        strata: a class for each row.
        seed: seed of the draw.
        parts: names of the parts to draw, at most nine.

    Returns:
        Row numbers of each part, and of `train`: the others.

    Raises:
        UserError: there are too few rows, or too few different texts.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second

    group = np.empty(len(strata), dtype=int)
    for number, rows in enumerate(_groups([[normalised(text) for text in texts] for texts in columns])):
        group[rows] = number
    folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        try:
            drawn = [part for _, part in folds.split(group, strata, group)]
        except ValueError as error:
            raise UserError(f"{len(group)} rows are too few for a stratified split; give some hundreds.") from error
    rows = {name: drawn[number].tolist() for number, name in enumerate(parts)}
    rows["train"] = sorted(np.concatenate(drawn[len(parts) :]).tolist())
    for name, chosen in rows.items():
        if not chosen:
            raise UserError(f"The {len(group)} rows leave no {name} split; more different texts are needed.")
    return rows


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
