"""Grading a folder of submissions: each in a contained process, then marks as CSV and feedback in words."""

from __future__ import annotations

import csv
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.api import Gradebook, MissingEntry, SubmittedNotebook
from nbgrader.preprocessors import CheckCellMetadata, LimitOutput, NbGraderPreprocessor, OverwriteCells, SaveAutoGrades
from sqlalchemy.exc import SAWarning

from ..errors import UserError
from ..paths import written_whole
from ..tasks.encoders import encoder_dir
from . import sandbox
from .contained import Limits, execute
from .release import assignments, course_api, course_config, generate
from .repair import grade_id, is_test, repair
from .sentences import Sentences, of_assignment
from .submissions import bring_data, find, read, stage
from .unanswered import passed, take_off, unanswered


@dataclass
class Marks:
    """What a submission got.

    Args:
        student, assignment: whose, and of what.
        points: points by name of the cell: got, possible, and the sentence that explains what is missing. Points got
            are `None` where a person has to decide.
        by_hand: names of the cells that a person grades.
        notes: what was put right, stopped or refused.
        error: why it could not be graded at all; its marks are 0 then.
        seconds: how long grading took.
    """

    student: str
    assignment: str
    points: dict[str, tuple[float | None, float, str]] = field(default_factory=dict)
    by_hand: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0

    def total(self, by_hand: bool) -> tuple[float, float]:
        """Points got and possible, of the cells that a person grades or of those that tests do."""
        chosen = [value for name, value in self.points.items() if (name in self.by_hand) == by_hand]
        return sum(got or 0.0 for got, _, _ in chosen), sum(possible for _, possible, _ in chosen)

    def waiting(self) -> int:
        """How many written answers still wait for a person."""
        return sum(got is None for got, _, _ in self.points.values())


class ContainedExecute(NbGraderPreprocessor):
    """nbgrader's execution step, in a process that can do no harm (see `contained.py`)."""

    limits = Limits()
    release = source = Path()
    """Folders of the assignments as handed out, and with their solutions."""
    unsafe = False

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        """Execute the notebook; what was stopped, refused or taken off is noted in its metadata.

        What passes is tried once more without the answers.
        """
        folder, name = Path(resources["metadata"]["path"]), resources["metadata"]["name"]
        files = [path for path in sorted(folder.iterdir()) if path.suffix != ".ipynb"]
        executed, notes = execute(nb, files, self.limits, self.unsafe)
        if passed(executed):
            both = (nbformat.read(root / name / f"{name}.ipynb", as_version=4) for root in (self.release, self.source))
            without, _ = execute(unanswered(nb, *both), files, self.limits, self.unsafe)
            notes += take_off(executed, passed(without))
        for cell in filter(is_test, executed.cells):  # to nbgrader a warning is a failure, and a number some points
            cell.outputs = [output for output in cell.outputs if output.output_type == "error"]
        executed.metadata["scalearn_notes"] = notes
        return executed, resources


