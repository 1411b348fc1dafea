"""Labels of a user's own rows: what kind of task they make, and their ids."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from ..errors import UserError
from .rows import NUMBER, WHOLE, Rows

MOSTLY = 0.9
"""Share of labels that are numbers from which on the others count as mistakes."""


def kind_of_labels(cells: Sequence[object]) -> str:
    """The kind of task that labels make: lists multi-label, decimal numbers regression, all else classification.

    A few cells that are no numbers among decimal ones are mistakes, not classes.
    """
    if any(isinstance(cell, list | np.ndarray) for cell in cells):
        return "multi_label"
    numbers = [cell for cell in cells if _number(cell) is not None]
    decimal = not all(_is_whole(cell) for cell in numbers)
    return "regression" if decimal and len(numbers) > len(cells) * MOSTLY else "classification"


def class_names(rows: Rows, column: str, kind: str) -> tuple[str, ...]:
    """The classes of a column, whole numbers by size, all else by the alphabet; none of a regression.

    Raises:
        UserError: a label is missing, or there is only one class.
    """
    if kind == "regression":
        return ()
    found: set[str] = set()
    for row, cell in enumerate(rows.column(column)):
        found |= set(_names(rows, row, column, cell, kind))
    if len(found) < 2:
        only = f"only the label '{found.pop()}'" if found else "no label at all"
        raise UserError(f"{rows.files[0][0]}: '{column}' has {only}; a task needs at least two classes.")
    whole = all(WHOLE.fullmatch(name) for name in found)
    return tuple(sorted(found, key=int if whole else str))


def label_ids(rows: Rows, column: str, kind: str, classes: Sequence[str]) -> list:
    """The labels as `Task` has them: ids of `classes`, lists of ids, or scores.

    Raises:
        UserError: a label is missing, is none of the classes, or is no finite number where a score should be.
    """
    if kind == "regression":
        return _scores(rows, column)
    ids = {name: number for number, name in enumerate(classes)}
    labels = []
    for row, cell in enumerate(rows.column(column)):
        names = _names(rows, row, column, cell, kind)
        if kind == "multiple_choice" and not set(names) <= set(ids) and WHOLE.fullmatch(names[0]):
            names = [classes[int(names[0])]] if 0 <= int(names[0]) < len(classes) else names
        strange = [name for name in names if name not in ids]
        if strange:
            wanted = "no choice" if kind == "multiple_choice" else "no label of train"
            raise UserError(
                f"{rows.at(row)}: '{column}' is '{strange[0]}', which is {wanted} ({_few(classes)}); correct it, or "
                "name other splits."
            )
        labels.append([ids[name] for name in names] if kind == "multi_label" else ids[names[0]])
    return labels


def _names(rows: Rows, row: int, column: str, cell: object, kind: str) -> list[str]:
    if kind == "multi_label":
        several = cell.split(";") if isinstance(cell, str) else [] if cell is None else cell
        if not isinstance(several, list | np.ndarray):
            raise UserError(f"{rows.at(row)}: '{column}' is {cell!r}, expected a list, or texts with ; between them.")
        return list(dict.fromkeys(name for one in several if (name := str(one).strip())))
    if cell is None or not str(cell).strip():
        raise UserError(f"{rows.at(row)}: '{column}' is empty; every row needs a label.")
    if isinstance(cell, list | dict | np.ndarray):
        raise UserError(f"{rows.at(row)}: '{column}' is {cell!r}, expected one label; kind: multi_label takes lists.")
    return [str(cell).strip()]


def _scores(rows: Rows, column: str) -> list[float]:
    scores = []
    for row, cell in enumerate(rows.column(column)):
        score = _number(cell)
        if score is None:
            raise UserError(
                f"{rows.at(row)}: '{column}' is {cell!r}, expected a finite number; correct the row, or say "
                "kind: classification where labels are no scores."
            )
        scores.append(score)
    if len(set(scores)) < 2:
        raise UserError(f"{rows.files[0][0]}: '{column}' is {scores[0]} in every row; there is nothing to learn.")
    return scores


def _number(cell: object) -> float | None:
    if isinstance(cell, str):
        return float(cell) if NUMBER.fullmatch(cell.strip()) and math.isfinite(float(cell)) else None
    is_number = isinstance(cell, Real) and not isinstance(cell, bool | np.bool_)
    return float(cell) if is_number and math.isfinite(cell) else None


def _is_whole(cell: object) -> bool:
    return isinstance(cell, Integral) or (isinstance(cell, str) and bool(WHOLE.fullmatch(cell.strip())))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def balance(labels: Sequence, classes: Sequence[str]) -> dict[str, int]:
    """Rows of each class, from ids or lists of ids."""
    counts = Counter(i for label in labels for i in (label if isinstance(label, list) else [label]))
    return {name: counts[number] for number, name in enumerate(classes)}
