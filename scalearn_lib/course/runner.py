"""Executes one notebook cell by cell in a guarded kernel. A process of its own, started by `contained.py`.

    python -m scalearn_lib.course.runner BASE SECONDS_PER_CELL

reads BASE/notebook.ipynb and writes BASE/executed.ipynb after each cell. A cell that ran to its end, with or without an
error, carries `scalearn_done` in its metadata; whoever started this may end it at any time and still has what was done.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from traitlets import Int

KEPT = 20_000
"""Characters of output of a cell that are kept."""
FLOOD = 5_000_000
"""Characters of output after which a cell is stopped."""


class Runner(NotebookClient):
    """nbclient's executor with a bound on output, and words for cells that were stopped."""

    printed = Int(0)

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int) -> object:
        """Take one message of the kernel; outputs beyond the bound are left out."""
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


def error(name: str, text: str) -> NotebookNode:
    """Return an error output with a sentence, which scores the cell as failed."""
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def run(base: Path, seconds: int) -> None:
    """Execute the notebook of `base`."""
    notebook = nbformat.read(base / "notebook.ipynb", as_version=4)
    save(notebook, base)
    km = AsyncKernelManager(
        kernel_name="contained",
        transport="ipc",  # sockets in a folder: the kernel needs no network
        ip=str(base / "runtime" / "k"),
        connection_file=str(base / "runtime" / "k.json"),
    )

    def started(cell: NotebookNode, cell_index: int) -> None:
        client.printed = 0

    def done(cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        content = execute_reply["content"]
        if client.printed > FLOOD:
            text = f"This cell printed more than {FLOOD // 1_000_000} million characters and was stopped."
            cell.outputs.append(error("TooMuchOutput", text))
        elif content["status"] == "error" and not any(o.output_type == "error" for o in cell.outputs):
            cell.outputs.append(error(content.get("ename") or "Error", content.get("evalue", "")))
        elif content.get("ename") == "TimeLimit":
            cell.outputs.append(error("TimeLimit", content["evalue"]))
        cell.metadata["scalearn_done"] = True
        save(notebook, base)

    text = f"This cell took more than {seconds} seconds and was stopped: does it end?"
    client = Runner(
        notebook,
        km=km,
        timeout=seconds,
        startup_timeout=60,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": "TimeLimit", "evalue": text, "traceback": []},
        allow_errors=True,
        store_widget_state=False,
        on_cell_execute=started,
        on_cell_executed=done,
        resources={"metadata": {"path": str(base / "work")}},
    )
    try:
        client.execute()
    except DeadKernelError:
        (base / "died.txt").touch()


def save(notebook: NotebookNode, base: Path) -> None:
    """Write the notebook as it is now, whole or not at all."""
    temporary = base / "executed.tmp"
    nbformat.write(notebook, temporary)
    os.replace(temporary, base / "executed.ipynb")


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