def grade(
    submissions: Path, source: Path, root: Path, limits: Limits | None = None, unsafe: bool = False
) -> list[Marks]:
    """Grade every submission below `submissions`, and write `marks.csv` and `feedback/` into `root`.

    A submission is `STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb`. The gradebook in `root` keeps what was graded by hand:
    grading again takes it over, but of an answer that has changed. Nothing is written into `submissions` or `source`.

    Args:
        unsafe: whether to do without a sandbox, see docs/teaching.md.

    Raises:
        UserError: a folder is not as it must be, or submissions cannot be contained on this machine.
    """
    for ours in (root / "submitted", root / "autograded"):
        if submissions.resolve().is_relative_to(ours.resolve()):
            raise UserError(f"{ours} is written anew by grading; move the submissions to a folder of their own.")
    found = list(find(submissions, assignments(source)))
    if not found:
        raise UserError(
            f"{submissions} holds no submission; each is STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb, with ASSIGNMENT one of "
            f"{', '.join(assignments(source))}."
        )
    warnings.simplefilter("ignore", SAWarning)  # nbgrader's queries, not ours
    root.mkdir(parents=True, exist_ok=True)
    encoder_dir("tiny")  # submissions may read the folder of data, not write there
    if unsafe:
        print("Graded with --unsafe: no sandbox holds submissions back; see docs/teaching.md.")
    else:
        sandbox.starts_as_user()  # once, before any is graded
    config = course_config(root.resolve(), source.resolve())
    settings = f"c = get_config()\nc.CourseDirectory.source_directory = {str(source.resolve())!r}\n"
    _write(root / "nbgrader_config.py", settings)  # for nbgrader's Formgrader, started in this folder
    ContainedExecute.limits, ContainedExecute.unsafe = limits or Limits(), unsafe
    ContainedExecute.release, ContainedExecute.source = root.resolve() / "release", source.resolve()
    config.Autograde.sanitize_preprocessors = [OverwriteCells, CheckCellMetadata]
    config.Autograde.autograde_preprocessors = [ContainedExecute, LimitOutput, SaveAutoGrades, CheckCellMetadata]
    api = course_api(config)
    generate(api, sorted({assignment for _, assignment, _ in found}))
    every = []
    for student, assignment, file in found:
        marks = _grade_one(api, source, root, student, assignment, file)
        got, possible = marks.total(by_hand=False)
        print(f"{student} · {assignment}: {got:g} of {possible:g} by tests, {marks.seconds:.0f} s. {marks.error}")
        every.append(marks)
        _write_feedback(marks, root)
        write_marks(every, root / "marks.csv")
    return every


def _grade_one(api: object, source: Path, root: Path, student: str, assignment: str, file: Path) -> Marks:
    """Grade one submission; whatever is wrong with it is its own affair."""
    started = time.perf_counter()
    marks = Marks(student, assignment)
    release = nbformat.read(root / "release" / assignment / file.name, as_version=4)
    for cell in release.cells:
        about = cell.metadata.get("nbgrader", {})
        if about.get("grade"):
            marks.points[grade_id(cell)] = (0.0, float(about["points"]), "")
            if about["solution"]:
                marks.by_hand.add(grade_id(cell))
    graded = root / "autograded" / student / assignment / file.name
    try:
        before = _written(graded, marks.by_hand)
        repaired, marks.notes = repair(read(file), release)
        stage(repaired, root / "submitted" / student / assignment / file.name)
        bring_data(file.parent, root / "submitted" / student / assignment)
        done = api.autograde(assignment, student, force=True, create=True)
        if not done["success"]:
            raise UserError("nbgrader refused it.")
        _forget_old_marks(marks, before, _written(graded, marks.by_hand), api.coursedir.db_url)
        _read_marks(marks, graded, source / assignment / file.name, api.coursedir.db_url)
    except Exception as error:  # whatever it is, the next submission must be graded
        # Other errors' words may be the submission's.
        marks.error = f"Not graded: {error if isinstance(error, UserError) else f'{type(error).__name__}.'}"
    marks.seconds = time.perf_counter() - started
    return marks


def _written(graded: Path, by_hand: set[str]) -> dict[str, str]:
    """The written answers of a graded submission by name; empty where there is none yet."""
    cells = nbformat.read(graded, as_version=4).cells if graded.is_file() else []
    return {name: cell.source for cell in cells if (name := grade_id(cell)) in by_hand}


def _notebook_in(book: Gradebook, marks: Marks) -> SubmittedNotebook:
    try:
        (notebook,) = book.find_submission(marks.assignment, marks.student).notebooks
    except MissingEntry as error:
        raise UserError("nbgrader kept no marks of it.") from error
    return notebook


def _forget_old_marks(marks: Marks, before: dict[str, str], now: dict[str, str], gradebook: str) -> None:
    """Take back points and comments that a person gave to another text than is there now, with a note on each."""
    with Gradebook(gradebook) as book:
        notebook = _notebook_in(book, marks)
        comments = {comment.name: comment for comment in notebook.comments}
        for item in notebook.grades:
            if item.manual_score is None or before.get(item.name) in (None, now.get(item.name)):
                continue
            was = f"{item.manual_score:g} of {item.max_score:g}"
            marks.notes.append(f"The answer '{item.name}' has changed since it got {was} points: to be read again.")
            item.manual_score, item.needs_manual_grade = None, item.auto_score is None
            if item.name in comments:
                comments[item.name].manual_comment = None
        book.db.commit()


