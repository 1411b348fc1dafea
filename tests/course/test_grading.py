"""Grading a class with a small assignment: marks, feedback, and submissions that misbehave."""

from __future__ import annotations

import csv
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbgrader.api import Gradebook

from scalearn_lib.course import grading, submissions
from scalearn_lib.course.contained import Limits, execute
from scalearn_lib.course.release import release
from scalearn_lib.course.repair import grade_id, repair
from scalearn_lib.errors import UserError

ANSWER = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
TEST = "### BEGIN HIDDEN TESTS\nassert double(3) == 6, 'double doubles'\n### END HIDDEN TESTS\nassert double(0) == 0"


def code(source: str, name: str | None = None, **about: object) -> NotebookNode:
    cell = nbformat.v4.new_code_cell(source)
    if name:
        cell.metadata["nbgrader"] = {"grade_id": name, "cell_type": "code", "schema_version": 3, "task": False} | {
            "grade": False,
            "solution": False,
            "locked": False,
            **about,
        }
    return cell


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course with one assignment of two points, one of them by hand, and its release."""
    root = tmp_path_factory.mktemp("course")
    cells = [
        code("class Unanswered(Exception):\n    pass", "setup", locked=True),
        code(ANSWER, "double", solution=True),
        code(TEST, "test_double", grade=True, locked=True, points=1),
        nbformat.v4.new_markdown_cell("An answer."),
    ]
    cells[3].metadata["nbgrader"] = cells[1].metadata["nbgrader"] | {"cell_type": "markdown", "grade_id": "why"}
    cells[3].metadata["nbgrader"] |= {"grade": True, "points": 1}
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (root / "source" / "mini").mkdir(parents=True)
    nbformat.write(notebook, root / "source" / "mini" / "mini.ipynb")
    release(root / "source", root / "release")
    return root


def released(course: Path) -> NotebookNode:
    return nbformat.read(course / "release" / "mini" / "mini.ipynb", as_version=4)


def answered(course: Path, answer: str = "def double(x):\n    return 2 * x") -> NotebookNode:
    notebook = released(course)
    notebook.cells[1].source = answer
    return notebook


def hand_in(folder: Path, student: str, notebook: NotebookNode) -> None:
    (folder / student / "mini").mkdir(parents=True)
    nbformat.write(notebook, folder / student / "mini" / "mini.ipynb")


def test_a_class_is_graded_whatever_single_submissions_do(course: Path, tmp_path: Path) -> None:
    submissions, outside = tmp_path / "in", tmp_path / "outside.txt"
    warning = "def double(x):\n    import warnings\n    warnings.warn('look out')\n    return 2 * x"
    hand_in(submissions, "right", answered(course, warning))
    hand_in(submissions, "untouched", released(course))
    hand_in(submissions, "wrong", answered(course, "def double(x):\n    return x"))
    edited = answered(course, "def double(x):\n    return x")
    edited.cells[2].source = "assert True"
    hand_in(submissions, "edited", edited)
    hand_in(submissions, "endless", answered(course, "while True:\n    pass"))
    writer = f"def double(x):\n    return 2 * x\nopen({str(outside)!r}, 'w').write('here')"
    hand_in(submissions, "writer", answered(course, writer))
    shadow = answered(course, "def double(x):\n    raise ValueError('forged | line')")
    hand_in(submissions, "forger", shadow)
    swallower = released(course)
    quiet = "async def quiet(self, *more, **others):\n    return False\ntype(get_ipython()).run_code = quiet"
    swallower.cells.insert(1, nbformat.v4.new_code_cell(quiet))
    hand_in(submissions, "swallower", swallower)
    choosy = answered(course, "def double(x):\n    return x")
    quiet = """from IPython.core.interactiveshell import InteractiveShell
run = InteractiveShell.run_code
async def quiet(self, *more, **others):
    failed = await run(self, *more, **others)
    if "double" in self.user_ns and failed:
        more[1].error_in_exec = None
        return False
    return failed
