"""Benchmarks: what a task is, where its data lies, how it is split, encoded and scored."""

from __future__ import annotations

from pathlib import Path

from ..errors import unknown
from . import glue, humset, offline, superglue, toy
from .adapters import Adapter, find_adapter
from .own import is_suite_file, own_repositories, read_suite
from .task import Suite, Task

GSG = Suite(
    "gsg",
    "GLUE and SuperGLUE together, fifteen tasks (rte once)",
    glue.SUITE.tasks + tuple(task for task in superglue.SUITE.tasks if task is not superglue.RTE),
)
SUITES: dict[str, Suite] = {
    suite.name: suite for suite in (offline.SUITE, glue.SUITE, superglue.SUITE, GSG, humset.SUITE, toy.SUITE)
}
"""All published suites by name."""

_own: dict[str, Suite] = {}  # read from their files by this process


def get_suite(name: str) -> Suite:
    """Return the suite of this name, or of a user's file; once its file was read, its name will do.

    Raises:
        UserError: there is none, with the valid names; or the file or its data are not as they must be.
    """
    if is_suite_file(name):
        suite = read_suite(Path(name), SUITES)
        _own[suite.name] = suite
        return suite
    if not is_known_suite(name):
        raise unknown("suite", name, (*SUITES, *_own, "a suite file such as my_suite.yaml"))
    return SUITES.get(name) or _own[name]


def is_known_suite(name: str) -> bool:
    """Whether there is a suite of this name: published, or read from its file by this process."""
    return name in SUITES or name in _own


def repositories(name: str) -> list[tuple[str, str, list[str]]]:
    """The hub's repositories that a suite needs, as `Suite.repositories`; of a user's file none need be here yet."""
    return own_repositories(Path(name), SUITES) if is_suite_file(name) else get_suite(name).repositories()


def get_task(suite: str, task: str) -> Task:
    """Return a task of a suite; raises `UserError` with the valid names if there is none."""
    tasks = {t.name: t for t in get_suite(suite).tasks}
    if task not in tasks:
        raise unknown("task", task, tasks)
    return tasks[task]


__all__ = [
    "SUITES",
    "Adapter",
    "Suite",
    "Task",
    "find_adapter",
    "get_suite",
    "get_task",
    "is_known_suite",
    "is_suite_file",
    "repositories",
]
