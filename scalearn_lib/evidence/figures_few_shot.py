"""Figures of scores and gains against the number of training examples, and what is drawn in them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from ..methods import get_method
from .figures import BARS, MARKERS, headed, method_colors, spread
from .prediction import shots
from .verdicts.samples import samples_of
from .verdicts.statistics import effect_of

FEWEST_TASKS = 3
"""Of a mean over tasks that is drawn: over fewer it tells more of the tasks than of the method."""


def with_curves(results: pd.DataFrame) -> pd.DataFrame:
    """Return few-shot results that make a curve: several seeds at several k, on tasks that several methods have."""
    rows = results[results["k"].notna()]
    rows = rows[rows.groupby(["task", "method", "k"])["seed"].transform("nunique") > 1]  # one seed has no band
    rows = rows[rows.groupby(["task", "method"])["k"].transform("nunique") > 1]
    return rows[rows.groupby("task")["method"].transform("nunique") > 1]


def gains_over(results: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Return the gain of each method over a single adapter by number of examples and task, in points.

    Only means over at least `FEWEST_TASKS` are told. Columns: `method` (title), `examples`, `task`, `gain`; and `mean`,
    `low`, `high`, the mean over the tasks with its 95 % interval over seeds, as the verdicts have them.

    Args:
        results: as `suite_results` returns them, of one setting and sampling.
    """
    rows = []
    for k, part in results.groupby("k", dropna=False):  # all examples, without a k, come last
        for method in methods:
            by_task = samples_of(part, method, "adapter", paired=pd.notna(k)).by_task
            if len(by_task) >= FEWEST_TASKS:
                effect = effect_of(list(by_task.values()), replicates=0)
                told = {"method": get_method(method).title, "examples": shots(k)}
                told |= {"mean": effect.value, "low": effect.low, "high": effect.high}
                rows += [
                    told | {"task": task, "gain": effect_of([sample], replicates=0).value}
                    for task, sample in by_task.items()
                ]
    return pd.DataFrame(rows, columns=["method", "examples", "task", "gain", "mean", "low", "high"])


def few_shot_curves(scores: pd.DataFrame, title: str) -> Figure:
    """Score against the number of training examples, a line per method and a panel per task.

    Args:
        scores: columns `task`, `method` (titles), `k`, `score`, one row per run.
    """
    style = {"kind": "line", "markers": True, "dashes": False, "errorbar": "sd", "palette": method_colors(), **BARS}
    tasks = scores["task"].nunique()
    wrap = tasks if tasks < 4 else 4 if tasks > 6 else 3
    panels = {"col": "task", "col_wrap": wrap, "height": 3.6, "aspect": 1.6 if tasks == 1 else 1.1}
    grid = sns.relplot(
        scores, x="k", y="score", hue="method", style="method", facet_kws={"sharey": False}, **style, **panels
    )
    shots = sorted(scores["k"].unique())
    grid.set(xscale="log", xticks=shots, xticklabels=[str(int(k)) for k in shots])
    for axes in grid.axes.flat:
        axes.xaxis.set_minor_locator(NullLocator())  # the logarithm's own ticks would write over these
        spread(axes)
    grid.set_axis_labels("training examples k", "test score")
    grid.set_titles("{col_name}")
    return headed(grid, title, 70 * min(2, tasks))


def gain_curves(gains: pd.DataFrame, title: str) -> Figure:
    """Gain over the single adapter against the number of training examples: means with intervals, and each task.

    Args:
        gains: as `gains_over` returns them.
    """
    figure, axes = plt.subplots(figsize=(9, 4.6))
    order = list(dict.fromkeys(gains["examples"]))
    methods = list(dict.fromkeys(gains["method"]))
    axes.axhline(0, color="black", lw=1)
    for number, method in enumerate(methods):
        shift, color = 0.22 * (number - (len(methods) - 1) / 2), method_colors()[method]
        of_method = gains[gains["method"] == method]
        places = of_method["examples"].map(order.index) + shift
        axes.scatter(places, of_method["gain"], s=16, color=color, alpha=0.35, lw=0, zorder=2)
        means = of_method.drop_duplicates("examples")
        at = means["examples"].map(order.index) + shift
        ends = [means["mean"] - means["low"], means["high"] - means["mean"]]
        style = {"fmt": f"{MARKERS[number]}-", "ms": 9, "lw": 2, "capsize": 4, "zorder": 3}
        axes.errorbar(at, means["mean"], yerr=ends, color=color, label=method, **style)
    tasks = gains.groupby("examples")["task"].nunique()
    axes.set_xticks(range(len(order)), [f"{examples}\n{tasks[examples]} tasks" for examples in order])
    axes.set(title=title, xlabel="training examples of the target", ylabel="points above the single adapter")
    axes.legend(title="")
    return figure