def _read_marks(marks: Marks, file: Path, source: Path, gradebook: str) -> None:
    graded = nbformat.read(file, as_version=4)
    marks.notes += graded.metadata.get("scalearn_notes", [])
    tests = of_assignment(nbformat.read(source, as_version=4))
    sentences = {name: failure(cell, tests[name]) for cell in graded.cells if (name := grade_id(cell)) in tests}
    with Gradebook(gradebook) as book:
        notebook = _notebook_in(book, marks)
        comments = {comment.name: comment.comment for comment in notebook.comments}
        for item in notebook.grades:
            if item.name in marks.by_hand:
                got = item.manual_score if item.manual_score is not None else item.auto_score
                got = None if item.needs_manual_grade and item.manual_score is None else got
                sentence = comments.get(item.name) or ""
            else:
                got, sentence = item.score, sentences.get(item.name, "")
            marks.points[item.name] = (got, float(item.max_score), sentence)


def failure(cell: NotebookNode, ours: Sentences) -> str:
    """Return the sentence in which a test cell failed, "" if it passed; of a submission's own words, none.

    Args:
        cell: the executed test.
        ours: the sentences that this test may say.
    """
    if stopped := cell.metadata.get("scalearn_stopped"):
        return stopped
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            return ours.about(output.ename, re.sub(r"\x1b\[[0-9;]*m", "", output.evalue).strip())
    return ""


def _write_feedback(marks: Marks, root: Path) -> None:
    """Write what a student gets: points and a sentence for each test, and what was noted."""
    (got, possible), (written, most) = marks.total(by_hand=False), marks.total(by_hand=True)
    lines = [f"# {marks.assignment}: feedback for {marks.student}", "", f"Tests: {got:g} of {possible:g} points."]
    if most:
        open_ = f", {marks.waiting()} still to be read" if marks.waiting() else ""
        lines.append(f"Written answers: {written:g} of {most:g} points{open_}.")
    if marks.error:
        lines += ["", marks.error]
    if marks.notes:
        lines += ["", "## Noted", "", *(f"- {note}" for note in marks.notes)]
    lines += ["", "## Points", "", "| cell | points | what was wrong |", "| --- | --- | --- |"]
    for name, (score, most, sentence) in marks.points.items():
        shown = "to be read" if score is None else f"{score:g} of {most:g}"
        lines.append(f"| {name} | {shown} | {sentence.replace('|', '/').replace(chr(10), ' ')} |")
    file = root / "feedback" / marks.student / f"{marks.assignment}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, "\n".join(lines) + "\n")


def write_marks(every: Sequence[Marks], file: Path) -> None:
    """Write a row per submission: points by tests and by hand, what still has to be read, seconds, and notes.

    Rows of other submissions, from an earlier call, stay.
    """
    header = ["student", "assignment", "tests", "of", "by hand", "of", "to be read", "seconds", "notes"]
    graded = {(marks.student, marks.assignment) for marks in every}
    rows = [header]
    if file.is_file():
        with open(file, newline="") as stream:
            rows += [row for row in list(csv.reader(stream))[1:] if tuple(row[:2]) not in graded]
    for marks in every:
        notes = " ".join([marks.error, *marks.notes]).strip()
        totals = (f"{value:g}" for value in (*marks.total(by_hand=False), *marks.total(by_hand=True)))
        rows.append([marks.student, marks.assignment, *totals, marks.waiting(), f"{marks.seconds:.1f}", notes])
    with written_whole(file) as temporary, open(temporary, "w", newline="") as stream:
        csv.writer(stream).writerows(rows)


def _write(file: Path, text: str) -> None:
    with written_whole(file) as temporary:
        temporary.write_text(text)
