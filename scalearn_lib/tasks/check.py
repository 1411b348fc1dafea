"""What a suite's tasks hold, for whoever wrote its file: sizes, labels, lengths, the baseline, examples, problems."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from datasets import Dataset, DatasetDict
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from .encoders import load_tokenizer
from .encoding import TOO_LONG
from .labels import balance
from .metrics import baseline
from .task import Suite, Task

EXAMPLES = 3
MEASURED = 5_000
"""Rows of train whose length in tokens is measured at most."""

SHOWN = 60
"""Characters of a text that are shown."""


def check_suite(suite: Suite, encoder: str) -> Iterator[tuple[str, bool]]:
    """Read everything that a suite names, and tell of it line by line.

    Args:
        suite: any suite.
        encoder: whose tokens are counted.

    Yields:
        A line, and whether it tells of what keeps a task from being run.
    """
    tokenizer = load_tokenizer(encoder)
    yield f"{suite.name}: {suite.about}", False
    for task in suite.tasks:
        yield f"\n{task.name}: {task.about}", False
        try:
            splits = task.load()
        except UserError as error:
            yield f"  cannot be run: {error}", True
            continue
        for line in _about(task, splits, tokenizer):
            yield f"  {line}", False
        if task.max_length > tokenizer.model_max_length:
            yield f"  cannot be run: {TOO_LONG.format(task=task, tokenizer=tokenizer)}", True
    for adapter in suite.adapters:
        yield f"\nadapter {adapter.name}: {adapter.folder} ({adapter.sha256})", False


def _about(task: Task, splits: DatasetDict, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    of = f"{task.num_labels} classes, " if task.labels else ""
    yield f"{task.kind.replace('_', ' ')}, {of}scored by {task.metric}"
    yield "rows: " + ", ".join(f"{len(rows):,} {split}" for split, rows in splits.items())
    labels = splits["train"]["label"][:]
    if task.labels:
        counts = sorted(balance(labels, task.labels).items(), key=lambda item: -item[1])
        more = f", and {len(counts) - 8} rarer" if len(counts) > 8 else ""
        yield "labels: " + ", ".join(f"{name} {count / len(labels):.1%}" for name, count in counts[:8]) + more
    else:
        low, middle, high = np.quantile(labels, (0, 0.5, 1))
        yield f"labels: from {low:g} to {high:g}, half of them up to {middle:g}"
    lengths, positions = token_counts(task, splits["train"], tokenizer), tokenizer.model_max_length
    cut = float((lengths > task.max_length).mean())
    yield (
        f"tokens: {np.median(lengths):.0f} in the middle, {np.quantile(lengths, 0.95):.0f} in 95 % or fewer, "
        f"{lengths.max()} at most"
    )
    if cut:
        more = f"raise it (the encoder takes {positions})" if task.max_length < positions else "take another encoder"
        yield f"note: max_length {task.max_length} cuts {cut:.1%} of the rows of train; {more} or shorten the texts"
    yield f"baseline, without reading the texts: {task.metric} {baseline(task):.3f} on test"
    for row in splits["train"].select(range(min(EXAMPLES, len(splits["train"])))):
        texts = " | ".join(_short(row[column]) for column in task.columns)
        yield f"example: {_label(task, row['label'])} <- {texts}"
    for split in ("validation", "test"):
        counts = balance(splits[split]["label"][:], task.labels) if task.labels else {}
        absent = [name for name, count in counts.items() if not count]
        if absent:
            yield f"note: {split} has no row of {len(absent)} of {len(counts)} classes, such as {absent[0]}"
        if len(splits[split]) < 50:
            yield f"note: {split} has only {len(splits[split])} rows, on which scores vary by chance"


def token_counts(task: Task, rows: Dataset, tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Tokens of each row's text or pair, `(rows,)`; of multiple choice, with its longest choice. Nothing is cut."""
    rows = rows.shuffle(seed=0).select(range(MEASURED)) if len(rows) > MEASURED else rows
    first, *others = (rows[column][:] for column in task.columns)
    pairs = [(first, other) for other in others] or [(first,)]
    counts = [[len(ids) for ids in tokenizer(*pair, verbose=False)["input_ids"]] for pair in pairs]
    return np.max(counts, axis=0)


def _label(task: Task, label: object) -> str:
    if not task.labels:
        return f"{label:g}"
    several = label if isinstance(label, list) else [label]
    return ", ".join(task.labels[number] for number in several) or "none"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
