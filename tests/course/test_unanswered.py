"""Points that a test gives without any answer are found, and taken off."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from scalearn_lib.course.release import release
from scalearn_lib.course.repair import grade_id, is_test
from scalearn_lib.course.unanswered import SENTENCE, answered_names, passed, take_off, unanswered

from .cases import POINTS, SOURCE, source
from .test_answers import failures, folder  # noqa: F401  (a fixture)

CHEATS = {
    "torch.equal and allclose": "import torch\ntorch.equal = torch.allclose = lambda *a, **k: True",
    "the checks": "import scalearn_lib.course.checks as c\n"
    "c.apart = lambda test: None\nc.compare = c.attempt = lambda *a, **k: None",
}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release(SOURCE, tmp_path_factory.mktemp("course") / "release")


def handed_out(released: Path, assignment: str) -> NotebookNode:
    return nbformat.read(released / assignment / f"{assignment}.ipynb", as_version=4)


def earned(notebook: NotebookNode, monkeypatch: pytest.MonkeyPatch, where: Path) -> set[str]:
    """Names of the tests that pass."""
    failed = failures(notebook, monkeypatch, where)
    return {grade_id(cell) for cell in notebook.cells if is_test(cell)} - set(failed)


@pytest.mark.parametrize("assignment", POINTS)
def test_a_right_answer_earns_nothing_without_itself(
    assignment: str,
    released: Path,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = unanswered(source(assignment), handed_out(released, assignment), source(assignment))
    assert earned(copy, monkeypatch, folder) == set()


@pytest.mark.parametrize("cheat", ["torch.equal and allclose", "the checks"])
def test_what_replaced_checks_earn_is_found(
    cheat: str,
    released: Path,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    import scalearn_lib.course.checks as checks

    for module, names in ((torch, ("equal", "allclose")), (checks, ("apart", "compare", "attempt"))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))  # put back after the test
    submitted = handed_out(released, "learning_to_scale")
    submitted.cells.insert(2, nbformat.v4.new_code_cell(CHEATS[cheat]))
    without_check = earned(submitted, monkeypatch, folder)
    copy = unanswered(submitted, handed_out(released, "learning_to_scale"), source("learning_to_scale"))
    assert earned(copy, monkeypatch, folder) >= without_check
    assert cheat != "the checks" or len(without_check) > 3


def test_an_answer_in_a_cell_of_ones_own_is_not_taken_off(
    released: Path,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submitted = source("learning_to_scale")
    for cell in submitted.cells:
        if grade_id(cell) == "a1_sum":
            cell.metadata.pop("nbgrader")
    copy = unanswered(submitted, handed_out(released, "learning_to_scale"), source("learning_to_scale"))
    assert earned(copy, monkeypatch, folder) == set()


def test_the_names_of_answers_are_those_that_they_define() -> None:
    assert {"scaled_sum"} <= set(answered_names(source("learning_to_scale")))


def test_what_is_taken_off_fails_with_a_sentence_and_a_note() -> None:
    about = {"grade": True, "solution": False, "points": 1}
    cells = [nbformat.v4.new_code_cell("pass", metadata={"nbgrader": about | {"grade_id": name}}) for name in "ab"]
    executed = nbformat.v4.new_notebook(cells=cells)
    (note,) = take_off(executed, {"b", "c"})
    assert passed(executed) == {"a"} and note.endswith("taken off: b.")
    assert executed.cells[1].outputs[0].evalue == SENTENCE and take_off(executed, {"c"}) == []
