"""What the notebooks share: checked parameters, and executing them headless."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import torch

from ..errors import UserError, unknown
from ..methods import get_method
from ..paths import output_dir
from ..tasks import get_suite, get_task
from ..tasks.encoders import encoder_dir
from .budget import BUDGETS
from .result import provenance
from .run import Run, source_tasks_at_hand

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

WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Parameters:
    """The checked parameters of a notebook; `output` is where results lie."""

    suite: str
    encoder: str
    budget: str
    seeds: tuple[int, ...]
    targets: tuple[str, ...]
    methods: tuple[str, ...]
    output: Path

    def run(self, task: str, method: str, seed: int, k: int | None = None) -> Run:
        """The run of a method on a task with these parameters."""
        (run,) = source_tasks_at_hand([Run(self.suite, task, method, self.encoder, seed, k, self.budget)])
        return run

    def runs(self, k: int | None = None) -> list[Run]:
        """All targets × methods × seeds."""
        return [self.run(t, m, s, k) for t in self.targets for m in self.methods for s in self.seeds]


def show_versions() -> None:
    """Print what the notebook runs on: versions, device, and the commit where there is one."""
    about = provenance()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    commit = f"commit {about['commit'][:10]}" if about["commit"] else "no git checkout"
    print(" · ".join(f"{name} {version}" for name, version in about["versions"].items()))
    print(f"{device} · {commit}{' with local changes' if about['changed'] else ''}")


def check_parameters(namespace: Mapping[str, object], **more: type | list[type]) -> Parameters:
    """Check the parameters that a notebook was given; call it as `check_parameters(globals())`.

    Args:
        namespace: the notebook's globals, where each capitalised name is taken for a parameter.
        **more: type of each further parameter of this notebook, `[type]` for a list.

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
    get_suite(namespace["SUITE"])
    for task in namespace["TARGETS"]:
        get_task(namespace["SUITE"], task)
    for method in namespace["METHODS"]:
        get_method(method)
    if namespace["BUDGET"] not in BUDGETS:
        raise unknown("budget", namespace["BUDGET"], BUDGETS)
    encoder_dir(namespace["ENCODER"])
    return Parameters(
        namespace["SUITE"],
        namespace["ENCODER"],
        namespace["BUDGET"],
        tuple(namespace["SEEDS"]),
        tuple(namespace["TARGETS"]),
        tuple(namespace["METHODS"]),
        Path(namespace["OUTPUT"] or output_dir()),
    )


def _check_type(name: str, value: object, kind: type | list[type]) -> None:
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
        wanted = {int: "a whole number", float: "a number", str: "a text"}[kind]
        raise UserError(f"{name} must be {wanted}, got {value!r}.")


def execute_notebook(source: Path, executed: Path, parameters: Mapping[str, object]) -> float:
    """Execute a notebook by papermill and return the seconds it took; 0.0 if `executed` is already its execution.

    A notebook counts as executed when `executed` has the same cells and parameters and no cell failed.

    Raises:
        UserError: a parameter is not in the cell tagged `parameters`, or a cell failed.
    """
    import papermill  # here because it is slow to import, and only batch execution needs it

    known = notebook_parameters(source)
    for name in parameters:
        if name not in known:
            raise unknown(f"parameter of {source.name}", name, known)
    if _is_executed(source, executed, parameters):
        return 0.0
    executed.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    try:
        papermill.execute_notebook(source, executed, dict(parameters), cwd=source.parent)
    except papermill.PapermillExecutionError as error:
        raise UserError(f"{source.name} failed with {error.ename}: {error.evalue}; see {executed}.") from error
    _drop_progress_bars(executed)
    return time.perf_counter() - started


def notebook_parameters(source: Path) -> dict[str, object]:
    """Return the names and values in the cell of a notebook that is tagged `parameters`.

    Raises:
        UserError: the file is no notebook, has not exactly one such cell, or a value there is no plain literal.
    """
    try:
        notebook = nbformat.read(source, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise UserError(f"{source} cannot be read as a notebook: {error}.") from error
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UserError(f"{source} has {len(cells)} cells tagged 'parameters'; a notebook here has exactly one.")
    assignments = [node for node in ast.parse(cells[0].source).body if isinstance(node, ast.Assign)]
    try:
        return {target.id: ast.literal_eval(node.value) for node in assignments for target in node.targets}
    except ValueError as error:
        raise UserError(
            f"The parameters of {source} must be plain values: numbers, texts and lists of them."
        ) from error


def notebook_runs(source: Path) -> list[Run]:
    """Return the runs that a notebook makes with its own parameters: targets × methods × seeds, and each k of SHOTS.

    Raises:
        UserError: as `notebook_parameters`, or a parameter is wrong.
    """
    parameters = notebook_parameters(source)
    study = check_parameters({name: parameters[name] for name in PARAMETERS})
    return [run for k in parameters.get("SHOTS", [None]) for run in study.runs(k)]


def _drop_progress_bars(executed: Path) -> None:
    """Remove widget outputs from an executed notebook: progress bars, of which only the first text would remain."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    temporary = executed.with_suffix(".tmp")
    nbformat.write(notebook, temporary)
    temporary.replace(executed)


def _is_executed(source: Path, executed: Path, parameters: Mapping[str, object]) -> bool:
    if not executed.exists():
        return False
    try:
        done = nbformat.read(executed, as_version=4)
    except ValueError:
        return False
    cells = [c.source for c in done.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    papermill = done.metadata.get("papermill", {})
    return (
        cells == [c.source for c in nbformat.read(source, as_version=4).cells]
        and papermill.get("parameters") == dict(parameters)
        and papermill.get("exception") is None
        and papermill.get("end_time") is not None
    )
