"""The page docs/findings.md, from stored results: what holds, what does not, what is undecided, what differs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..methods import get_method
from ..tasks import get_suite
from .equal_budgets import PATIENCE, RATES, equal_budget_scores
from .paper import published, same_encoder
from .results import load_results, stopped_early
from .tables import source_tasks_compared, suite_results, table, with_source_tasks
from .verdicts.claim import BEYOND, FAILS, HOLDS, NOT_RUN, PAPER, QUESTIONS, UNDECIDED
from .verdicts.decided import claims
from .verdicts.telling import against_predictions, counted, not_run, readable

JOINT = "all tasks"
"""What stands for the task of a joint run, which is a result of each."""

COLUMNS = ["effect", "on these tasks", "on tasks like these", "rests on"]


def findings_page(output: Path, encoder: str, budget: str) -> str:
    """Return the page as Markdown, for every suite that has results of two-stage methods.

    Args:
        output: the folder of results.
        encoder, budget: which results.

    Raises:
        UserError: there are none.
    """
    every = load_results(output, encoder=encoder, budget=budget)
    stored = every[every["overrides"] == "{}"]
    two_stage = [get_method(name).two_stage for name in stored["method"]]
    suites = list(stored["suite"][two_stage].value_counts().index)  # the largest first
    if not suites:
        raise UserError(
            f"No results of two-stage methods for encoder '{encoder}' and budget '{budget}' in {output}; "
            "make some first."
        )
    parts, settings = [], {}
    for suite in suites:
        results = suite_results(output, suite, encoder=encoder, budget=budget, overrides="{}")
        sources = source_tasks_compared(results)
        settings[suite] = with_source_tasks(results, sources)
        parts.append(claims(output, suite, encoder, budget, sources).assign(suite=suite))
    verdicts = pd.concat(parts, ignore_index=True)
    ours, asked, beyond = (verdicts[verdicts["family"] == family] for family in (PAPER, QUESTIONS, BEYOND))
    page = ["# Findings", ""]
    page += [
        f"Generated from stored results by `scalearn findings --encoder {encoder} --budget {budget}`: do not edit."
    ]
    page += [
        "[claims.md](claims.md) fixed the rules before the runs, but for what it dates; some seeds were added where a",
        "verdict was near. Effects are in points (score × 100), unless another unit is named, with",
    ]
    page += [
        "95 % intervals: over seeds *on these tasks*, which decides, and over tasks and seeds *on tasks like these*.",
        "",
    ]
    for suite, part in ours.groupby("suite", sort=False):
        page.append(f"- On `{suite}`, of the paper's {len(part)} claims {counted(part['verdict'])}.")
    for title, verdict in (("What holds", HOLDS), ("What does not hold", FAILS), ("What is undecided", UNDECIDED)):
        extra = ["would decide"] if verdict == UNDECIDED else []
        page += ["", f"## {title}", "", *_table(ours[ours["verdict"] == verdict], [*COLUMNS, *extra, "note"])]
    if (ours["verdict"] == NOT_RUN).any():
        page += ["", "## What was not run", ""]
        for suite, part in ours[ours["verdict"] == NOT_RUN].groupby("suite", sort=False):
            page.append(f"- `{suite}`: {'; '.join(not_run(part))}.")
    page += ["", "## Questions of the paper's reviewers", ""]
    answered = asked[asked["verdict"] != NOT_RUN]
    for suite, part in asked.groupby("suite", sort=False):
        page.append(f"- On `{suite}`, {(answered['suite'] == suite).sum()} of {len(part)} were run{_lacking(part)}.")
    page += ["", *_table(answered, ["verdict", *COLUMNS, "would decide", "note"])]
    page += ["", "## Beyond the paper", ""]
    ran = beyond[beyond["verdict"] != NOT_RUN]
    for suite, part in beyond.groupby("suite", sort=False):
        tried = ran[ran["suite"] == suite]
        told = f"{len(tried)} of {len(part)} were run{_lacking(part)}"
        page.append(f"- On `{suite}`, {told}; {against_predictions(tried)}.")
    page += ["", *_table(ran, ["verdict", "predicted", *COLUMNS, "would decide", "note"])]
    page += ["", "## Scores on all examples", "", "Test × 100 in each task's own metric, mean ± deviation over seeds."]
    for suite in [suite for suite, results in settings.items() if results["k"].isna().any()]:
        scores = table(output, suite, encoder, budget).rename_axis(columns=None).reset_index()
        page += ["", f"`{suite}`:", "", *markdown(scores.drop(columns="versions", errors="ignore"))]
    page += _equal_budgets(output, list(settings), encoder, budget)
    page += ["", "## What it took", ""]
    page += ["Runs and the hours of their processes: on a CPU of one thread each, on a GPU of several side by side."]
    page += ["", *markdown(_hours(every[every["suite"].isin(suites)]))]
    page += ["", "## What differs from the paper's setting", ""]
    for suite, results in settings.items():
        page += [f"- `{suite}`: {difference}" for difference in _differences(suite, encoder, budget, results)]
    return "\n".join([*page, ""])


def _equal_budgets(output: Path, suites: list[str], encoder: str, budget: str) -> list[str]:
    """The section on equal budgets, empty where no one has run them."""
    found = [equal_budget_scores(output, suite, encoder, budget).assign(suite=suite) for suite in suites]
    rows = pd.concat(found, ignore_index=True)
    if rows.empty:
        return []
    title = ["", "## Under equal budgets", ""]
    title += [
        f"Each method tries the learning rates {', '.join(f'{rate:g}' for rate in RATES)} with patience {PATIENCE}, "
        "and the rate is chosen on validation; beside it, the budget's own settings with all their seeds. Test × 100."
    ]
    for column in ("own settings", "equal"):
        rows[column] = rows[column].map("{:.1f}".format)
    return [*title, "", *markdown(rows[["suite", "method", "task", "own settings", "equal", "rate", "seeds"]])]


def _hours(results: pd.DataFrame) -> pd.DataFrame:
    """How many runs there are of each kind, and their hours, by device."""
    runs = _runs(results)
    few, joint = runs["k"].notna(), runs["task"] == JOINT
    what = pd.Series("all examples", runs.index).mask(few, "few-shot").mask(joint, "joint methods")
    found = runs.assign(what=what).groupby(["suite", "what", "device"], sort=False)["seconds"].agg(["size", "sum"])
    told = found.apply(lambda row: f"{row['size']:,.0f} runs, {row['sum'] / 3600:.1f} h", axis="columns")
    return told.unstack("device").fillna("").rename_axis(columns=None).reset_index()


def _runs(results: pd.DataFrame) -> pd.DataFrame:
    """One row per run: a joint one is a result of each of its tasks."""
    joint = results["method"].map(lambda name: get_method(name).joint).astype(bool)
    return results.assign(task=results["task"].mask(joint, JOINT)).drop_duplicates("folder")


def _lacking(verdicts: pd.DataFrame) -> str:
    """What was not run, in brackets, unless that is most."""
    names = verdicts.loc[verdicts["verdict"] == NOT_RUN, "name"]
    return f" (not {', '.join(names)})" if 0 < len(names) <= len(verdicts) / 2 else ""


def _table(verdicts: pd.DataFrame, columns: list[str]) -> list[str]:
    if verdicts.empty:
        return ["None."]
    rows = pd.concat([readable(part).assign(suite=suite) for suite, part in verdicts.groupby("suite", sort=False)])
    return markdown(rows.reset_index()[["suite", "claim", *columns]])


def markdown(rows: pd.DataFrame) -> list[str]:
    """The lines of a table in Markdown."""
    cells = rows.astype(str).replace(r"\|", r"\|", regex=True).to_numpy().tolist()
    return [f"| {' | '.join(row)} |" for row in [[*rows.columns], ["---"] * len(rows.columns), *cells]]


def _differences(suite: str, encoder: str, budget: str, results: pd.DataFrame) -> list[str]:
    """What differs from the paper's runs, as far as results tell."""
    tasks, theirs = get_suite(suite).tasks, published(suite)
    there = [task for task in tasks if task.name in set(results["task"])]
    found = []
    if theirs.empty:
        found.append(f"not one of the paper's benchmarks with published scores; {len(there)} tasks.")
    elif len(there) < len(tasks):
        found.append(f"{len(there)} of {len(tasks)} tasks ({', '.join(task.name for task in there)}).")
    sources = sorted({len(names.split()) or len(tasks) for names in results["source_tasks"]})
    if sources and sources != [len(tasks)]:
        found.append(f"two-stage methods have {sources[0]} source tasks instead of {len(tasks)}.")
    if theirs.empty or not any(same_encoder(encoder, name) for name in theirs["encoder"].unique()):
        others = ", ".join(theirs["encoder"].unique()) or "RoBERTa and XLM-RoBERTa"
        found.append(f"the encoder is {encoder}, the paper's {others}.")
    seeds = results.groupby(["method", "task", "k"], dropna=False)["seed"].nunique()
    paper = "" if theirs.empty else f"; the paper's {_range(pd.Series([task.seeds for task in there]))}"
    found.append(f"{_range(seeds)} seeds for a score{paper}.")
    batch = " or ".join(str(size) for size in sorted(results["batch_size"].unique()))
    precisions = " or ".join(sorted(results["precision"].unique()))
    found.append(
        f"budget `{budget}`, {precisions}: {_range(results['steps'])} steps (median {results['steps'].median():,.0f}) "
        f"in batches of {batch}; the paper's has fp16, up to 30 epochs in batches of 32, few-shot at most 1,000 steps."
    )
    runs = _runs(results)
    devices = [f"{count} on {name}" for name, count in runs["device"].value_counts().items()]
    found.append(f"runs that this rests on, by where they were made: {', '.join(devices)}.")
    limited = runs[stopped_early(runs)]
    if len(limited):
        every = runs["method"].value_counts()
        each = limited["method"].value_counts(sort=False)
        told = ", ".join(f"{get_method(name).title} {count} of {every[name]}" for name, count in each.items())
        found.append(
            f"runs that were best at the last step that they were allowed, and might have gained by more: {told}."
        )
    return found


def _range(numbers: pd.Series) -> str:
    low, high = numbers.min(), numbers.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
