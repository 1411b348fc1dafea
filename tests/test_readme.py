"""The tables of README and docs are what the stored results say."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import first_screen

ROOT = Path(__file__).parents[1]


def test_the_verdicts_are_what_the_reference_study_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(ROOT / "outputs" / "reference"))
    text = (ROOT / "README.md").read_text()
    day = date.fromisoformat(re.search(r"<!-- reference study, ([0-9-]+) -->", text)[1])
    assert first_screen.in_readme(text, first_screen.verdicts_page(), day) == text
    assert (ROOT / first_screen.FIGURE).exists() and f"]({first_screen.FIGURE})" in text


@pytest.mark.parametrize(
    ("marker", "file", "columns"),
    [
        ("parameters", "parameter_counts.json", ["formula", "counted", "with heads"]),
        ("scores", "all_methods.json", ["movie", "nyt", "dialog", "average", "beats baseline", "parameters"]),
    ],
)
def test_the_tables_of_methods_are_the_stored_ones(marker: str, file: str, columns: list[str]) -> None:
    section = (ROOT / "docs" / "methods.md").read_text().split(f"<!-- {marker} -->\n")[1].split("\n\n")[0]
    heading, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines())
    stored = json.loads((ROOT / "outputs" / "reference" / file).read_text())
    assert [line[0] for line in lines] == [row["method"] for row in stored]
    for line, row in zip(lines, stored, strict=True):
        shown = dict(zip(heading, line, strict=True))
        for column in columns:
            value = row[column]
            text = f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
            assert shown["parameters" if column == "counted" else column] == text


def test_the_speed_that_the_readme_tells_is_the_stored_one() -> None:
    text = " ".join((ROOT / "README.md").read_text().split("One stage-2 training step")[1].split("\n\n")[0].split())
    told = re.findall(r"\d\.\d\d", text)
    stored = json.loads((ROOT / "outputs" / "reference" / "benchmarks" / "stage2_step.json").read_text())["targets"]
    measured = {row["target"]: f"{row['measured']:.2f}" for row in stored}
    shapes = ("RoBERTa-base", "RoBERTa-large")
    assert told == [
        measured[f"{s}: {what}"] for what in ("scalearn / floor", "AdapterFusion / scalearn") for s in shapes
    ]


ADAPTER, FUSION = "- Is ScaLearn above a single adapter?", "- Is ScaLearn above AdapterFusion?"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            {"few-4-1": "holds", "few-16-1": "holds", "few-32-1": "holds", "full-1": "does not hold"},
            [f"{ADAPTER} With 4, 16 or 32 examples **yes**, with all examples **no**."],
        ),
        (
            {"few-4-1": "undecided", "few-32-1": "holds", "full-1": "holds", "few-4-2": "does not hold"},
            [
                f"{ADAPTER} With 32 or all examples **yes**, with 4 examples undecided.",
                f"{FUSION} With 4 examples **no**.",
            ],
        ),
        ({"few-4-1": "not run", "full-2": "does not hold"}, [f"{FUSION} With all examples **no**."]),
        (
            {"lora-4-1": "holds", "lora-16-1": "undecided", "lora-16-2": "undecided"},
            [
                "- Is ScaLearn over LoRAs above one LoRA trained on the examples? With 4 examples **yes**, with 16 "
                "examples undecided."
            ],
        ),
        ({"few-4-1": "undecided", "full-1": "undecided", "full-3": "holds"}, []),
    ],
)
def test_what_is_decided_is_said_in_short(found: dict[str, str], told: list[str]) -> None:
    verdicts = pd.DataFrame({"name": list(found), "verdict": list(found.values())})
    assert first_screen.in_short("offline", verdicts) == (["On `offline`:", "", *told, ""] if told else [])
