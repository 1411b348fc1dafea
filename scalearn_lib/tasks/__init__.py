"""Benchmarks: what a task is, where its data lies, how it is split, encoded and scored."""

from __future__ import annotations

from ..errors import unknown
from . import glue, humset, offline, superglue, toy
from .task import Suite, Task

GSG = Suite(
    "gsg",
    "GLUE and SuperGLUE together, fifteen tasks (rte once)",
    glue.SUITE.tasks + tuple(task for task in superglue.SUITE.tasks if task is not superglue.RTE),
)
SUITES: dict[str, Suite] = {
    suite.name: suite for suite in (offline.SUITE, glue.SUITE, superglue.SUITE, GSG, humset.SUITE, toy.SUITE)
}
"""All suites by name."""


def get_suite(name: str) -> Suite:
    """Return the suite of this name; raises `UserError` with the valid names if there is none."""
    if name not in SUITES:
        raise unknown("suite", name, SUITES)
    return SUITES[name]


def get_task(suite: str, task: str) -> Task:
    """Return a task of a suite; raises `UserError` with the valid names if there is none."""
    tasks = {t.name: t for t in get_suite(suite).tasks}
    if task not in tasks:
        raise unknown("task", task, tasks)
    return tasks[task]


__all__ = ["SUITES", "Suite", "Task", "get_suite", "get_task"]
