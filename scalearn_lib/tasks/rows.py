"""Rows of a user's own files, by pandas; what is wrong with one is told with the file and the row."""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..errors import UserError, first_line, unknown

ENDINGS = {".csv": ",", ".tsv": "\t", ".jsonl": None, ".parquet": None}
"""Endings of files that can be read, with what stands between the cells of a line."""

QUOTED = "put texts that hold the separator, line breaks or quotes into double quotes, and double those inside"

WHOLE, NUMBER = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of one split.

    Args:
        frame: the cells; those of CSV and TSV are all texts.
        files: where they come from, one after the other, with the number of rows of each.
        sha256: of the files' bytes.
    """

    frame: pd.DataFrame
    files: tuple[tuple[Path, int], ...]
    sha256: str

    def at(self, row: int) -> str:
        """Where a row of `frame` stands, counted from 1, without a line of names."""
        for file, count in self.files:
            if row < count:
                return f"{file}, row {row + 1}"
            row -= count
        raise IndexError(row)

    def column(self, name: str) -> list[object]:
        """The cells of a column; `None` where nothing is.

        Raises:
            UserError: there is no such column.
        """
        if name not in self.frame:
            raise UserError(f"{self.files[0][0]}: {unknown('column', name, self.frame.columns)}")
        return [None if _is_missing(cell) else cell for cell in self.frame[name]]

    def texts(self, name: str) -> list[str]:
        """The cells of a column of texts.

        Raises:
            UserError: there is no such column, or a cell is empty or no text.
        """
        cells = self.column(name)
        for row, cell in enumerate(cells):
            if cell is None or (isinstance(cell, str) and not cell.strip()):
                raise UserError(f"{self.at(row)}: '{name}' is empty; fill the cell or remove the row.")
            if not isinstance(cell, str):
                raise UserError(f"{self.at(row)}: '{name}' is {cell!r}, expected a text; put it into quotes.")
        return cells


def read_rows(files: Sequence[Path]) -> Rows:
    """Read the files of one split.

    Raises:
        UserError: a file is not there, cannot be read, or has no rows; or two have different columns.
    """
    parts = []
    for file in files:
        try:
            state = file.stat()
        except OSError as error:
            raise UserError(f"{file} is not there; paths are relative to the suite's file.") from error
        parts.append(_read(file, state.st_mtime_ns, state.st_size))
    for part in parts:
        if list(part.frame) != list(parts[0].frame):
            raise UserError(
                f"{part.files[0][0]} has the columns {', '.join(part.frame)}, but {parts[0].files[0][0]} has "
                f"{', '.join(parts[0].frame)}; make them alike."
            )
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    return Rows(frame, tuple(file for part in parts for file in part.files), digest)


@functools.lru_cache(maxsize=32)
def _read(file: Path, *_version: int) -> Rows:
    """Read one file; kept as long as its time and size stay what they are."""
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"{file} has an ending that is not known; expected {', '.join(ENDINGS)}.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    frame = _parquet(file, data) if file.suffix.lower() == ".parquet" else _of_text(file, _decoded(file, data))
    if not len(frame):
        raise UserError(f"{file} has no rows; give the task at least some dozens.")
    return Rows(frame, ((file, len(frame)),), hashlib.sha256(data).hexdigest())


def _decoded(file: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file} is not UTF-8 (byte 0x{data[error.start]:02x} in line {line}); save it with the encoding UTF-8."
        ) from error


def _of_text(file: Path, text: str) -> pd.DataFrame:
    separator = ENDINGS[file.suffix.lower()]
    if separator is None:
        return _json_lines(file, text)
    options = {"dtype": str, "keep_default_na": False, "index_col": False}
    check_quotes(io.StringIO(text, newline=""), separator, file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # lines that are longer than the first
            frame = pd.read_csv(io.StringIO(text), sep=separator, **options)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise UserError(f"{file} is no table ({first_line(error)}); {QUOTED}.") from error
    names = pd.read_csv(io.StringIO(text), sep=separator, nrows=1, header=None, **options).iloc[0]
    if not names.is_unique:
        raise UserError(f"{file} has the column '{names[names.duplicated()].iloc[0]}' twice; rename one of them.")
    return frame


def check_quotes(lines: Iterable[str], separator: str, file: Path) -> None:
    """Check that each quoted cell ends where it should.

    pandas takes a text with a quote at its start alone, as lists without any quoting have, and all lines up to the next
    quote for one cell: rows would be lost, and the first have the label of the last.

    Args:
        lines: of a file, opened with `newline=""`.
        separator: what stands between cells.
        file: for the error.

    Raises:
        UserError: a cell has more after its second quote, or has none.
    """
    reader, usual = csv.reader(lines, delimiter=separator, strict=True), csv.field_size_limit(sys.maxsize)
    try:
        for _ in reader:
            pass
    except csv.Error as error:
        raise UserError(f"{file} is no table (in or before line {reader.line_num}: {error}); {QUOTED}.") from error
    finally:
        csv.field_size_limit(usual)


def _json_lines(file: Path, text: str) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # pandas says no line, and makes numbers of some texts
        if not line.strip():
            continue
        rows.append(json_object(line, f"{file}, line {number}", '{"text": …, "label": …}'))
    return pd.DataFrame(rows, dtype=object)


def json_object(line: str, where: str, example: str) -> dict[str, object]:
    """Return the object that a line of JSON holds.

    Args:
        line: the text.
        where: the file and the line, for errors.
        example: what an object may look like.

    Raises:
        UserError: it is no JSON, no object, or has half of a surrogate pair, as a text has whose last emoji was cut.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no JSON ({str(error).rstrip('.')}); write one object.") from error
    if not isinstance(row, dict):
        raise UserError(f"{where} is no object such as {example}.")
    if "\\u" in line:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(error.object[error.start]):04x}"
            raise UserError(f"{where} has half of a character ({half}); cut the text elsewhere.") from error
    return row


def _parquet(file: Path, data: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no readable Parquet file; write it again.") from error


def _is_missing(cell: object) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell)
