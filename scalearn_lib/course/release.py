"""From sources with solutions to the students' version, by nbgrader."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbgrader.api
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from ..errors import UserError, unknown

CODE_STUB = "# Your code here, instead of the next line.\nraise Unanswered"
TEXT_STUB = "*Your answer here.*"


def course_config(root: Path, source: Path) -> Config:
    """Return nbgrader's configuration: sources in `source`, all that it makes, the gradebook too, in `root`."""
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.source_directory = str(source)
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    config.ClearSolutions.code_stub = {"python": CODE_STUB}
    config.ClearSolutions.text_stub = TEXT_STUB
    config.ClearSolutions.enforce_metadata = True
    return config


def course_api(config: Config) -> NbGraderAPI:
    """Return nbgrader's interface to the course of a configuration; it speaks only where something is wrong."""
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ.get("PATH", "").split(os.pathsep):  # nbgrader calls alembic by its name
        os.environ["PATH"] = os.pathsep.join(filter(None, [programs, os.environ.get("PATH")]))
    nbgrader.api.get_alembic_version = _alembic_version
    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    api.log.setLevel("ERROR")
    return api


# nbgrader starts a program for this whenever it opens the gradebook, a dozen times per submission.
_alembic_version = functools.cache(nbgrader.api.get_alembic_version)


def assignments(source: Path) -> list[str]:
    """Return the names of the assignments below `source`, in alphabetical order.

    Raises:
        UserError: there is none.
    """
    names = sorted(path.parent.name for path in source.glob("*/*.ipynb") if path.stem == path.parent.name)
    if not names:
        raise UserError(f"{source} holds no assignment: each is a folder with a notebook of the same name.")
    return names


def generate(api: NbGraderAPI, names: Sequence[str]) -> None:
    """Write the release of some assignments, and enter them into the gradebook.

    Raises:
        UserError: nbgrader refuses a source; the message ends with its own words.
    """
    for name in names:
        done = api.generate_assignment(name, force=True, create=True)
        if not done["success"]:
            raise UserError(f"The assignment '{name}' cannot be released: {reason(done)}")


def reason(done: Mapping[str, object]) -> str:
    """Return the line in which nbgrader says what was wrong, from what a call of its interface returned."""
    lines = f"{done.get('log') or ''}\n{done.get('error') or ''}".splitlines()
    errors = [line.strip() for line in lines if re.match(r"\s*[\w.]+(Error|Exception|Entry|Warning): ", line)]
    return (errors or ["nbgrader gives no reason"])[0][:500]


def release(source: Path, target: Path, names: Sequence[str] | None = None) -> Path:
    """Write the students' version of the assignments in `source` to `target`, in place of what was there.

    Raises:
        UserError: an assignment is unknown or refused.
    """
    every = assignments(source)
    for name in names or []:
        if name not in every:
            raise unknown("assignment", name, every)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        generate(course_api(course_config(root, source.resolve())), names or every)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(f".{target.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(root / "release", new)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(new, target)
    return target
