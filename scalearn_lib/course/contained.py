"""Executing a notebook that one does not trust: in a process and a folder of its own, with a bound on everything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import nbformat
import psutil
from nbformat import NotebookNode

from ..errors import UserError
from ..paths import data_dir
from . import sandbox
from .runner import stop

MARK = "SCALEARN_GRADING"
"""Environment variable that everything started for a submission inherits, with its folder."""

NOTES = {
    "died": "Python itself ended while the notebook ran: it left, crashed, or used too much memory.",
    "memory": "A cell found no more memory.",
    "processes": "The notebook had too many processes at once and was stopped.",
    "all memory": "The notebook and all that it started used too much memory in all and were stopped.",
    "folder": "What the notebook may store (400 MB, 10,000 files; 100 MB of temporary files) was full.",
}
"""Sentences on what the runner noted."""
REFUSED = {
    "write": "Refused: writing outside the notebook's folder.",
    "change": "Refused: changing something outside the notebook's folder.",
    "program": "Refused: starting a program.",
    "network": "Refused: using the network.",
}
"""Sentences on what the kernel refused."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Args:
        cell, notebook: seconds of wall-clock time for one cell, and for the whole notebook.
        processes: how many there may be at once, those that grade it among them.
        memory: bytes that all processes may hold together, shared memory included.
    """

    cell: int = 30
    notebook: int = 100
    processes: int = 32
    memory: int = 8 * 2**30


def execute(
    notebook: NotebookNode, files: Sequence[Path], limits: Limits, unsafe: bool = False
) -> tuple[NotebookNode, list[str]]:
    """Return the executed notebook, and sentences on what was stopped or refused, none of them in its own words.

    A cell that was not executed to its end has an error as output, so that no test of it can count as passed.

    Args:
        notebook: what to execute; it is not changed.
        files: files and folders that lie beside it.
        limits: how long it may take.
        unsafe: whether to do without the sandbox.

    Raises:
        UserError: there can be no sandbox here.
    """
    base = Path(tempfile.mkdtemp(prefix="grade-")).resolve()
    try:
        return _execute(notebook, files, limits, base, unsafe)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _execute(
    notebook: NotebookNode, files: Sequence[Path], limits: Limits, base: Path, unsafe: bool
) -> tuple[NotebookNode, list[str]]:
    for name in ("root", "work", "runtime/matplotlib", "jupyter/kernels/contained"):
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
    run = [sys.executable, "-m", "scalearn_lib.course.runner", str(base)]
    run += map(str, (limits.cell, limits.processes, limits.memory))
    notes = []
    runner = subprocess.Popen(
        run if unsafe else sandbox.argv(base, run, sandbox.starts_as_user()),
        cwd=base,
        env=environment(base),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        runner.wait(limits.notebook)
    except subprocess.TimeoutExpired:
        notes.append(f"The notebook took more than {limits.notebook} seconds in all and was stopped.")
    finally:
        runner.kill()  # and with `unshare` the sandbox ends
        if unsafe:
            _end_all(base)
        runner.wait()
    notes += _sentences(base / "noted.txt", NOTES)
    if not (base / "executed.ipynb").exists():
        raise UserError("The kernel could not be started to execute it.")
    if runner.returncode not in (0, -9) and not notes:
        notes.append("The notebook could not be executed to its end.")
    executed = nbformat.read(base / "executed.ipynb", as_version=4)
    return executed, notes + _finish(executed) + _sentences(base / "refused.txt", REFUSED)


def _sentences(file: Path, by_word: Mapping[str, str]) -> list[str]:
    """What the lines of a file stand for, each once. A submission may write there, so other lines count for nothing."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return [sentence for word, sentence in by_word.items() if word in lines]


def _finish(executed: NotebookNode) -> list[str]:
    """Put an error where a cell was not executed to its end, and say which cells were stopped."""
    notes = []
    for number, cell in enumerate(executed.cells, 1):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if sentence := cell.metadata.get("scalearn_stopped"):
            notes.append(f"Cell {number} from the top: {sentence}")
        if not cell.metadata.pop("scalearn_done", False):
            stop(cell, "NotExecuted", "The notebook was stopped before this cell came to its end.")
    return notes


def environment(base: Path) -> dict[str, str]:
    """The variables that a submission sees: nothing of the teacher's but where programs and data lie."""
    kept = {
        name: os.environ[name] for name in ("LANG", "LC_ALL", "OMP_NUM_THREADS", "PYTHONPATH") if name in os.environ
    }
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
    """End every process that was started for `base` without a sandbox, unless it put its environment off."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(base) and process.pid != os.getpid():
                process.kill()
