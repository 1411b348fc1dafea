"""What assignments compare answers with is what the reference study has."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from scalearn_lib.course.stored import AFFORDABLE, SETS, few_shot_runs
from scalearn_lib.runs import stored_results

ROOT = Path(__file__).parents[2]
ASSIGNMENTS = ROOT / "notebooks" / "assignments"


def test_the_scores_of_the_budget_assignment_are_the_reference_studys(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(ROOT / "outputs" / "reference"))
    runs = few_shot_runs()
    results = stored_results(runs, tmp_path)
    assert len(results) == len(runs)
    kept = pd.read_csv(ASSIGNMENTS / "held_back" / "test_scores.csv")
    assert kept["test"].tolist() == pytest.approx([result.score for result in results], abs=6e-5)
    validation = [result.validation[result.metric] for result in results]
    choices = pd.read_csv(ASSIGNMENTS / "source" / "budget" / "choices.csv")
    assert choices["validation"].tolist() == pytest.approx(validation, abs=6e-5)
    means = kept.groupby(["sources", "method"])["test"].mean().round(3)
    notebook = nbformat.read(ASSIGNMENTS / "source" / "budget" / "budget.ipynb", as_version=4)
    (cell,) = (cell.source for cell in notebook.cells if "HELD_BACK = {" in cell.source)
    told = ast.literal_eval(re.search(r"HELD_BACK = (\{.*?\n    \})", cell, re.DOTALL)[1])
    assert told == {label: tuple(means[label, variant] for variant in AFFORDABLE) for label in SETS}
    baseline = f"{means['all', 'scalearn']:.3f}"
    assert f"BASELINE = {baseline}" in cell and f"correlation of {baseline}" in notebook.cells[0].source
