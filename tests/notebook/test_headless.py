"""What is left of an executed notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from scalearn_lib.notebook.headless import WIDGET, execute_notebook


def test_progress_bars_are_dropped_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bar = nbformat.v4.new_output("display_data", {WIDGET: {"model_id": "1"}, "text/plain": "0%"})
    text = nbformat.v4.new_output("stream", text="made")
    cells = [
        nbformat.v4.new_markdown_cell("# A"),
        nbformat.v4.new_code_cell("K = 1", metadata={"tags": ["parameters"]}),
    ]
    notebook, source, executed = nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb", tmp_path / "done.ipynb"
    nbformat.write(notebook, source)
    cells[1].outputs = [bar, text]
    monkeypatch.setattr(papermill, "execute_notebook", lambda *_, **__: nbformat.write(notebook, executed))
    execute_notebook(source, executed, {})
    kept = nbformat.read(executed, as_version=4)
    assert [cell.source for cell in kept.cells] == ["# A", "K = 1"]
    assert [output.text for output in kept.cells[1].outputs] == ["made"]
