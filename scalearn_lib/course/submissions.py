"""What students hand in: which folders are submissions, and what of one is taken into grading."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from ..errors import UserError

LARGEST = 20_000_000
"""Bytes of a submitted notebook beyond which it is not opened."""

DATA = (".yaml", ".yml", ".csv", ".tsv", ".jsonl", ".parquet", ".json", ".safetensors")
"""Endings of files that a submission may have beside its notebook: a suite of its own, its rows, its adapters."""
MOST_DATA = 100_000_000
"""Bytes of such files in all."""


def find(submissions: Path, names: Sequence[str]) -> Iterator[tuple[str, str, Path]]:
    """Yield student, assignment and notebook of every submission; what fits nowhere is printed.

    Raises:
        UserError: `submissions` is no folder.
    """
    if not submissions.is_dir():
        raise UserError(f"The folder of submissions {submissions} does not exist; name it as SUBMISSIONS=DIR.")
    for student in sorted(path for path in submissions.iterdir() if not path.name.startswith(".")):
        if not student.is_dir():
            print(f"Left out: {student} is no folder; a submission is STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb.")
            continue
        for folder in sorted(path for path in student.iterdir() if not path.name.startswith(".")):
            if student.is_symlink() or folder.is_symlink():
                print(f"Left out: {folder} is a link, or lies in one; hand in the folder itself.")
            elif folder.name in names and folder.is_dir():
                yield student.name, folder.name, folder / f"{folder.name}.ipynb"
            else:
                print(f"Left out: {folder} is no assignment; valid: {', '.join(names)}.")


def read(file: Path) -> NotebookNode:
    """Read a submitted notebook.

    Raises:
        UserError: it is missing, too large, or no notebook.
    """
    if file.is_symlink() or not file.is_file():
        raise UserError(f"{file.name} is missing from the submission (was it renamed?).")
    if file.stat().st_size > LARGEST:
        raise UserError(f"{file.name} has more than {LARGEST // 1_000_000} MB: clear its outputs and hand it in again.")
    try:
        notebook = nbformat.read(file, as_version=4)
        cells = [(cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]
    except Exception as error:  # nbformat raises what it meets
        raise UserError(f"{file.name} is no notebook that can be read ({type(error).__name__}).") from error
    if not all(isinstance(source, str) and kind in ("code", "markdown", "raw") for kind, source, _ in cells):
        raise UserError(f"{file.name} has cells that are no cells.")
    return notebook


def stage(notebook: NotebookNode, file: Path) -> None:
    """Put a repaired notebook where nbgrader looks for submissions, in a new folder."""
    shutil.rmtree(file.parent, ignore_errors=True)
    file.parent.mkdir(parents=True)
    nbformat.write(notebook, file)


def bring_data(folder: Path, to: Path) -> None:
    """Copy what a submission has of data beside its notebook; nothing else of it, and no links.

    Raises:
        UserError: it is more than `MOST_DATA`.
    """
    left = MOST_DATA
    for place, folders, names in os.walk(folder):  # does not follow links
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place) / name
            if file.suffix.lower() not in DATA or file.is_symlink() or not file.is_file():
                continue
            left -= file.stat().st_size
            if left < 0:
                raise UserError(f"Its data have more than {MOST_DATA // 1_000_000} MB: hand in a part of the rows.")
            copy = to / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy, follow_symlinks=False)
