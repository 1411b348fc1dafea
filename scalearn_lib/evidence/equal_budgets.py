"""Methods under equal budgets: the same patience and the same small search for the learning rate.

The paper's ScaLearn had a tuned learning rate and patience 30, its AdapterFusion patience 5. Here each method tries the
same rates with the same patience, and the rate is chosen on validation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError
from ..methods import get_method
from ..runs.run import Run
from .tables import SETUP, suite_results

RATES = (5e-5, 3e-4, 1e-3, 6e-3)
"""Learning rates that are tried: the published ones of AdapterFusion, the adapter and ScaLearn, and one between."""

PATIENCE = 10


EQUAL_PATIENCE = {"learning_rate": RATES[-1], "patience": PATIENCE}
"""ScaLearn's own rate, and as many steps without a gain as a single adapter has in `converged`."""

FEW_STEPS = {"max_steps": 1000, "patience": 20}
"""The paper's limits of k-shot runs."""


def equal_budget_runs(runs: Sequence[Run]) -> list[Run]:
    """Return each run at each learning rate, with the same patience.

    Raises:
        UserError: a run has overrides already.
    """
    if any(run.overrides for run in runs):
        raise UserError(
            "Runs for an equal budget must have no overrides; their learning rate and patience are set here."
        )
    return [replace(run, overrides={"learning_rate": rate, "patience": PATIENCE}) for run in runs for rate in RATES]


def at_chosen_rates(results: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of `equal_budget_runs` at the rate that has the highest mean validation score over seeds.

    The rate is chosen for each method, sources and task, of equal ones the lowest, and is a column. Where not all of
    `RATES` have been tried, there is none to choose, and no row.

    Args:
        results: as `suite_results` returns them, with one `k`; other runs among them do not count.
    """
    where = [*SETUP, "task"]
    settings = [json.loads(text) for text in results["overrides"]]
    equal = [{"learning_rate": rate, "patience": PATIENCE} for rate in RATES]
    searched = [of in equal for of in settings]
    tried = results.assign(rate=[of.get("learning_rate") for of in settings]).loc[np.array(searched, dtype=bool)]
    means = tried.groupby([*where, "rate"], as_index=False)["validation"].mean()
    means = means[means.groupby(where)["rate"].transform("size") == len(RATES)]
    best = means.sort_values("validation", ascending=False, kind="stable").drop_duplicates(where)[[*where, "rate"]]
    return tried.merge(best, on=[*where, "rate"])


def equal_budget_scores(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return scores on all examples under equal budgets beside those with the budget's own settings, times 100.

    Columns: `method` (title), `source_tasks`, `adapters`, `task`, `own settings` and `equal` (means over all seeds on
    test), `rate` (chosen by the mean validation score over seeds), `seeds` at it. A row needs both scores, and all
    `RATES`.
    """
    results = suite_results(output, suite, encoder=encoder, budget=budget, k=None, sampling="resampled")
    plain = results[results["overrides"] == "{}"]
    rows = []
    chosen = at_chosen_rates(results)
    for (*setup, task), part in chosen.groupby([*SETUP, "task"], sort=False):
        same = (plain[SETUP] == setup).all(axis="columns") & (plain["task"] == task)
        if same.any():
            own, equal = 100 * plain.loc[same, "score"].mean(), 100 * part["score"].mean()
            told = [part["rate"].iloc[0], part["seed"].nunique()]
            rows.append([get_method(setup[0]).title, *setup[1:], task, own, equal, *told])
    columns = ["method", *SETUP[1:], "task", "own settings", "equal", "rate", "seeds"]
    return pd.DataFrame(rows, columns=columns)