type(get_ipython()).run_code = quiet
get_ipython().showtraceback = lambda *more, **others: None"""
    choosy.cells.insert(1, nbformat.v4.new_code_cell(quiet))
    hand_in(submissions, "choosy", choosy)
    (submissions / "damaged" / "mini").mkdir(parents=True)
    (submissions / "damaged" / "mini" / "mini.ipynb").write_text("{")
    (submissions / "empty" / "mini").mkdir(parents=True)

    every = grading.grade(submissions, course / "source", tmp_path / "out", Limits(cell=4, notebook=40))

    by_student = {marks.student: marks for marks in every}
    points = {student: marks.total(by_hand=False) for student, marks in by_student.items()}
    assert points == {
        "right": (1, 1),
        "untouched": (0, 1),
        "wrong": (0, 1),
        "edited": (0, 1),
        "endless": (0, 1),
        "writer": (1, 1),
        "forger": (0, 1),
        "swallower": (0, 1),
        "choosy": (0, 1),
        "damaged": (0, 1),
        "empty": (0, 1),
    }
    assert by_student["wrong"].points["test_double"][2] == "double doubles"
    assert "'double' is not defined" in by_student["endless"].points["test_double"][2]
    assert "more than 4 seconds" in " ".join(by_student["endless"].notes)
    assert "Cell 2 from the top: This cell took" in " ".join(by_student["endless"].notes)
    assert by_student["edited"].notes == ["The grader's cell 'test_double' had been changed and was put back."]
    assert "Refused: writing outside the notebook's folder." in by_student["writer"].notes
    assert not outside.exists()
    assert "an error was swallowed" in " ".join(by_student["swallower"].notes)
    assert "an error was swallowed" in " ".join(by_student["choosy"].notes)
    assert by_student["forger"].points["test_double"][2] == "The test stopped with ValueError."
    assert "no notebook that can be read" in by_student["damaged"].error
    assert "missing from the submission" in by_student["empty"].error
    with open(tmp_path / "out" / "marks.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[0] for row in rows[1:]] == sorted(points)
    assert {row[0]: row[2] for row in rows[1:]} == {name: f"{got:g}" for name, (got, _) in points.items()}
    feedback = (tmp_path / "out" / "feedback" / "wrong" / "mini.md").read_text()
    assert "| test_double | 0 of 1 | double doubles |" in feedback
    assert "BEGIN HIDDEN" not in feedback and "return 2 * x" not in feedback


def test_data_beside_the_notebook_come_along_and_nothing_else(course: Path, tmp_path: Path) -> None:
    answer = (
        "from pathlib import Path\nfactor = int(Path('rows/factor.csv').read_text())\n"
        "other = sorted(path.name for path in Path('.').rglob('*') if path.is_file())\n"
        "assert other == ['factor.csv', 'suite.yaml'], other\ndef double(x):\n    return factor * x"
    )
    hand_in(tmp_path / "in", "ann", answered(course, answer))
    folder = tmp_path / "in" / "ann" / "mini"
    (folder / "rows").mkdir()
    (folder / "rows" / "factor.csv").write_text("2")
    (folder / "suite.yaml").write_text("name: mine")
    (folder / "numpy.py").write_text("raise SystemExit")
    (tmp_path / "secret.csv").write_text("9")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "linked").symlink_to(tmp_path)
    (marks,) = grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    assert (marks.total(by_hand=False), marks.notes, marks.error) == ((1, 1), [], "")


def test_too_much_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "MOST_DATA", 10)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("12345678901")
    with pytest.raises(UserError, match="Its data have more than"):
        submissions.bring_data(tmp_path / "in", tmp_path / "out")


def test_points_given_by_hand_survive_grading_again(course: Path, tmp_path: Path) -> None:
    notebook = answered(course)
    notebook.cells[3].source = "Because it is doubled."
    hand_in(tmp_path / "in", "ann", notebook)
    (first,) = grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    assert (first.points["why"][0], first.waiting()) == (None, 1)
    with Gradebook(f"sqlite:///{tmp_path / 'out' / 'gradebook.db'}") as book:
        grade = book.find_grade("why", "mini", "mini", "ann")
        grade.manual_score, grade.needs_manual_grade = 0.5, False
        book.find_comment("why", "mini", "mini", "ann").manual_comment = "Say more."
        book.db.commit()
    (again,) = grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    assert again.points["why"][0] == 0.5 and again.total(by_hand=True) == (0.5, 1)
    feedback = (tmp_path / "out" / "feedback" / "ann" / "mini.md").read_text()
    assert "| why | 0.5 of 1 | Say more. |" in feedback

    notebook.cells[3].source = "Because two times x is x plus x."
    nbformat.write(notebook, tmp_path / "in" / "ann" / "mini" / "mini.ipynb")
    (changed,) = grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    assert (changed.points["why"], changed.waiting()) == ((None, 1, ""), 1)
    assert changed.notes == ["The answer 'why' has changed since it got 0.5 of 1 points: to be read again."]


def test_what_is_no_submission_is_an_error_or_named(course: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(UserError, match="does not exist"):
        grading.grade(tmp_path / "none", course / "source", tmp_path / "out")
    (tmp_path / "in" / "ann" / "mimi").mkdir(parents=True)
    with pytest.raises(UserError, match="holds no submission"):
        grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    (tmp_path / "in" / "bob.zip").write_bytes(b"")
    with pytest.raises(UserError, match="holds no submission"):
        grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    hand_in(tmp_path, "cy", answered(course))
    (tmp_path / "in" / "dan").mkdir()
    (tmp_path / "in" / "dan" / "mini").symlink_to(tmp_path / "cy" / "mini")
    (tmp_path / "in" / "eve").symlink_to(tmp_path / "cy")
    with pytest.raises(UserError, match="holds no submission"):
        grading.grade(tmp_path / "in", course / "source", tmp_path / "out")
    with pytest.raises(UserError, match="is written anew by grading"):
        grading.grade(tmp_path / "submitted", course / "source", tmp_path)
    said = capsys.readouterr().out
    assert said.count("is a link, or lies in one") == 2
    assert "mimi is no assignment; valid: mini" in said and "bob.zip is no folder" in said


def test_marks_of_an_earlier_call_stay(tmp_path: Path) -> None:
    file = tmp_path / "marks.csv"
    grading.write_marks([grading.Marks("ann", "mini"), grading.Marks("bob", "mini")], file)
    grading.write_marks([grading.Marks("bob", "mini", error="late"), grading.Marks("cy", "mini")], file)
    with open(file, newline="") as stream:
        rows = list(csv.reader(stream))
    assert [row[0] for row in rows] == ["student", "ann", "bob", "cy"] and rows[2][-1] == "late"


def executed(*cells: str, limits: Limits | None = None) -> tuple[NotebookNode, str]:
    """The cells executed in a contained process, and all notes as one text."""
    notebook, notes = execute(
        nbformat.v4.new_notebook(cells=[code(cell) for cell in cells]), [], limits or Limits(20, 40)
    )
    return notebook, " ".join(notes)


def errors(notebook: NotebookNode) -> list[str]:
    """The name of the error in each cell, "" for none."""
    return [next((o.ename for o in cell.outputs if o.output_type == "error"), "") for cell in notebook.cells]


def test_a_contained_notebook_is_held_back(tmp_path: Path) -> None:
    secret, other = tmp_path / "secret.txt", tmp_path / "other.txt"
    secret.write_text("solution")
    other.write_text("mine")
    notebook, notes = executed(
        "import nothing_of_that_name",
        "print('x' * 50_000)",
        f"import os; os.remove({str(other)!r})",
        "import subprocess; subprocess.run(['touch', 'x'])",
        "import socket; socket.create_connection(('127.0.0.1', 80), 1)",
        "open('inside.txt', 'w').write('fine')",
        "raise SystemExit",
        f"open({str(secret)!r}).read()",
    )
    assert errors(notebook) == [
        *("ModuleNotFoundError", "", "PermissionError", "FileNotFoundError", "PermissionError", "", "SystemExit"),
        "FileNotFoundError",  # what may not be read is not there
    ]
    assert len(notebook.cells[1].outputs[-1].text) < 30_000
    assert other.exists()
    for words in ("changing", "starting a program", "using the network"):
        assert f"Refused: {words}" in notes


def test_what_follows_a_dead_or_stubborn_cell_counts_as_failed() -> None:
    notebook, notes = executed("1", "import os; os._exit(0)", "2")
    assert errors(notebook) == ["", "NotExecuted", "NotExecuted"]
    assert "Python itself ended" in notes
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    notebook, notes = executed("1", stubborn, "2", limits=Limits(cell=2, notebook=8))
    first, ignoring, last = errors(notebook)  # whether the cell's own limit is noted first is a race
    assert (first, last) == ("", "NotExecuted") and ignoring in ("TimeLimit", "NotExecuted")
    assert "more than 8 seconds in all" in notes


def test_repair_puts_back_what_is_missing_and_keeps_what_is_the_students(course: Path) -> None:
    notebook = answered(course)
    notebook.cells[1].metadata["nbgrader"]["grade_id"] = "renamed"
    del notebook.cells[2]
    notebook.cells.insert(0, code("helper = 1"))
    repaired, notes = repair(notebook, released(course))
    assert [grade_id(cell) for cell in repaired.cells if cell.cell_type == "code"] == [
        *(None, "setup", "double", "test_double", None),
    ]
    assert "return 2 * x" in repaired.cells[4].source
    assert notes[0].startswith("Cell 3 from the top has an unknown name") and "renamed:" not in notes[0]
    assert any(note.startswith("The cell 'test_double' was missing") for note in notes)
    twice = answered(course)
    twice.cells.append(twice.cells[2])
    assert "for the second time" in repair(twice, released(course))[1][0]
