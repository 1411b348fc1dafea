"""The parameters of a notebook, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType

import torch

from ..errors import UserError, unknown
from ..methods import get_method
from ..paths import output_dir
from ..runs.run import Run, source_tasks_at_hand
from ..runs.versions import provenance
from ..tasks import SUITES, Task, get_suite, get_task
from ..tasks.encoders import encoder_dir
from ..training.budget import BUDGETS

PARAMETERS = {
    "SUITE": str,
    "ENCODER": str,
    "BUDGET": str,
    "SEEDS": [int],
    "TARGETS": [str],
    "METHODS": [str],
    "OUTPUT": str,
}
"""Type of each parameter; `[type]` is a list of it."""


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of a notebook: `suite` by name, also where SUITE is a file; `output` is for results."""

    suite: str
    encoder: str
    budget: str
    seeds: tuple[int, ...]
    targets: tuple[str, ...]
    methods: tuple[str, ...]
    output: Path

    def task(self, name: str) -> Task:
        """The task of that name; a task of another suite gives way to this one's first that is no target."""
        return get_task(self.suite, _follow(self.suite, [name], besides=self.targets)[0])

    def run(self, task: str, method: str, seed: int, k: int | None = None, **more: object) -> Run:
        """The run of a method on a task with these parameters; `more` are further fields of `Run`."""
        run = Run(self.suite, task, method, self.encoder, seed, k, self.budget, **more)
        return source_tasks_at_hand([run])[0]

    def runs(self, k: int | None = None, **more: object) -> list[Run]:
        """All targets × methods × seeds; `more` are further fields of each `Run`, such as `sampling`."""
        return [self.run(t, m, s, k, **more) for t in self.targets for m in self.methods for s in self.seeds]


def show_versions() -> None:
    """Print what the notebook runs on: versions, device, and the commit where there is one."""
    about = provenance()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    commit = f"commit {about['commit'][:10]}" if about["commit"] else "no git checkout"
    print(" · ".join(f"{name} {version}" for name, version in about["versions"].items()))
    print(f"{device} · {commit}{' with local changes' if about['changed'] else ''}")


def check_parameters(namespace: Mapping[str, object], **more: type | UnionType | list[type]) -> Parameters:
    """Check the parameters that a notebook was given; call it as `check_parameters(globals())`.

    TARGETS follow SUITE: where all are tasks of other suites (a notebook's own choice, when only SUITE was set), the
    first tasks of SUITE take their place, and a line says so.

    Args:
        namespace: the notebook's globals, where each capitalised name is taken for a parameter.
        **more: type of each further parameter of this notebook, `[type]` for a list, `type | None` where none will do.

    Raises:
        UserError: a parameter is unknown, missing, of the wrong type, or names what does not exist.
    """
    kinds = PARAMETERS | more
    for name in namespace:
        if name.isupper() and not name.startswith("_") and name not in kinds:
            raise unknown("notebook parameter", name, kinds)
    for name, kind in kinds.items():
        if name not in namespace:
            raise UserError(f"The notebook parameter {name} is missing; set it in the cell tagged 'parameters'.")
        if not (name == "OUTPUT" and namespace[name] is None):
            _check_type(name, namespace[name], kind)
    suite = get_suite(namespace["SUITE"]).name
    targets = _follow(suite, namespace["TARGETS"])
    for task in targets:
        get_task(suite, task)
    for method in namespace["METHODS"]:
        get_method(method)
    if namespace["BUDGET"] not in BUDGETS:
        raise unknown("budget", namespace["BUDGET"], BUDGETS)
    encoder_dir(namespace["ENCODER"])
    return Parameters(
        suite,
        namespace["ENCODER"],
        namespace["BUDGET"],
        tuple(namespace["SEEDS"]),
        tuple(targets),
        tuple(namespace["METHODS"]),
        Path(namespace["OUTPUT"] or output_dir()),
    )


def _follow(suite: str, names: Sequence[str], besides: Sequence[str] = ()) -> Sequence[str]:
    """Return names of tasks; where all are of other suites, as many of this suite's first tasks, `besides` left out."""
    here = [task.name for task in get_suite(suite).tasks]
    elsewhere = {task.name for other in SUITES.values() for task in other.tasks} - set(here)
    instead = [name for name in here if name not in besides][: len(names)]
    if not instead or not set(names) <= elsewhere:
        return names
    print(f"Of {suite}: {', '.join(instead)}, in place of {', '.join(names)}, of which it has none.")
    return instead


def _check_type(name: str, value: object, kind: type | UnionType | list[type]) -> None:
    if isinstance(kind, list):
        if not isinstance(value, list | tuple) or not value:
            example = {int: "[0, 1]", float: "[0.5, 1.0]", str: "['rte']"}[kind[0]]
            raise UserError(
                f"{name} must be a list such as {example}, got {value!r}; with papermill, use -y for lists."
            )
        for item in value:
            _check_type(f"Each item of {name}", item, kind[0])
        return
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        words = {int: "a whole number", float: "a number", str: "a text", int | None: "a whole number or None"}
        wanted = words[kind]
        raise UserError(f"{name} must be {wanted}, got {value!r}.")
