"""The figure and the table of verdicts on README's first screen, from the reference study.

.venv/bin/python benchmarks/first_screen.py
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pandas as pd

from scalearn_lib.evidence import claims, figures, figures_few_shot, source_tasks_compared, suite_results
from scalearn_lib.evidence.tables import with_source_tasks
from scalearn_lib.evidence.verdicts.claim import BEYOND, FAILS, HOLDS, NOT_RUN, PAPER, UNDECIDED
from scalearn_lib.evidence.verdicts.telling import against_predictions, counted, readable
from scalearn_lib.paths import reference_dir

ROOT = Path(__file__).resolve().parents[1]
FIGURE = Path("outputs/reference/gain.png")
BEGIN, END = "<!-- reference study, {} -->\n", "<!-- end -->\n"
METHODS = ("adapter_fusion", "scalearn", "scalearn_uniform_pp")
SHORT = {
    "Is ScaLearn above a single adapter?": (r"few-\d+-1", "full-1"),
    "Is ScaLearn above AdapterFusion?": (r"few-\d+-2", "full-2"),
    "Is ScaLearn over LoRAs above one LoRA trained on the examples?": (r"lora-\d+-1", ""),
    "Is ScaLearn over LoRAs above LoraHub?": (r"lora-\d+-2", ""),
    "Should ω start at 4/T instead of the paper's 2/T?": (r"start-\d+-4", "start-full-3"),
}
"""What is answered in short, by claims on few examples and on all."""
ANSWERS = {HOLDS: "**yes**", FAILS: "**no**", UNDECIDED: "undecided"}
MAIN = ("full-", "few-")
"""README shows the paper's claims whose names start so, and what else of the paper's is decided."""
SUITES = {"offline": "`offline`: nine small tasks", "glue": "`glue`: five of its tasks"}
"""Columns of the table."""
SETTING = {"encoder": "minilm", "budget": "converged"}


def verdicts_page() -> str:
    """Return the part of README that the reference study decides, as Markdown: answers, the paper's claims, counts."""
    reference, page, notes, parts = reference_dir(), [], [], []
    for suite in SUITES:
        results = suite_results(reference, suite, **SETTING, overrides="{}")
        if results.empty:
            notes.append(f"On `{suite}` nothing has been run yet.")
            continue
        verdicts = claims(reference, suite, *SETTING.values(), source_tasks_compared(results)).assign(suite=suite)
        page += in_short(suite, verdicts)
        notes.append(
            f"On `{suite}`, of the paper's claims {counted(verdicts[verdicts['family'] == PAPER]['verdict'])}."
        )
        parts.append(verdicts)
    if parts:
        every = pd.concat(parts)
        ran = every[every["verdict"] != NOT_RUN]
        decided, main = ran["verdict"].isin([HOLDS, FAILS]), ran["name"].str.startswith(MAIN)
        paper = ran["family"] == PAPER
        shown = ran[paper & ran["name"].isin(ran.loc[decided | main, "name"])]
        page += [f"| the paper's claim | {' | '.join(SUITES.values())} |", "|---" * (len(SUITES) + 1) + "|"]
        page += [*_rows(shown), ""]
        held = ran[(ran["verdict"] == HOLDS) & (ran["unit"] == "points")]
        notes.append(
            "On tasks like these, as far as so few tell, "
            f"{(held['wide_low'] <= 0).sum()} of all {len(held)} gains that hold may be below 0."
        )
        notes += [
            f"Of our own claims that go beyond the paper, on `{suite}` {counted(part['verdict'])}; "
            f"{against_predictions(part)}."
            for suite, part in every[every["family"] == BEYOND].groupby("suite", sort=False)
        ]
    notes.append("[All claims](docs/findings.md), with what would decide them.")
    return "\n".join([*page, " ".join(notes), ""])


def _rows(verdicts: pd.DataFrame) -> list[str]:
    """A row per claim with a column per suite, by number of examples; empty where a claim was not run on a suite."""
    cells: dict[str, dict[str, str]] = {}
    for suite, part in verdicts.groupby("suite", sort=False):
        for claim, row in readable(part).iterrows():
            found = f"{row['effect']} {row['on these tasks']}".strip()
            told = f"**{row['verdict']}**" if row["verdict"] != UNDECIDED else UNDECIDED
            cells.setdefault(claim, {})[suite] = f"{told}, {found}, {row['rests on']}"
    order = dict.fromkeys(verdicts.sort_values("k", kind="stable")["claim"])
    return [f"| {' | '.join([claim, *(cells[claim].get(suite, '') for suite in SUITES)])} |" for claim in order]


def in_short(suite: str, verdicts: pd.DataFrame) -> list[str]:
    """Answers to the main questions, a line each, of those that are decided for some number of examples."""
    found = verdicts.set_index("name")["verdict"]
    told = []
    for question, (few, full) in SHORT.items():
        shots = {name.split("-")[1]: found[name] for name in found.index if re.fullmatch(few, name)}
        shots |= {"all": found[full]} if full in found else {}
        if not {HOLDS, FAILS} & set(shots.values()):
            continue
        parts = []
        for verdict, answer in ANSWERS.items():
            *most, last = [k for k, each in shots.items() if each == verdict] or [""]
            numbers = f"{', '.join(most)} or {last}" if most else last
            parts += [f"with {numbers} examples {answer}"] * bool(numbers)
        told.append(f"- {question} {', '.join(parts).capitalize()}.")
    return [f"On `{suite}`:", "", *told, ""] if told else []


def draw(place: Path) -> None:
    """Draw what the methods gain over the single adapter on the offline suite, by number of examples."""
    results = suite_results(reference_dir(), "offline", **SETTING, overrides="{}", sampling="resampled")
    results = with_source_tasks(results, source_tasks_compared(results))
    gains = figures_few_shot.gains_over(results, METHODS)
    if len(gains):
        figures.use_style()
        title = "Gain over a single adapter: mean over tasks (dots), 95 % interval over seeds"
        figures_few_shot.gain_curves(gains, title).savefig(place, bbox_inches="tight", dpi=110)


def in_readme(text: str, page: str, day: date) -> str:
    """Return README's text with the page between its two marks, dated."""
    parts = re.split(rf"{BEGIN.format('[0-9-]+')}.*?{END}", text, flags=re.DOTALL)
    if len(parts) != 2:
        raise SystemExit("README.md has not exactly one pair of marks for the reference study.")
    return parts[0] + BEGIN.format(day) + page + END + parts[1]


def main() -> None:
    draw(ROOT / FIGURE)
    readme = ROOT / "README.md"
    readme.write_text(in_readme(readme.read_text(), verdicts_page(), date.today()))


if __name__ == "__main__":
    main()
