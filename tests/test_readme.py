"""The README's tables are what the stored results say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scalearn_lib.study import table

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("suite", "budget", "marker"), [("offline", "quick", "results"), ("glue", "medium", "glue")])
def test_the_table_is_made_from_stored_results(suite: str, budget: str, marker: str) -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme.split(f"<!-- {marker} -->")[1].split("##")[0]
    rows = dict(re.findall(r"^\| ([^|\n]+?) \| ([^\n]+) \|$", section, re.M))
    shown = table(ROOT / "outputs" / "reference", suite, "minilm", budget)
    for method, cells in shown.iterrows():
        assert [cell.strip() for cell in rows[method].split("|")] == [*cells], method
    assert len(shown) == 6 == len(rows) - 2  # heading and rule
