"""Texts as token ids."""

from __future__ import annotations

from datasets import Dataset, Features, List, Value
from transformers import DataCollatorForMultipleChoice, DataCollatorWithPadding, PreTrainedTokenizerBase

from ..errors import UserError
from .progress import progress_bars
from .task import Task

EVALUATION_BATCH = {"cuda": 64, "cpu": 32}
"""Rows of a batch without gradients, by kind of device: on a CPU, activations that fit its caches are faster."""

MANY_ROWS = 20_000
"""From so many rows on, tokenising takes long enough for a progress bar."""

TOO_LONG = (
    "Task '{task.name}' has up to {task.max_length} tokens, but this encoder has {tokenizer.model_max_length} "
    "positions; take another encoder or a task with a smaller max_length."
)


def encode(dataset: Dataset, task: Task, tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Tokenise one split of a task, without padding.

    Args:
        dataset: rows with the task's text columns and `label`.
        task: the task.
        tokenizer: the encoder's tokenizer.

    Returns:
        The rows in the same order with `input_ids`, `attention_mask`, `token_type_ids` where the encoder has them (of
        multiple choice, one list per choice), `labels` (int64 ids, float32 scores, or float32 0/1 per class for
        multi-label tasks), the task's `extra` columns, and `length` in tokens, for batches of similar length.

    Raises:
        UserError: a text is empty, a label missing or out of range, the task longer than the encoder's positions, or
            the tokenizer cannot pad.
    """
    if task.max_length > tokenizer.model_max_length:
        raise UserError(TOO_LONG.format(task=task, tokenizer=tokenizer))
    if tokenizer.pad_token_id is None:
        raise UserError(
            f"The tokenizer of {tokenizer.name_or_path} has no padding token, which batches of task '{task.name}' "
            "need; set pad_token in its tokenizer_config.json, or take another encoder."
        )
    task.check(dataset)

    options = {"truncation": task.truncation, "max_length": task.max_length}

    def tokenise(batch: dict[str, list]) -> dict[str, list]:
        texts = [batch[column] for column in task.columns]
        if task.kind == "multiple_choice":
            encoded = _choices(tokenizer, texts[0], texts[1:], options)
            length = [max(map(len, choices)) for choices in encoded["input_ids"]]
        else:
            encoded = tokenizer(*texts, **options)
            length = [len(ids) for ids in encoded["input_ids"]]
        extra = {column: batch[column] for column in task.extra}
        return {**encoded, **extra, "length": length, "labels": task.targets(batch).tolist()}

    # Small types: the longest benchmarks have millions of texts. A collator makes int64 of them.
    inputs = {"input_ids": Value("int32"), "attention_mask": Value("int8"), "token_type_ids": Value("int8")}
    features = {name: List(kind) for name, kind in inputs.items() if name in tokenizer.model_input_names}
    if task.kind == "multiple_choice":
        features = {name: List(kind) for name, kind in features.items()}
    number = Value("int64") if task.kind in ("classification", "multiple_choice") else Value("float32")
    features |= task.extra_types
    features |= {"labels": List(number) if task.kind == "multi_label" else number, "length": Value("int64")}
    with progress_bars(len(dataset) >= MANY_ROWS):
        return dataset.map(
            tokenise,
            batched=True,
            remove_columns=dataset.column_names,
            features=Features(features),
            desc=f"tokenising {task.name}",
        )


def _choices(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], choices: list[list[str]], options: dict[str, object]
) -> dict[str, list]:
    """Tokenise each text with each of its choices: inputs by row, then by choice."""
    encoded = [tokenizer(texts, column, **options) for column in choices]
    return {name: [list(row) for row in zip(*(one[name] for one in encoded), strict=True)] for name in encoded[0]}


def collator(task: Task, tokenizer: PreTrainedTokenizerBase) -> DataCollatorWithPadding | DataCollatorForMultipleChoice:
    """Return what pads encoded rows of a task to a batch, as long as its longest row."""
    if task.kind == "multiple_choice":
        return DataCollatorForMultipleChoice(tokenizer)
    return DataCollatorWithPadding(tokenizer)
