"""The rows that a run trains and is scored on: encoded once per process, cut to the budget, drawn for k shots."""

from __future__ import annotations

import functools
import hashlib
import json

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from ..tasks import Task
from ..tasks.encoders import load_tokenizer
from ..tasks.encoding import encode
from ..tasks.few_shot import few_shot
from .run import Run
from .versions import data_version


@functools.cache
def tokenizer_of(encoder: str) -> PreTrainedTokenizerBase:
    """An encoder's tokenizer, loaded once per process."""
    return load_tokenizer(encoder)


@functools.lru_cache(maxsize=16)
def encoded(task: Task, encoder: str) -> DatasetDict:
    """The tokenised splits of a task, kept for the other runs of this process."""
    tokenizer = tokenizer_of(encoder)
    return DatasetDict({split: encode(rows, task, tokenizer) for split, rows in task.load().items()})


@functools.cache
def data_version_of(task: Task, encoder: str) -> str:
    """The fingerprint of a task's encoded splits."""
    return data_version(encoded(task, encoder))


def splits_of(run: Run, task: Task) -> tuple[DatasetDict, dict[str, object] | None]:
    """A task's encoded splits, cut to the budget's sizes by a fixed draw, and what was drawn for a k-shot run."""
    budget = run.settings()
    data, drawn = official_splits(task, encoded(task, run.encoder), budget.official), None
    if run.k is not None:
        train = official_splits(task, task.load(), budget.official)["train"]
        indices = few_shot(task, train, run.k, run.seed, run.sampling)
        rows = json.dumps(train.select(indices).to_dict(), sort_keys=True)
        digest = hashlib.sha256(rows.encode()).hexdigest()
        drawn = {"sampling": run.sampling, "indices": indices, "sha256": digest}
        data = DatasetDict(data | {"train": data["train"].select(indices)})
    limits = {"train": budget.max_train, "validation": budget.max_validation}
    return DatasetDict(
        {split: at_most(rows, limits.get(split, budget.max_test)) for split, rows in data.items()}
    ), drawn


def official_splits(task: Task, splits: DatasetDict, official: bool) -> DatasetDict:
    """Return a task's splits, texts or encoded; of ReCoRD, if `official`, those of the official runs.

    They trained on all training rows, in the order of their questions here, and selected on the test rows.
    """
    if not (official and "answers" in task.extra):
        return splits
    train = concatenate_datasets([splits["train"], splits["validation"]])
    train = train.select(np.argsort(train["question"][:], kind="stable"))
    return DatasetDict(splits | {"train": train, "validation": splits["test"]})


def at_most(rows: Dataset, limit: int | None) -> Dataset:
    """Return `rows`, or a fixed random draw of `limit` of them where there are more.

    Candidate answers stay together: of questions as many are drawn as fit, at least one.
    """
    if limit is None or len(rows) <= limit:
        return rows
    if "question" not in rows.column_names:
        return rows.shuffle(seed=42).select(range(limit))
    numbers, sizes = np.unique(rows["question"][:], return_counts=True)
    order = np.random.RandomState(42).permutation(len(numbers))
    fitting = max(1, int((np.cumsum(sizes[order]) <= limit).sum()))
    return rows.select(np.flatnonzero(np.isin(rows["question"][:], numbers[order[:fitting]])))
