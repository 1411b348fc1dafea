"""Tables from stored results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..methods import METHODS
from ..tasks import get_suite
from .result import load_results


def scores(output: Path, suite: str, **where: object) -> pd.DataFrame:
    """Return mean, standard deviation and number of seeds per method and task, one row each (tidy).

    Columns: `method`, `task`, `mean`, `std` (NaN for one seed), `seeds`, `transfer_parameters`. Scores are on test, in
    the task's primary metric, times 100 as in the paper.

    Args:
        output: the folder of results.
        suite: name of the suite.
        **where: further fields to select by; `encoder`, `budget` and `k` (`None` for the whole training split).
    """
    results = load_results(output, suite=suite, **where)
    results["score"] *= 100
    grouped = results.groupby(["method", "task"], sort=False)
    summary = grouped.agg(
        mean=("score", "mean"),
        std=("score", "std"),
        seeds=("seed", "nunique"),
        transfer_parameters=("transfer_parameters", "first"),
    )
    return summary.reset_index()


def table(output: Path, suite: str, encoder: str, budget: str, k: int | None = None) -> pd.DataFrame:
    """Return the table of a suite: a row per method, a column per task, the average, parameters and seeds.

    Cells read "mean ± std" over seeds, or the one score there is; a missing run is blank. The average is given only
    where a method has all tasks of the table.

    Raises:
        UserError: there is no result to show.
    """
    summary = scores(output, suite, encoder=encoder, budget=budget, k=k, overrides="{}")
    if summary.empty:
        shots = "" if k is None else f" and k={k}"
        raise UserError(
            f"No results for suite '{suite}', encoder '{encoder}', budget '{budget}'{shots} in {output}; "
            f"make some first, for instance with `scalearn run {suite} scalearn {get_suite(suite).tasks[0].name}`."
        )
    tasks = [task.name for task in get_suite(suite).tasks if task.name in set(summary["task"])]
    rows = []
    for method in (m for m in METHODS.values() if m.name in set(summary["method"])):
        cells = summary[summary["method"] == method.name].set_index("task")
        seeds = sorted(set(cells["seeds"]))
        row = {"method": method.title, "parameters": f"{cells['transfer_parameters'].max():,}"}
        row |= {task: _cell(cells.loc[task]) if task in cells.index else "" for task in tasks}
        complete = set(tasks) <= set(cells.index)
        row["average"] = f"{cells['mean'].mean():.1f}" if complete and len(tasks) > 1 else ""
        row["seeds"] = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
        rows.append(row)
    return pd.DataFrame(rows).set_index("method")


def _cell(cell: pd.Series) -> str:
    return f"{cell['mean']:.1f}" if cell["seeds"] == 1 else f"{cell['mean']:.1f} ± {cell['std']:.1f}"
