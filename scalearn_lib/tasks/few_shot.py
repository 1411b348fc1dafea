"""Few-shot draws from training rows.

Random numbers come from NumPy's `RandomState`, whose streams are frozen: a draw stays the same with every version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .task import Task

if TYPE_CHECKING:
    from datasets import Dataset

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
