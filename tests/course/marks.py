"""`make test-course`: the whole way through nbgrader, for answers whose marks are known.

Grades the reference and the untouched release of every assignment, every wrong answer of `cases.py`, and submissions
that misbehave; prints marks, feedback and times, and fails where one is not as it should be. Names of assignments
behind the command limit it to these.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scalearn_lib.course.grading import Marks, grade  # noqa: E402
from scalearn_lib.course.release import release  # noqa: E402
from tests.course.cases import CASES, POINTS, SOURCE, submission  # noqa: E402

FIRST = "learning_to_scale"


def misbehaving(released: NotebookNode) -> dict[str, tuple[NotebookNode, str]]:
    """Submissions of the first assignment that misbehave, each with words that their report must have."""
    answered = submission(released, FIRST)

    def with_cell(source: str) -> NotebookNode:
        changed = submission(released, FIRST)
        changed.cells.insert(3, nbformat.v4.new_code_cell(source))
        return changed

    missing, renamed = submission(released, FIRST), submission(released, FIRST)
    missing.cells = [c for c in missing.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "a1_test_sharing"]
    for cell in renamed.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "a1_sum":
            cell.metadata["nbgrader"]["grade_id"] = "my_sum"
    cheat = with_cell("import builtins\nopen('../keep.txt', 'w').write('x')")
    return {
        "cell missing": (missing, "'a1_test_sharing' was missing"),
        "cell renamed": (renamed, "has an unknown name"),
        "never ends": (with_cell("while True:\n    pass"), "more than 30 seconds"),
        "raises at import": (with_cell("import no_such_module"), ""),
        "prints megabytes": (with_cell("for _ in range(20000):\n    print('x' * 1000)"), "million characters"),
        "writes outside": (cheat, "Refused: writing outside"),
        "deletes files": (
            with_cell("import os, shutil\nshutil.rmtree(os.path.dirname(os.getcwd()))"),
            "Refused: changing",
        ),
        "leaves": (with_cell("import os\nos._exit(1)"), "Python itself ended"),
        "too much memory": (with_cell("blob = bytearray(20 * 2**30)"), ""),
        "as handed out, answered": (answered, ""),
    }


def main() -> int:
    """Grade everything and return the exit status: 0, or 1 if a mark is not as it should be."""
    expected: dict[str, tuple[str, float, dict[str, str], str]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        released = release(SOURCE, folder / "release")
        size = sum(path.stat().st_size for path in released.rglob("*"))
        print(f"The release has {len(list(released.rglob('*.*')))} files, {size / 1000:.0f} kB.")
        drafts = {name: nbformat.read(released / name / f"{name}.ipynb", as_version=4) for name in POINTS}

        def hand_in(student: str, assignment: str, notebook: NotebookNode) -> None:
            if assignment not in (sys.argv[1:] or POINTS):
                return
            place = folder / "in" / student / assignment
            place.mkdir(parents=True)
            nbformat.write(notebook, place / f"{assignment}.ipynb")

        for name, (possible, _) in POINTS.items():
            hand_in("reference", name, submission(drafts[name], name))
            hand_in("untouched", name, drafts[name])
            expected["reference", name] = (possible, {}, "")
            expected["untouched", name] = (0, {}, "")
        points = {
            cell.metadata["nbgrader"]["grade_id"]: cell.metadata["nbgrader"].get("points", 0)
            for draft in drafts.values()
            for cell in draft.cells
            if "nbgrader" in cell.metadata
        }
        for title, case in CASES.items():
            hand_in(title, case.assignment, submission(drafts[case.assignment], case.assignment, case.edits))
            left = POINTS[case.assignment][0] - sum(points[name] for name in case.lost)
            expected[title, case.assignment] = (left, case.lost, case.noted)
        for title, (notebook, noted) in misbehaving(drafts[FIRST]).items():
            hand_in(title, FIRST, notebook)
            after = 0 if title in ("leaves",) else POINTS[FIRST][0]
            expected[title, FIRST] = (after, {}, noted)
        started = time.perf_counter()
        every = grade(folder / "in", SOURCE, folder / "out")
        seconds = time.perf_counter() - started
        held = {path.name for path in folder.iterdir()}
    print(f"\n{len(every)} submissions in {seconds:.0f} s; ten take {10 * seconds / len(every):.0f} s.\n")
    problems = [] if held == {"release", "in", "out"} else [f"something was written outside: {held}"]
    for marks in every:
        problems += [
            f"{marks.student}, {marks.assignment}: {p}"
            for p in judge(marks, *expected[marks.student, marks.assignment])
        ]
    print("\n".join(problems) or "Every mark is as it should be.")
    return bool(problems)


def judge(marks: Marks, expected: float, lost: dict[str, str], noted: str) -> list[str]:
    """Print what a submission got, and return what is not as it should be."""
    got, possible = marks.total(by_hand=False)
    print(f"{marks.student} ({marks.assignment}): {got:g} of {possible:g}, {marks.seconds:.0f} s")
    for name, (score, _, sentence) in marks.points.items():
        if sentence and marks.student not in ("untouched", "leaves"):
            print(f"    {name} {score:g}: {sentence}")
    for note in [*marks.notes, *filter(None, [marks.error])]:
        print(f"    noted: {note}")
    problems = [] if got == expected else [f"{got:g} points instead of {expected:g}"]
    problems += [f"{name} does not say {words!r}" for name, words in lost.items() if words not in marks.points[name][2]]
    if noted and noted not in " ".join(marks.notes):
        problems.append(f"nothing is noted about {noted!r}")
    if marks.seconds > 120:
        problems.append(f"grading took {marks.seconds:.0f} s")
    return problems


if __name__ == "__main__":
    sys.exit(main())
