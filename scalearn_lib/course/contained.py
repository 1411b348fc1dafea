"""Executing a notebook that one does not trust: in a process and a folder of its own, with a bound on everything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import nbformat
import psutil
from nbformat import NotebookNode

from ..paths import data_dir
from .runner import error

MARK = "SCALEARN_GRADING"
"""Environment variable that everything started for a submission inherits, with its folder."""


@dataclass(frozen=True)
class Limits:
    """Seconds of wall-clock time for one cell and for the whole notebook."""

    cell: int = 30
    notebook: int = 100


def execute(notebook: NotebookNode, files: Sequence[Path], limits: Limits) -> tuple[NotebookNode, list[str]]:
    """Return the executed notebook, and sentences on what was stopped or refused.

    A cell that was not executed to its end has an error as output, so that no test of it can count as passed.

    Args:
        notebook: what to execute; it is not changed.
        files: files and folders that lie beside it.
        limits: how long it may take.
    """
    base = Path(tempfile.mkdtemp(prefix="grade-"))
    try:
        return _execute(notebook, files, limits, base)
    finally:
        _end_all(base)
        shutil.rmtree(base, ignore_errors=True)


def _execute(
    notebook: NotebookNode, files: Sequence[Path], limits: Limits, base: Path
) -> tuple[NotebookNode, list[str]]:
    for name in ("work", "runtime/matplotlib", "jupyter/kernels/contained"):
        (base / name).mkdir(parents=True)
    for fonts in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # finding them anew takes seconds
        shutil.copy(fonts, base / "runtime" / "matplotlib")
    for file in files:
        copy = shutil.copytree if file.is_dir() else shutil.copy
        copy(file, base / "work" / file.name)
    command = [sys.executable, "-m", "scalearn_lib.course.kernel", str(base), "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "contained", "language": "python"}
    (base / "jupyter" / "kernels" / "contained" / "kernel.json").write_text(json.dumps(spec))
    nbformat.write(notebook, base / "notebook.ipynb")
    notes = []
    with open(base / "runner.log", "wb") as log:
        runner = subprocess.Popen(
            [sys.executable, "-m", "scalearn_lib.course.runner", str(base), str(limits.cell)],
            cwd=base,
            env=environment(base),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            runner.wait(limits.notebook)
        except subprocess.TimeoutExpired:
            notes.append(f"The notebook took more than {limits.notebook} seconds in all and was stopped.")
        finally:
            _end_all(base)
            runner.wait()
    if (base / "died.txt").exists():
        notes.append("Python itself ended while the notebook ran: it left, crashed, or used too much memory.")
    elif runner.returncode not in (0, -9) and not notes:
        last = (base / "runner.log").read_text(errors="replace").strip().splitlines()[-1:]
        notes.append(f"The notebook could not be executed: {' '.join(last)[:300]}")
    executed = nbformat.read(base / "executed.ipynb", as_version=4)
    notes += _finish(executed)
    with contextlib.suppress(FileNotFoundError):
        refused = dict.fromkeys((base / "refused.txt").read_text(errors="replace").splitlines())
        notes += [f"Refused: {line}." for line in list(refused)[:10]]
    return executed, notes


def _finish(executed: NotebookNode) -> list[str]:
    """Put an error where a cell was not executed to its end, and say which cells were stopped."""
    notes = []
    for cell in executed.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if not cell.metadata.pop("scalearn_done", False):
            cell.outputs.append(error("NotExecuted", "The notebook was stopped before this cell came to its end."))
        for output in cell.outputs:
            if output.output_type == "error" and output.ename in ("TimeLimit", "TooMuchOutput"):
                notes.append(f"{output.evalue} It begins with: {cell.source.strip().splitlines()[0][:80]}")
    return notes


def environment(base: Path) -> dict[str, str]:
    """The variables that a submission sees: nothing of the teacher's but where programs and data lie."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "OMP_NUM_THREADS") if name in os.environ}
    work = str(base / "work")
    return kept | {
        MARK: str(base),
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": work,
        "TMPDIR": str(base / "runtime"),
        "IPYTHONDIR": str(base / "runtime" / "ipython"),
        "JUPYTER_PATH": str(base / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(base / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(base / "runtime"),
        "MPLCONFIGDIR": str(base / "runtime" / "matplotlib"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "SCALEARN_DATA": str(data_dir().resolve()),
        "SCALEARN_OUTPUT": str(base / "work" / "outputs"),
    }


def _end_all(base: Path) -> None:
    """End every process that was started for `base`, wherever it went in the meantime."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(base) and process.pid != os.getpid():
                process.kill()
