"""What stored results tell about a difference between two methods, task by task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..methods import get_method
from .statistics import Sample


@dataclass(frozen=True)
class Samples:
    """Samples by task, or why there are none.

    Args:
        by_task: in points; see `statistics.Sample`.
        left_out: tasks that both methods have, but not with two seeds.
        missing: why there are none; "" if there are.
        joint: whether the second arrays of all tasks come from the same runs, seed by seed.
    """

    by_task: dict[str, Sample]
    left_out: tuple[str, ...] = ()
    missing: str = ""
    joint: bool = False

    def seeds(self) -> list[int]:
        """How many seeds each method has on each task; of pairs, how many pairs."""
        return [len(array) for sample in self.by_task.values() for array in sample]


def samples_of(results: pd.DataFrame, method: str, other: str, paired: bool) -> Samples:
    """Return the samples of a difference in score, `method` minus `other`, with all seeds that each task has.

    Args:
        results: as `suite_results` returns them, of one setting.
        method, other: names.
        paired: whether equal seeds share something (see docs/claims.md); then only seeds that both have count.
    """
    scores = {
        name: 100 * results[results["method"] == name].groupby(["task", "seed"], sort=False)["score"].mean()
        for name in (method, other)
    }
    lacking = [get_method(name).title for name, values in scores.items() if values.empty]
    if lacking:
        return Samples({}, missing=f"no results of {' and '.join(lacking)}")
    by_task, left_out = {}, []
    tasks = [task for task in scores[method].index.unique("task") if task in scores[other].index.unique("task")]
    for task in tasks:
        first, second = (scores[name].loc[task] for name in (method, other))
        if paired:
            sample = ((first - second).dropna().to_numpy(),)
        else:
            sample = (first.to_numpy(), second.to_numpy())
        if min(map(len, sample)) >= 2:
            by_task[task] = sample
        else:
            left_out.append(task)
    missing = "" if by_task else "needs two seeds of both methods on a task" if left_out else "no task in common"
    return Samples(by_task, tuple(left_out), missing, get_method(other).joint)


def trained_parameters(results: pd.DataFrame, method: str, other: str) -> pd.Series:
    """Return by task what `method` trains in percent of what `other` does, heads included."""
    means = results.groupby(["method", "task"])["trainable_parameters"].mean()
    first, second = (means.get(name, pd.Series(dtype=np.float64)) for name in (method, other))
    return (100 * first / second).dropna()
