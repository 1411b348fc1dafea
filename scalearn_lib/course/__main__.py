"""`python -m scalearn_lib.course`: what `make assignments`, `make grade` and `make course-data` call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import UserError
from ..paths import output_dir

COURSE = Path(__file__).resolve().parents[2] / "notebooks" / "assignments"


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, or 1 for an error that is printed."""
    parser = argparse.ArgumentParser(prog="python -m scalearn_lib.course", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    commands.add_parser("assignments", help="write the students' version of every assignment to release/")
    grade = commands.add_parser("grade", help="grade a folder of submissions")
    grade.add_argument("submissions", type=Path)
    grade.add_argument(
        "--output", type=Path, default=None, help="folder of marks and feedback (default: outputs/course)"
    )
    grade.add_argument("--unsafe", action="store_true", help="grade where submissions cannot be contained")
    commands.add_parser("data", help="compute the stored files that the assignments read")
    arguments = parser.parse_args(argv)
    try:
        run(arguments)
    except UserError as error:
        print(f"course: {error}", file=sys.stderr)
        return 1
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Carry out a parsed command; each imports what it needs."""
    if arguments.command == "assignments":
        from .release import release

        print(f"The students' version is in {release(COURSE / 'source', COURSE / 'release')}.")
    elif arguments.command == "grade":
        from .grading import grade

        root = arguments.output or output_dir() / "course"
        grade(arguments.submissions, COURSE / "source", root, unsafe=arguments.unsafe)
        print(f"Marks are in {root / 'marks.csv'}, feedback in {root / 'feedback'}.")
    else:
        from .stored import store

        store(COURSE / "source")


if __name__ == "__main__":
    sys.exit(main())
