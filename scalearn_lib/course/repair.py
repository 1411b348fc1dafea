"""A submission as it should have been handed in: the grader's cells as released, the student's answers as they are."""

from __future__ import annotations

from copy import deepcopy

import nbformat
from nbformat import NotebookNode

STUB_ANSWER = "# This answer was missing from the submission."


def grade_id(cell: NotebookNode) -> str | None:
    """Return the name that nbgrader knows a cell by, or `None`."""
    about = cell.metadata.get("nbgrader")
    return about.get("grade_id") if isinstance(about, dict) else None


def is_answer(cell: NotebookNode) -> bool:
    """Whether a cell is one for an answer in code."""
    return cell.cell_type == "code" and bool(grade_id(cell)) and bool(cell.metadata["nbgrader"].get("solution"))


def is_test(cell: NotebookNode) -> bool:
    """Whether a cell is a test of the grader's."""
    about = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(about.get("grade")) and not about.get("solution")


def repair(submitted: NotebookNode, release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Return the notebook to grade, and sentences on what was put right.

    Cells of the release come back where they are missing, and the grader's cells where they were changed. An answer
    cell that is missing stays empty: what it was to define may stand in a cell of the student's own, which is kept.
    """
    notes: list[str] = []
    known = {grade_id(cell): cell for cell in release.cells if grade_id(cell)}
    cells, seen = [], set()
    for number, cell in enumerate(submitted.cells, 1):
        cell = deepcopy(cell)
        name = grade_id(cell)
        cell.metadata = NotebookNode()  # tags and marks of the student's own mean nothing here
        if name is not None and (name not in known or name in seen):
            twice, unknown = f"is '{name}' for the second time; the first one counts.", "has an unknown name: renamed?"
            why = twice if name in seen else unknown
            notes.append(f"Cell {number} from the top {why} Its code was executed as a cell of your own.")
            name = None
        if name is not None:
            seen.add(name)
            cell, changed = _as_released(cell, known[name])
            if changed:
                notes.append(f"The grader's cell '{name}' had been changed and was put back.")
        cells.append(cell)
    for name, released in known.items():
        if name not in seen:
            cells.insert(_place(cells, name, list(known)), _missing(released))
            notes.append(f"The cell '{name}' was missing and was put back{'' if _locked(released) else ', empty'}.")
    repaired = nbformat.v4.new_notebook(cells=cells, metadata=deepcopy(release.metadata))
    for cell in repaired.cells:
        cell.pop("id", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    repaired.nbformat_minor = 4  # without ids: two cells of a submission may share one
    return repaired, notes


def _locked(cell: NotebookNode) -> bool:
    """Whether a cell of the release is the grader's and not an answer."""
    return not cell.metadata["nbgrader"]["solution"]


def _as_released(cell: NotebookNode, released: NotebookNode) -> tuple[NotebookNode, bool]:
    """Return a submitted cell with the release's kind and metadata, and whether the grader's text had been changed."""
    changed = _locked(released) and cell.source.strip() != released.source.strip()
    new = deepcopy(released)
    if not _locked(released):
        new.source = cell.source
    return new, changed


def _missing(released: NotebookNode) -> NotebookNode:
    cell = deepcopy(released)
    if not _locked(cell) and cell.cell_type == "code":
        cell.source = STUB_ANSWER
    return cell


def _place(cells: list[NotebookNode], name: str, order: list[str]) -> int:
    """Return where a missing cell belongs: behind the nearest of those before it in the release."""
    before = set(order[: order.index(name)])
    places = [index for index, cell in enumerate(cells) if grade_id(cell) in before]
    return max(places, default=-1) + 1
