"""Executes one notebook cell by cell in a guarded kernel. A process of its own, started by `contained.py`.

    python -m scalearn_lib.course.runner BASE SECONDS_PER_CELL PROCESSES MEMORY

reads BASE/notebook.ipynb and writes BASE/executed.ipynb after each cell. A cell that ran to its end, with or without an
error, carries `scalearn_done` in its metadata, one that was stopped the sentence in `scalearn_stopped`; whoever started
this may end it at any time and still has what was done. What is to be noted goes to BASE/noted.txt, in words of
`contained.NOTES`.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import sys
import threading
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from traitlets import Bool, Int, Unicode

from . import guard, meter
from .repair import is_test
from .sandbox import TASKS

KEPT = 20_000
"""Characters of output of a cell that are kept."""
FLOOD = 5_000_000
"""Characters of output after which a cell is stopped."""
END = "application/x-scalearn-end"


class Runner(NotebookClient):
    """nbclient's executor with a bound on output, and words for cells that were stopped."""

    printed = Int(0)
    ended = Bool(False)
    word = Unicode()
    """What a test shows behind its last line, another word in every run."""

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> object:
        """Take one message of the kernel; outputs beyond the bound are left out."""
        if msg["content"].get("data", {}) == {END: self.word}:
            self.ended = True
            return None
        size = len(json.dumps(msg["content"], default=str)) if msg["msg_type"] != "status" else 0
        before, self.printed = self.printed, self.printed + size
        if msg["msg_type"] in ("stream", "display_data", "execute_result") and self.printed > KEPT:
            if before <= KEPT:
                note = f"\n[more than {KEPT:,} characters of output: the rest is left out]\n"
                cell.outputs.append(nbformat.v4.new_output("stream", name="stdout", text=note))
            if before <= FLOOD < self.printed:
                asyncio.ensure_future(self.km.interrupt_kernel())
            return None
        return super().process_message(msg, cell, cell_index)


def stop(cell: NotebookNode, name: str, sentence: str) -> None:
    """Give a cell an error with a sentence of ours, which scores it as failed."""
    cell.metadata["scalearn_stopped"] = sentence
    cell.outputs.append(error(name, sentence))


def error(name: str, text: str) -> NotebookNode:
    """Return an error output."""
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def run(base: Path, seconds: int, processes: int, memory: int) -> None:
    """Execute the notebook of `base` within the bounds of `contained.Limits`."""
    notebook = nbformat.read(base / "notebook.ipynb", as_version=4)
    save(notebook, base)
    km = AsyncKernelManager(
        kernel_name="contained",
        transport="ipc",  # sockets in a folder: the kernel needs no network
        ip=str(base / "runtime" / "k"),
        connection_file=str(base / "runtime" / "k.json"),
    )

    def started(cell: NotebookNode, cell_index: int) -> None:
        client.printed, client.ended = 0, False
        if is_test(cell):
            cell.source = f"__import__('builtins').exec({tests[cell_index] + shown!r})"

    def done(cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        content = execute_reply["content"]
        if is_test(cell):
            cell.source = tests[cell_index]
        failed = content["status"] == "error" or any(o.output_type == "error" for o in cell.outputs)
        if client.printed > FLOOD:
            text = f"This cell printed more than {FLOOD // 1_000_000} million characters and was stopped."
            stop(cell, "TooMuchOutput", text)
        elif "header" not in execute_reply:  # nbclient's own, not the kernel's
            stop(cell, "TimeLimit", late)
        elif is_test(cell) and not failed and not client.ended:
            stop(cell, "Swallowed", "This test reported no error, but did not come to its end: an error was swallowed.")
        elif content["status"] == "error" and not any(o.output_type == "error" for o in cell.outputs):
            cell.outputs.append(error(content.get("ename") or "Error", content.get("evalue", "")))
        if content.get("ename") == "MemoryError":
            note(base, "memory")
        cell.metadata["scalearn_done"] = True
        save(notebook, base)

    late = f"This cell took more than {seconds} seconds and was stopped: does it end?"
    word = secrets.token_hex()
    shown = f'\n__import__("IPython").display.publish_display_data({{"{END}": "{word}"}})'
    # One statement, so that nothing of a test runs behind an error that was swallowed.
    tests = {index: cell.source for index, cell in enumerate(notebook.cells) if is_test(cell)}
    client = Runner(
        notebook,
        word=word,
        km=km,
        timeout=seconds,
        startup_timeout=60,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": "TimeLimit", "evalue": late, "traceback": []},
        allow_errors=True,
        store_widget_state=False,
        on_cell_execute=started,
        on_cell_executed=done,
        resources={"metadata": {"path": str(base / "work")}},
    )
    if os.getpid() == 1:  # the first process of a sandbox
        guard.bound(resource.RLIMIT_NPROC, TASKS)
        threading.Thread(target=watch, args=[base, processes, memory], daemon=True).start()
    try:
        client.execute()
    except DeadKernelError:
        note(base, "died")


def watch(base: Path, processes: int, memory: int) -> None:
    """Look again and again at what the submission uses; beyond its bounds, end this process and so all others."""
    while True:
        for what in meter.exceeded(processes, memory, [base / "work", base / "runtime"]):
            note(base, what)
            if what != "folder":  # Linux itself bounds what a folder holds
                os._exit(1)
        time.sleep(0.2)


def note(base: Path, what: str) -> None:
    """Leave a word for the grader's notes."""
    with open(base / "noted.txt", "a") as file:
        file.write(f"{what}\n")


def save(notebook: NotebookNode, base: Path) -> None:
    """Write the notebook as it is now, whole or not at all."""
    temporary = base / "executed.tmp"
    nbformat.write(notebook, temporary)
    os.replace(temporary, base / "executed.ipynb")


if __name__ == "__main__":
    run(Path(sys.argv[1]), *map(int, sys.argv[2:]))
