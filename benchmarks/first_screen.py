"""The figure and the table of verdicts on README's first screen, from the reference study.

.venv/bin/python benchmarks/first_screen.py
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pandas as pd

from scalearn_lib.evidence import claims, figures, source_tasks_compared, suite_results, titled
from scalearn_lib.evidence.tables import with_source_tasks
from scalearn_lib.evidence.verdicts.claim import BEYOND, FAILS, HOLDS, NOT_RUN, PAPER, UNDECIDED
from scalearn_lib.evidence.verdicts.telling import against_predictions, counted, readable
from scalearn_lib.paths import reference_dir

ROOT = Path(__file__).resolve().parents[1]
FIGURE = Path("outputs/reference/few_shot.png")
BEGIN, END = "<!-- reference study, {} -->\n", "<!-- end -->\n"
METHODS = ("adapter", "adapter_fusion", "scalearn", "scalearn_uniform_pp")
SHORT = {
    "Is ScaLearn above a single adapter?": (r"few-\d+-1", "full-1"),
    "Is ScaLearn above AdapterFusion?": (r"few-\d+-2", "full-2"),
    "Is ScaLearn over LoRAs above one LoRA?": (r"lora-\d+-1", ""),
    "Is ScaLearn over LoRAs above LoraHub?": (r"lora-\d+-2", ""),
}
"""What is answered in short, by claims on few examples and on all."""
MAIN = ("full-", "few-", "equal-")
"""README shows the claims whose names start so, and what else is decided of the paper's and its reviewers'."""
BEYOND_MAIN = "start-32-4"
"""What it shows of those beyond the paper, if it is decided: for the others there is notebook 06."""
SUITES = {"offline": "`offline`: small tasks", "glue": "`glue`: five of its tasks"}
"""Columns of the table."""
SETTING = {"encoder": "minilm", "budget": "converged"}


def verdicts_page() -> str:
    """Return the part of README that the reference study decides, as Markdown: the main claims, and what is decided."""
    reference, short, notes, parts = reference_dir(), [], [], []
    for suite in SUITES:
        results = suite_results(reference, suite, **SETTING, overrides="{}")
        if results.empty:
            notes.append(f"On `{suite}` nothing has been run yet.")
            continue
        verdicts = claims(reference, suite, *SETTING.values(), source_tasks_compared(results)).assign(suite=suite)
        paper = verdicts[verdicts["family"] == PAPER]
        short += in_short(suite, verdicts)
        notes.append(f"On `{suite}`, of the paper's {len(paper)} claims {counted(paper['verdict'])}.")
        parts.append(verdicts[verdicts["verdict"] != NOT_RUN])
    page = list(short)
    if parts:
        ran = pd.concat(parts)
        decided = ran["verdict"].isin([HOLDS, FAILS]) & ~ran["name"].str.startswith("lora-")
        decided &= (ran["family"] != BEYOND) | (ran["name"] == BEYOND_MAIN)
        shown = ran[ran["name"].isin(ran.loc[decided | ran["name"].str.startswith(MAIN), "name"])]
        ours = shown["family"] == PAPER
        page += [f"| the paper's claim | {' | '.join(SUITES.values())} |", "|---" * (len(SUITES) + 1) + "|"]
        page += _rows(shown[ours])
        if not ours.all():
            page += [f"| ***asked by its reviewers, or by us*** {'| ' * len(SUITES)}|", *_rows(shown[~ours])]
        page.append("")
        held = shown[shown["verdict"] == HOLDS]
        notes.append(
            "Intervals are over seeds, on these tasks and for one claim alone; verdicts are corrected for all that "
            "were tested (Holm). On tasks like these, as far as so few tell, "
            f"{(held['wide_low'] <= 0).sum()} of the {len(held)} that hold reach below 0. An empty cell: not run."
        )
        ours = ran[ran["family"] == BEYOND]
        notes += [
            f"Of our own claims that go beyond the paper, on `{suite}` {counted(part['verdict'])}; "
            f"{against_predictions(part)} ([notebook 06](notebooks/06_beyond_the_paper.ipynb))."
            for suite, part in ours.groupby("suite", sort=False)
        ]
    notes.append("[All claims](docs/findings.md), with what would decide them.")
    return "\n".join([*page, " ".join(notes), ""])


def _rows(verdicts: pd.DataFrame) -> list[str]:
    """A row per claim with a column per suite, what is decided first; empty where a claim is not shown for a suite."""
    cells: dict[str, dict[str, str]] = {}
    for suite, part in verdicts.groupby("suite", sort=False):
        for claim, row in readable(part).iterrows():
            found = f"{row['effect']} {row['on these tasks']}".strip()
            cells.setdefault(claim, {})[suite] = f"**{row['verdict']}**, {found}, {row['rests on']}"
    order = sorted(cells, key=lambda claim: all(f"**{UNDECIDED}**" in cell for cell in cells[claim].values()))
    return [f"| {' | '.join([claim, *(cells[claim].get(suite, '') for suite in SUITES)])} |" for claim in order]


def in_short(suite: str, verdicts: pd.DataFrame) -> list[str]:
    """A paragraph on what is decided in the same way for several numbers of examples."""
    decided = verdicts.set_index("name")["verdict"]
    told = []
    for question, (few, full) in SHORT.items():
        shots = {name.split("-")[1]: name for name in decided.index if re.fullmatch(few, name)}
        answers = []
        for verdict, answer in ((HOLDS, "yes"), (FAILS, "no")):
            *most, last = [k for k, name in shots.items() if decided[name] == verdict] or [""]
            numbers = f"{', '.join(most)} or {last}" if most else last
            answers += [f"with {numbers} examples **{answer}**"] * bool(numbers)
            answers += [f"with all **{answer}**"] * (decided.get(full) == verdict)
        if answers:
            told.append(f"{question} {', '.join(answers).capitalize()}.")
    return [f"In short, on `{suite}`: {' '.join(told)}", ""] if told else []


def draw(place: Path) -> None:
    """Draw score against k for all targets of the offline suite that have several k."""
    results = suite_results(reference_dir(), "offline", **SETTING, overrides="{}", sampling="resampled")
    results = with_source_tasks(results, source_tasks_compared(results))
    few = figures.with_curves(results[results["method"].isin(METHODS)])
    if len(few):
        figures.use_style()
        seeds = few.groupby(["task", "method", "k"])["seed"].nunique()
        title = f"Test score from k examples of the target (mean and deviation, {seeds.min()} to {seeds.max()} seeds)"
        figures.few_shot_curves(titled(few), title).savefig(place, bbox_inches="tight", dpi=110)


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
