"""Executing notebooks by papermill, and reading which runs they will make."""

from __future__ import annotations

import ast
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat

from ..errors import UserError, unknown
from ..paths import written_whole
from ..runs.run import Run
from .parameters import PARAMETERS, check_parameters

WIDGET = "application/vnd.jupyter.widget-view+json"


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
        # All is written when the last cell ends; a kernel that is asked to leave takes seconds to do so.
        papermill.execute_notebook(source, executed, dict(parameters), cwd=source.parent, shutdown_kernel="immediate")
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
    """Return the runs that a notebook makes with its own parameters: targets × methods × seeds × (K or each of SHOTS).

    Raises:
        UserError: as `notebook_parameters`, or a parameter is wrong.
    """
    parameters = notebook_parameters(source)
    study = check_parameters({name: parameters[name] for name in PARAMETERS})
    return [run for k in parameters.get("SHOTS", [parameters.get("K")]) for run in study.runs(k)]


def notebook_looks_at(source: Path) -> list[Run]:
    """Return the runs whose coefficients a notebook reads, by its own parameters: those in OMEGA, from K and all rows.

    Raises:
        UserError: as `notebook_runs`.
    """
    parameters = notebook_parameters(source)
    study = check_parameters({name: parameters[name] for name in PARAMETERS})
    methods = [name for name in study.methods if name in parameters.get("OMEGA", ())]
    shots = dict.fromkeys((parameters.get("K"), None))
    return [study.run(study.targets[0], name, study.seeds[0], k) for name in methods for k in shots]


def _drop_progress_bars(executed: Path) -> None:
    """Remove widget outputs from an executed notebook: progress bars, of which only the first text would remain."""
    notebook = nbformat.read(executed, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    with written_whole(executed) as temporary:
        nbformat.write(notebook, temporary)


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
