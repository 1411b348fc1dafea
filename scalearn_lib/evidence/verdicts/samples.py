"""What stored results tell about a difference between two methods, task by task."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...methods import get_method
from ..results import stopped_early
from .statistics import Sample


@dataclass(frozen=True)
class Samples:
    """Samples by task, or why there are none.

    Args:
        by_task: in points; see `statistics.Sample`.
        left_out: tasks that both methods have, but not with two seeds; of pairs, with two that both have.
        missing: why there are none; "" if there are.
        joint: whether the second arrays of all tasks come from the same runs, seed by seed.
        versions: what the results were made by and from, as `tables.versions` has it.
    """

    by_task: dict[str, Sample]
    left_out: tuple[str, ...] = ()
    missing: str = ""
    joint: bool = False
    versions: tuple[str, ...] = ()

    def seeds(self) -> list[int]:
        """How many seeds each method has on each task; of pairs, how many pairs."""
        return [len(array) for sample in self.by_task.values() for array in sample]


def rows_of_k(frame: pd.DataFrame, k: float | None) -> pd.DataFrame:
    """Return the rows of runs on `k` examples, or on all for None."""
    return frame[frame["k"].isna() if k is None else frame["k"] == k]


def samples_of(results: pd.DataFrame, method: str, other: str, paired: bool) -> Samples:
    """Return the samples of a difference in score, `method` minus `other`, with all seeds that each task has.

    Args:
        results: as `suite_results` returns them, of one setting.
        method, other: names.
        paired: whether equal seeds share something (see docs/claims.md); then only seeds that both have count.
    """
    first, second = (results[results["method"] == name] for name in (method, other))
    lacking = [get_method(name).title for name, rows in ((method, first), (other, second)) if rows.empty]
    if lacking:
        return Samples({}, missing=f"no results of {' and '.join(lacking)}")
    samples = samples_between(first, second, "results", paired)
    return replace(samples, joint=get_method(other).joint)


def cut_short(results: pd.DataFrame, method: str, other: str) -> str:
    """Return which of two methods was stopped too early in most of its runs; "" if neither, or if both were."""
    early = [name for name in (method, other) if stopped_early(results[results["method"] == name]).mean() > 0.5]
    return early[0] if len(early) == 1 else ""


def samples_between(first: pd.DataFrame, second: pd.DataFrame, what: str, paired: bool = False) -> Samples:
    """Return the samples of a difference in score between some results and others, whatever tells them apart.

    Args:
        first, second: with columns `task`, `seed` and `score`.
        what: what they are, for the note that there are none.
        paired: whether equal seeds share something.
    """
    if first.empty or second.empty:
        return Samples({}, missing=f"no {what}")
    scores = [100 * rows.groupby(["task", "seed"], sort=False)["score"].mean() for rows in (first, second)]
    tasks = [task for task in scores[0].index.unique("task") if task in scores[1].index.unique("task")]
    if paired:
        difference = scores[0] - scores[1]
        return _of_two_seeds({task: (difference.loc[task].dropna().to_numpy(),) for task in tasks}, first, second)
    return _of_two_seeds(
        {task: tuple(values.loc[task].to_numpy() for values in scores) for task in tasks}, first, second
    )


def paired_samples(rows: pd.DataFrame, what: str) -> Samples:
    """Return the samples of a `value` that each run has, by task; `what` is said where there are none."""
    values = rows.dropna(subset="value").groupby(["task", "seed"], sort=False)["value"].mean()
    if values.empty:
        return Samples({}, missing=f"no {what}")
    return _of_two_seeds({task: (values.loc[task].to_numpy(),) for task in values.index.unique("task")}, rows)


def _of_two_seeds(by_task: dict[str, Sample], *made_from: pd.DataFrame) -> Samples:
    enough = {task: sample for task, sample in by_task.items() if min(map(len, sample)) >= 2}
    left_out = tuple(task for task in by_task if task not in enough)
    missing = "" if enough else "needs two seeds of both methods on a task" if left_out else "no task in common"
    versions = {version for rows in made_from for version in rows[rows["task"].isin(enough)].get("version", ())}
    return Samples(enough, left_out, missing, versions=tuple(versions))


def trained_parameters(results: pd.DataFrame, method: str, other: str) -> pd.Series:
    """Return by task what `method` trains in percent of what `other` does, heads included."""
    means = results.groupby(["method", "task"])["trainable_parameters"].mean()
    first, second = (means.get(name, pd.Series(dtype=np.float64)) for name in (method, other))
    return (100 * first / second).dropna()
