"""The assignments' tests on known answers, cell by cell in this process: what each costs, and what is said."""

from __future__ import annotations

import contextlib
import io
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from nbformat import NotebookNode

from scalearn_lib.course.repair import grade_id
from scalearn_lib.course.sentences import of_assignment

from .cases import CASES, POINTS, SOURCE, Case, edited, source


def failures(notebook: NotebookNode, monkeypatch: pytest.MonkeyPatch, folder: Path) -> dict[str, str]:
    """Execute the code cells one after the other in one namespace; what went wrong, by cell."""
    monkeypatch.chdir(folder)
    namespace: dict[str, object] = {"__name__": "__main__", "display": lambda *shown: None}
    failed = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                try:
                    exec(compile(cell.source, grade_id(cell) or "cell", "exec"), namespace)
                except Exception as error:
                    failed[grade_id(cell)] = f"{type(error).__name__}: {error}"
    plt.close("all")
    return failed


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder with the stored files of every assignment, as a student has those of one."""
    for file in SOURCE.glob("*/*.*"):
        if file.suffix != ".ipynb":
            shutil.copy(file, tmp_path)
    return tmp_path


@pytest.mark.parametrize("assignment", POINTS)
def test_reference_passes_every_test(assignment: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failures(source(assignment), monkeypatch, folder) == {}


@pytest.mark.parametrize("assignment", POINTS)
def test_points_are_as_the_text_says(assignment: str) -> None:
    cells = [cell for cell in source(assignment).cells if grade_id(cell)]
    graded = [cell.metadata["nbgrader"] for cell in cells if cell.metadata["nbgrader"]["grade"]]
    by_test = sum(about["points"] for about in graded if not about["solution"])
    by_hand = sum(about["points"] for about in graded if about["solution"])
    assert (by_test, by_hand) == POINTS[assignment]
    introduction = source(assignment).cells[0].source
    assert f"**Points** {by_test + by_hand}: {by_test} by tests, {by_hand} for" in introduction


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_wrong_answer_costs_what_it_should(case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {name: edit for name, edit in case.edits.items() if "_test_" not in name}
    failed = failures(edited(source(case.assignment), answers), monkeypatch, folder)
    assert set(failed) == set(case.lost)
    for name, words in case.lost.items():
        kind, text = failed[name].split(": ", 1)
        assert kind == "AssertionError" and words in text
        assert (
            of_assignment(source(case.assignment))[name].about(kind, text) == text
        )  # the feedback leaves nothing of it out
