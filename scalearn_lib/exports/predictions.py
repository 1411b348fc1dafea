"""Labels for a user's rows, from an exported folder: in a stream, so that a file may be of any size."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, softmax
from torch import nn
from tqdm.auto import tqdm
from transformers import DataCollatorForMultipleChoice, DataCollatorWithPadding, PreTrainedTokenizerBase

from ..errors import UserError, first_line, unknown
from ..tasks.encoders import load_tokenizer
from ..tasks.encoding import EVALUATION_BATCH
from ..tasks.rows import check_quotes, json_object
from .load import About, load_exported, read_about

CHUNK = 2048
"""Rows that are read, sorted by length and written at once."""

ENDINGS = (".csv", ".tsv", ".jsonl")


class Predictor:
    """An exported model, ready for texts.

    Args:
        folder: what `export` wrote.
        encoder: the encoder's name or folder, by default the one that it was trained on.

    Raises:
        UserError: the folder or the encoder is not as it must be.
    """

    def __init__(self, folder: Path, encoder: str | None = None) -> None:
        self.about: About = read_about(folder)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model: nn.Module = load_exported(folder, encoder).to(self.device)
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(encoder or self.about.encoder)

    @torch.inference_mode()
    def logits(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """Return outputs `(rows, outputs)` for rows given as columns of texts."""
        choices = self.about.kind == "multiple_choice"
        first, *others = (list(column) for column in texts)
        options = {"truncation": self.about.truncation, "max_length": self.about.max_length}
        parts = [
            self.tokenizer(first, *pair, **options) for pair in ([[one] for one in others] if choices else [others])
        ]
        lengths = np.max([[len(ids) for ids in part["input_ids"]] for part in parts], axis=0)
        collate = (DataCollatorForMultipleChoice if choices else DataCollatorWithPadding)(self.tokenizer)
        order, size = np.argsort(-lengths, kind="stable"), EVALUATION_BATCH[self.device.type]
        outputs = [None] * len(first)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            if choices:
                batch = collate(
                    [{k: [part[k][row] for part in parts] for k in parts[0]} | {"labels": 0} for row in rows]
                )
                batch.pop("labels")
            else:
                batch = collate([{k: parts[0][k][row] for k in parts[0]} for row in rows])
            found = self.model(**{k: v.to(self.device) for k, v in batch.items()}).logits.float().cpu().numpy()
            for row, output in zip(rows, found, strict=True):
                outputs[row] = output
        return np.stack(outputs)

    def table(self, texts: Sequence[Sequence[str]]) -> pd.DataFrame:
        """Return `prediction` and the probability of each label (of a regression, the score alone)."""
        logits, labels = self.logits(texts), self.about.labels
        if self.about.kind == "regression":
            return pd.DataFrame({"prediction": logits.reshape(-1)})
        if self.about.kind == "multi_label":
            probabilities = expit(logits)
            chosen = [";".join(name for name, p in zip(labels, row, strict=True) if p > 0.5) for row in probabilities]
        else:
            probabilities = softmax(logits, axis=1)
            chosen = [labels[number] for number in probabilities.argmax(1)]
        named = {f"probability_{name}": probabilities[:, i] for i, name in enumerate(labels)}
        return pd.DataFrame({"prediction": chosen} | named)


def predict(folder: Path, texts: Sequence[str], encoder: str | None = None) -> pd.DataFrame:
    """Return the prediction for one row.

    Args:
        folder: what `export` wrote.
        texts: the row's texts, one for each column.
        encoder: as for `Predictor`.

    Raises:
        UserError: there are more or fewer texts than columns, or the folder is not as it must be.
    """
    predictor = Predictor(folder, encoder)
    columns = predictor.about.columns
    if len(texts) != len(columns):
        raise UserError(f"The model takes {len(columns)} texts ({', '.join(columns)}), got {len(texts)}.")
    if not all(text.strip() for text in texts):
        raise UserError("A text is empty; give one with words.")
    return predictor.table([[text] for text in texts])


def predict_file(folder: Path, file: Path, to: Path, encoder: str | None = None) -> int:
    """Write a copy of a file with a prediction for each row, and return the number of rows.

    Files end in .csv, .tsv or .jsonl. What is there at `to` is replaced when all is done.

    Raises:
        UserError: a file cannot be read or written, lacks a column, or has an empty cell there, or a column that
            predictions are written to.
    """
    for path in (file, to):
        if path.suffix.lower() not in ENDINGS:
            raise UserError(f"{path} has an ending that is not known; expected {', '.join(ENDINGS)}.")
    if not file.is_file():
        raise UserError(f"{file} is not there; name a file of rows.")
    predictor, done, header = Predictor(folder, encoder), 0, []
    try:
        handle, name = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.resolve().parent)
    except OSError as error:
        raise UserError(f"Cannot write to {to.resolve().parent}: {error.strerror}; name another file.") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
            for rows in filter(len, _chunks(file)):
                found = predictor.table(_texts(rows, predictor.about.columns, file, done))
                twice = [column for column in found if column in rows]
                if twice:
                    raise UserError(f"{file} has a column '{twice[0]}' already; rename it.")
                new = [column for column in rows if header and column not in header]
                if new and to.suffix.lower() != ".jsonl":
                    raise UserError(
                        f"{file} has a column '{new[0]}' that rows before row {done + 1} lack, and {to} has its header "
                        "by then; write to a .jsonl file."
                    )
                labelled = pd.concat([rows.reset_index(drop=True), found], axis=1)
                _append(labelled.reindex(columns=header) if header and not new else labelled, to, out, first=not done)
                header = header or [*labelled]
                done += len(rows)
        if not done:
            raise UserError(f"{file} has no rows.")
        temporary.chmod(0o644)
        os.replace(temporary, to)
    except OSError as error:
        raise UserError(f"Cannot write {to}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
    return done


def _chunks(file: Path) -> Iterator[pd.DataFrame]:
    """The rows of a file, some at a time, with a progress bar over its bytes."""
    bar = tqdm(total=file.stat().st_size, desc=file.name, unit="B", unit_scale=True, disable=None)
    try:
        with bar, file.open("rb") as plain:
            for part in _json_rows(plain, file) if file.suffix.lower() == ".jsonl" else _separated_rows(plain, file):
                bar.update(plain.tell() - bar.n)
                yield part
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8; save it with the encoding UTF-8.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error}).") from error
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file} cannot be read ({first_line(error)}).") from error


def _json_rows(plain: BinaryIO, file: Path) -> Iterator[pd.DataFrame]:
    rows = (_object(line, number, file) for number, line in enumerate(plain, 1) if line.strip())
    while part := list(itertools.islice(rows, CHUNK)):
        yield pd.DataFrame(part, dtype=object)


def _separated_rows(plain: BinaryIO, file: Path) -> Iterator[pd.DataFrame]:
    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    with file.open(encoding="utf-8-sig", newline="") as lines:
        check_quotes(lines, separator, file)
    options = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig", "index_col": False}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # lines that are longer than the first
        yield from pd.read_csv(plain, sep=separator, chunksize=CHUNK, **options)


def _object(line: bytes, number: int, file: Path) -> dict[str, object]:
    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    return json_object(text, f"{file}, line {number}", '{"text": …}')


def _texts(rows: pd.DataFrame, columns: Sequence[str], file: Path, before: int) -> list[list[str]]:
    texts = []
    for column in columns:
        if column not in rows:
            raise UserError(f"{file}: {unknown('column', column, rows.columns)}")
        cells = rows[column].tolist()
        for number, cell in enumerate(cells, before + 1):
            if not isinstance(cell, str) or not cell.strip():
                raise UserError(f"{file}, row {number}: '{column}' is {cell!r}, expected a text; fill or remove it.")
        texts.append(cells)
    return texts


def _append(rows: pd.DataFrame, to: Path, out: IO[str], first: bool) -> None:
    if to.suffix.lower() == ".jsonl":
        for row in rows.to_dict("records"):
            out.write(json.dumps(_plain(row), ensure_ascii=False) + "\n")
    else:
        rows.to_csv(
            out, sep="\t" if to.suffix.lower() == ".tsv" else ",", index=False, header=first, float_format="%.6g"
        )


def _plain(row: Mapping[str, object]) -> dict[str, object]:
    """A row as JSON has it; what other rows have and this one lacks is null."""
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in row.items()}
    return {key: None if isinstance(value, float) and value != value else value for key, value in plain.items()}
