"""The README's table is what the stored results say."""

from __future__ import annotations

import re
from pathlib import Path

from scalearn_lib.study import table

ROOT = Path(__file__).parents[1]


def test_the_table_is_made_from_stored_results() -> None:
    readme = (ROOT / "README.md").read_text()
    rows = dict(
        re.findall(r"^\| ([\w+ -]+?) \| ([^\n]+) \|$", readme.split("<!-- results -->")[1].split("##")[0], re.M)
    )
    shown = table(ROOT / "outputs" / "reference", "offline", "minilm", "quick")
    for method, cells in shown.iterrows():
        assert [cell.strip() for cell in rows[method].split("|")] == [*cells], method
    assert len(shown) == 6
