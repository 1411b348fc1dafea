"""No solution and no hidden test reaches a release, cell by cell, and nothing else is lost on the way."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from scalearn_lib.course.release import CODE_STUB, TEXT_STUB, assignments, release
from scalearn_lib.course.repair import grade_id
from scalearn_lib.errors import UserError

from .cases import POINTS, SOURCE, source

REGIONS = (("### BEGIN SOLUTION", "### END SOLUTION"), ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"))


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(SOURCE, tmp_path_factory.mktemp("course") / "release")


def secret_lines(cell: NotebookNode) -> set[str]:
    """The lines of a source cell that stand in a solution or among hidden tests; of a written answer, all."""
    about = cell.metadata.get("nbgrader", {})
    if about.get("solution") and about.get("grade"):
        return set(cell.source.splitlines())
    secret, end = set(), None
    for line in cell.source.splitlines():
        if end is None:
            end = next((stop for start, stop in REGIONS if start in line), None)
        elif end in line:
            end = None
        else:
            secret.add(line)
    return secret


@pytest.mark.parametrize("assignment", POINTS)
def test_nothing_secret_is_released(assignment: str, released: Path) -> None:
    before, after = source(assignment), nbformat.read(released / assignment / f"{assignment}.ipynb", as_version=4)
    assert len(before.cells) == len(after.cells)
    secrets = 0
    for theirs, ours in zip(before.cells, after.cells, strict=True):
        assert grade_id(theirs) == grade_id(ours)
        secret, open_lines = secret_lines(theirs), set(ours.source.splitlines())
        kept = [line for line in theirs.source.splitlines() if line not in secret and "###" not in line]
        secrets += len(secret)
        leaked = {line for line in secret & open_lines if line.strip()} - set(kept)
        assert leaked == set(), f"{grade_id(theirs)} leaks {leaked}"
        assert not any(mark in ours.source for marks in REGIONS for mark in marks)
        assert ours.get("outputs", []) == []
        if theirs.metadata.get("nbgrader", {}).get("solution"):
            stub = TEXT_STUB if theirs.cell_type == "markdown" else CODE_STUB.splitlines()[-1]
            assert stub in ours.source
        assert set(kept) - set(ours.source.splitlines()) == set()  # what is not secret stays
    assert secrets > 20


@pytest.mark.parametrize("assignment", POINTS)
def test_no_solution_stands_anywhere_in_the_file(assignment: str, released: Path) -> None:
    """Not in metadata, outputs or attachments either: the whole file is searched for every telling line."""
    text = (released / assignment / f"{assignment}.ipynb").read_text()
    after = nbformat.read(released / assignment / f"{assignment}.ipynb", as_version=4)
    shown = "\n".join(
        line for cell in source(assignment).cells for line in cell.source.splitlines() if line not in secret_lines(cell)
    )
    telling = {
        line.strip() for cell in source(assignment).cells for line in secret_lines(cell) if len(line.strip()) > 25
    }
    telling = {line for line in telling if line not in shown}
    assert len(telling) > 10
    whole = text + "\n".join(cell.source for cell in after.cells)
    assert [line for line in telling if line in whole] == []


def test_a_release_holds_the_stored_files_and_nothing_held_back(released: Path) -> None:
    for assignment in POINTS:
        there = {path.name for path in (SOURCE / assignment).iterdir() if not path.name.startswith(".")}
        assert {path.name for path in (released / assignment).iterdir()} == there
    assert not [path for path in released.rglob("*") if "test_scores" in path.name or path.suffix == ".db"]
    assert sum(path.stat().st_size for path in released.rglob("*")) < 500_000


def test_assignments_are_found_in_order() -> None:
    assert assignments(SOURCE) == sorted(POINTS)


def test_what_cannot_be_released_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no assignment"):
        release(tmp_path, tmp_path / "release")
    with pytest.raises(UserError, match="Unknown assignment 'scalin'.*did you mean 'scaling'"):
        release(SOURCE, tmp_path / "release", ["scalin"])
    twice = nbformat.v4.new_notebook(cells=[source("scaling").cells[3]] * 2)
    for cell in twice.cells:
        cell.metadata["nbgrader"] = {"grade": False, "grade_id": "same", "locked": True, "schema_version": 3} | {
            "solution": False,
            "task": False,
            "cell_type": "markdown",
        }
    (tmp_path / "source" / "twice").mkdir(parents=True)
    nbformat.write(twice, tmp_path / "source" / "twice" / "twice.ipynb")
    with pytest.raises(UserError, match="'twice' cannot be released: .*same"):
        release(tmp_path / "source", tmp_path / "release")
    assert not (tmp_path / "release").exists()
