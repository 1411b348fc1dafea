"""Texts as token ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datasets import (
    Dataset,
    Features,
    Value,
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from transformers import PreTrainedTokenizerBase

from ..errors import UserError
from .task import Task

MANY_ROWS = 20_000
"""From so many rows on, tokenising takes long enough for a progress bar."""


def encode(dataset: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Tokenise one split of a task, without padding.

    Args:
        dataset: rows with the task's text columns and `label`.
        task: the task.
        tokenizer: the encoder's tokenizer.

    Returns:
        The rows in the same order with `input_ids`, `attention_mask`, `token_type_ids` where the encoder has them,
        `labels` (int64 class ids or float32 scores) and `length` in tokens, for batches of similar length.

    Raises:
        UserError: a text is empty, a label missing or out of range, the task longer than the encoder's positions, or
            the tokenizer cannot pad.
    """
    if task.max_length > tokenizer.model_max_length:
        raise UserError(
            f"Task '{task.name}' has up to {task.max_length} tokens, but this encoder has {tokenizer.model_max_length} "
            "positions; take another encoder or a task with a smaller max_length."
        )
    if tokenizer.pad_token_id is None:
        raise UserError("This encoder's tokenizer has no padding token, which batches need; take another encoder.")
    task.check(dataset)

    def tokenise(batch: dict[str, list]) -> dict[str, list]:
        texts = [batch[column] for column in task.columns]
        encoded = tokenizer(*texts, truncation="longest_first", max_length=task.max_length)
        return {**encoded, "labels": batch["label"], "length": [len(ids) for ids in encoded["input_ids"]]}

    inputs = {name: Value("int64") for name in ("input_ids", "attention_mask", "token_type_ids")}
    names = [name for name in inputs if name in tokenizer.model_input_names]
    label = Value("float32") if task.kind == "regression" else Value("int64")
    features = Features({name: [inputs[name]] for name in names} | {"labels": label, "length": Value("int64")})
    with _no_bars(len(dataset) < MANY_ROWS):
        return dataset.map(
            tokenise,
            batched=True,
            remove_columns=dataset.column_names,
            features=features,
            desc=f"tokenising {task.name}",
        )


@contextmanager
def _no_bars(hide: bool) -> Iterator[None]:
    """Hide the progress bars of `datasets` for a while, unless they are hidden already."""
    hide = hide and not are_progress_bars_disabled()
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            enable_progress_bars()
