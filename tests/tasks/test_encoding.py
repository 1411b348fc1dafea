"""Texts as token ids."""

from __future__ import annotations

from dataclasses import replace

import pytest
from datasets import Dataset, Value, are_progress_bars_disabled

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_suite, get_task
from scalearn_lib.tasks.encoders import load_tokenizer
from scalearn_lib.tasks.encoding import encode
from scalearn_lib.tasks.task import Task


@pytest.mark.parametrize("task", get_suite("toy").tasks, ids=lambda task: task.name)
def test_rows_keep_their_order_and_labels(task: Task) -> None:
    rows, tokenizer = task.load()["test"], load_tokenizer("tiny")
    encoded = encode(rows, task, tokenizer)
    assert encoded.column_names == ["input_ids", "attention_mask", "labels", "length"]
    assert encoded["labels"][:] == rows["label"][:]
    assert encoded.features["labels"] == Value("float32" if task.kind == "regression" else "int64")
    assert encoded["length"][:] == [len(ids) for ids in encoded["input_ids"]]
    assert len(set(encoded["length"])) > 1  # nothing is padded
    for row, encoding in zip(rows, encoded, strict=True):
        decoded = tokenizer.decode(encoding["input_ids"])
        assert decoded == "<s>" + "</s></s>".join(row[column] for column in task.columns) + "</s>"
    assert not are_progress_bars_disabled()


def test_of_a_pair_the_longer_text_is_cut() -> None:
    task = replace(get_task("toy", "toy_pair"), max_length=20)
    rows = Dataset.from_dict({"text": ["storm"], "text_pair": ["the sea " * 30], "label": [0]}, features=task.features)
    (encoding,) = encode(rows, task, load_tokenizer("tiny"))
    assert encoding["length"] == 20 and load_tokenizer("tiny").decode(encoding["input_ids"]).startswith("<s>storm</s>")


def test_bad_rows_and_encoders_are_refused() -> None:
    task, tokenizer = get_task("toy", "toy_topic"), load_tokenizer("tiny")
    rows = task.load()["test"]
    with pytest.raises(UserError, match="up to 385 tokens, but this encoder has 384 positions"):
        encode(rows, replace(task, max_length=385), tokenizer)
    with pytest.raises(UserError, match="has no column 'label'"):
        encode(rows.remove_columns("label"), task, tokenizer)
    with pytest.raises(UserError, match="empty text"):
        encode(Dataset.from_dict({"text": [""], "label": [0]}), task, tokenizer)
    tokenizer.pad_token = None
    with pytest.raises(
        UserError,
        match="The tokenizer of .* has no padding token, which batches of task .toy_topic. need; set pad_token",
    ):
        encode(rows, task, tokenizer)
