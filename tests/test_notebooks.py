"""The six notebooks, executed by papermill as a user would, in the smoke budget on the toy suite."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nbformat
import pytest

from scalearn_lib.notebook.headless import execute_notebook, notebook_parameters
from scalearn_lib.runs import Run
from scalearn_lib.runs.reference import reference_result

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TOY = {"SUITE": "toy", "ENCODER": "tiny", "BUDGET": "smoke", "SEEDS": [0]}
CHANGES = {
    # Where no targets are named, they follow the suite.
    "01_scaling_analysis": {"GRID": [0, 0.5, 1]},
    "02_source_adapters": {"TARGETS": ["toy_topic", "toy_pair", "toy_score", "toy_polarity"]},
    "03_transfer_variants": {"K": 8},
    "04_few_shot": {"TARGETS": ["toy_score"], "SHOTS": [4, 8]},
    "05_benchmarks": {"METHODS": ["adapter", "scalearn"]},
    "06_beyond_the_paper": {"TARGETS": ["toy_topic"], "SEEDS": [0, 1], "RANDOM": [4]},
}
FIGURES = {
    "01_scaling_analysis": 2,
    "02_source_adapters": 2,
    "03_transfer_variants": 5,
    "04_few_shot": 1,
    "05_benchmarks": 1,
    "06_beyond_the_paper": 12,
}


@pytest.mark.parametrize("name", CHANGES)
def test_notebook_runs_alone(name: str, tmp_path: Path) -> None:
    executed = tmp_path / f"{name}.ipynb"
    execute_notebook(NOTEBOOKS / f"{name}.ipynb", executed, {**TOY, **CHANGES[name], "OUTPUT": str(tmp_path)})
    done = nbformat.read(executed, as_version=4)
    outputs = [output for cell in done.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]  # no warnings for the reader
    assert len(list((tmp_path / "figures").glob("*.png"))) == FIGURES[name]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    assert shown and all(output.metadata["image/png"]["alt"] for output in shown)
    found = next(i for i, cell in enumerate(done.cells) if cell.source.startswith("## What was found"))
    findings = done.cells[found + 1].outputs[-1].data["text/markdown"]
    assert findings.count("\n- ") + findings.startswith("- ") >= 2
    assert "nan" not in findings.replace("± nan", "")
    for cell in (cell for cell in done.cells if cell.get("id") == "hands-1"):  # nobody here to move a slider
        assert [set(output.data) for output in cell.outputs] == [{"image/png", "text/plain"}]


SOLUTIONS = {
    "01_scaling_analysis": {"TARGETS": ["toy_topic"], "PARTNER": "toy_polarity", "HARMFUL": "toy_pair", "GRID": [0, 1]},
    "02_source_adapters": {"TARGETS": ["toy_topic", "toy_score"], "SEEDS": [0, 1]},
    "03_transfer_variants": {"TARGETS": ["toy_score"]},
    "04_few_shot": {"TARGETS": ["toy_score"], "SHOTS": [4, 8], "SEEDS": [0, 1], "UNRELATED": "toy_pair"},
    "05_benchmarks": {"TARGETS": ["toy_score"]},
    "06_beyond_the_paper": {"TARGETS": ["toy_topic"], "NEW": "toy_pair", "RANDOM": 2},
}


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solutions_run_alone(name: str, tmp_path: Path) -> None:
    executed = tmp_path / f"{name}.ipynb"
    source = NOTEBOOKS / "solutions" / f"{name}.ipynb"
    execute_notebook(source, executed, {**TOY, **SOLUTIONS[name], "OUTPUT": str(tmp_path)})
    text = nbformat.read(executed, as_version=4)
    outputs = [output for cell in text.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert len(outputs) >= 4
    titles = [cell.source for cell in text.cells if cell.source.startswith("## Exercise")]
    assert [title[:13] for title in titles] == [f"## Exercise {number}" for number in (1, 2, 3)]


def test_every_notebook_is_tested() -> None:
    assert sorted(CHANGES) == sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    assert sorted(SOLUTIONS) == sorted(path.stem for path in (NOTEBOOKS / "solutions").glob("*.ipynb"))


def test_code_lines_are_short() -> None:
    """Exported pages cut lines from 88 characters on."""
    paths = [*NOTEBOOKS.glob("*.ipynb"), *(NOTEBOOKS / "solutions").glob("*.ipynb"), NOTEBOOKS / "batch" / "run.ipynb"]
    cells = [(path, cell) for path in paths for cell in nbformat.read(path, as_version=4).cells]
    lines = [(path.stem, line) for path, cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert [(name, line) for name, line in lines if len(line) >= 88] == []


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_notebook_shows_of_the_reference_study_is_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `make demo` would train to convergence, for minutes each."""
    monkeypatch.setenv("SCALEARN_REFERENCE", str(NOTEBOOKS.parent / "outputs" / "reference"))
    told = notebook_parameters(NOTEBOOKS / f"{name}.ipynb")
    if told["BUDGET"] == "converged":
        ks = told.get("SHOTS", [told.get("K")])
        every = product(told["TARGETS"], told["METHODS"], told["SEEDS"], ks)
        runs = [Run("offline", task, method, "minilm", seed, k, "converged") for task, method, seed, k in every]
        assert runs and [str(run) for run in runs if reference_result(run) is None] == []
