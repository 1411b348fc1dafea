"""Figures of what goes beyond the paper, in the style of `figures`."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from .figures import MARKERS, headed, method_colors
from .prediction import shots
from .verdicts.claim import FAILS, HOLDS, UNDECIDED


def gain_against_quality(cases: pd.DataFrame, title: str) -> Figure:
    """Gain of ScaLearn over the single adapter against the own source's quality: colours are k, shapes tasks.

    Args:
        cases: as `prediction.gains_by_case` returns them.
    """
    figure, axes = plt.subplots(figsize=(8, 4.6))
    data = cases.sort_values("k")  # full data, without a k, comes last
    data = data.assign(**{"examples": data["k"].map(shots)})
    order = list(data["examples"].unique())
    axes.axhline(0, color="black", lw=1, zorder=0.9)  # below the points
    sns.scatterplot(
        data,
        x="own_source",
        y="gain",
        hue="examples",
        hue_order=order,
        palette=sns.color_palette("colorblind", len(order)),
        style="task",
        style_order=sorted(data["task"].unique()),
        s=110,
        ax=axes,
    )
    axes.set(
        title=textwrap.fill(title, 75),
        xlabel="quality of the own source adapter\n(on validation; 0: constant guess, 1: perfect)",
        ylabel="gain of ScaLearn over\nthe single adapter (points)",
    )
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


def effects(verdicts: pd.DataFrame, title: str) -> Figure:
    """Effects of claims with their 95 % intervals on these tasks, a line each; colours are verdicts.

    Args:
        verdicts: as `claims` returns them, of one unit; those without an effect are left out.
    """
    shown = verdicts.dropna(subset="effect").reset_index(drop=True)
    (unit,) = shown["unit"].unique()
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(shown) + 1.4))
    holds, fails = sns.color_palette("colorblind", 2)
    colors = {HOLDS: holds, FAILS: fails, UNDECIDED: "0.5"}
    axes.axvline(0, color="black", lw=1)
    for verdict, rows in shown.groupby("verdict", sort=False):
        ends = [rows["effect"] - rows["low"], rows["high"] - rows["effect"]]
        axes.errorbar(rows["effect"], rows.index, xerr=ends, fmt="o", capsize=3, color=colors[verdict], label=verdict)
    axes.set_yticks(shown.index, [textwrap.fill(text, 60) for text in shown["claim"]], fontsize=9)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(title=textwrap.fill(title, 75), xlabel=f"effect, {unit} (95 % interval over seeds)", ylabel="")
    axes.legend(title="", loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


def score_against_parameters(scores: pd.DataFrame, title: str) -> Figure:
    """Mean test score of each method, by the number of their coefficients, a panel for each number of examples.

    Args:
        scores: columns `examples`, `task`, `method` (titles), `transfer_parameters`, `score`; a row per run.
    """
    counts = scores.groupby("method", observed=True)["transfer_parameters"].max().sort_values()
    names = {method: f"{method}, {count:,.0f}" for method, count in counts.items()}
    grid = sns.catplot(
        scores.assign(trained=scores["method"].map(names).astype(str)),
        x="score",
        y="trained",
        order=list(names.values()),
        hue="task",
        col="examples",
        kind="point",
        errorbar="sd",
        linestyle="none",
        dodge=0.3 if scores["task"].nunique() > 1 else False,  # seaborn divides by one less
        markers=list(MARKERS)[: scores["task"].nunique()],
        palette="colorblind",
        sharex=False,  # few examples: far apart; all: close together
        height=0.42 * len(names) + 1.4,
        aspect=1.6,
    )
    grid.set_axis_labels("test score", "")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        axes.grid(axis="y", visible=True)
    return headed(grid, title, 110)


def varied(frame: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return what can be compared along the column `x`: several values per method and task, with the same seeds."""
    tried = frame.groupby(["task", "method"], observed=True)[x].transform("nunique")
    each = frame.groupby(["task", "method", "seed"], observed=True)[x].transform("nunique")
    return frame[(tried > 1) & (each == tried)]


def change(frame: pd.DataFrame, x: str) -> str:
    """Return what the largest `x` brings over the smallest, in points for each method: a mean over tasks with both."""
    means = frame.pivot_table(index=["task", "method"], columns=x, values="score", observed=True)
    points = 100 * (means[means.columns.max()] - means[means.columns.min()]).dropna()
    by_method = points.groupby("method", observed=True).mean()
    return ", ".join(f"{method} {value:+.1f} points" for method, value in by_method.items())


def over_count(frame: pd.DataFrame, x: str, label: str, title: str, style: str | None = None) -> Figure:
    """Test score against a number that was varied, a colour per method and a panel per task; bands over seeds.

    Args:
        frame: columns `task`, `method` (titles), `score`, `x`, and `style`, which tells lines of a method apart.
    """
    order = sorted(frame[x].unique())
    placed = frame.assign(place=frame[x].map(order.index))  # evenly: the numbers grow by factors
    grid = sns.relplot(
        placed,
        x="place",
        y="score",
        hue="method",
        style=style or "method",
        col="task",
        col_wrap=2 if placed["task"].nunique() == 4 else min(3, placed["task"].nunique()),  # four as a square
        kind="line",
        markers=True,
        dashes=style is not None,
        errorbar="sd",
        palette=method_colors(),
        hue_order=list(dict.fromkeys(placed["method"])),
        facet_kws={"sharey": False},
        height=3.6,
        aspect=1.15,
    )
    grid.set(xticks=range(len(order)), xticklabels=[str(number) for number in order])
    grid.set_axis_labels(label, "test score")
    grid.set_titles("{col_name}")
    return headed(grid, title, 100)


def entropies(shares: pd.DataFrame, title: str) -> Figure:
    """Entropy of the sources' shares over the training, a line per layer, a column per method; means over runs.

    Args:
        shares: as `share_histories` returns them, and `examples`, which gets a row each.
    """
    grid = sns.relplot(
        shares,
        x="step",
        y="entropy",
        hue="layer",
        col="method",
        row="examples",
        facet_kws={"sharex": "row"},
        kind="line",
        errorbar=None,
        palette=sns.color_palette("viridis", shares["layer"].nunique()),
        height=3.2,
        aspect=1.25,
    )
    for axes in grid.axes.flat:
        axes.axhline(0.5, color="black", lw=1, ls=":")
    grid.set(ylim=(0, 1.05))
    grid.set_axis_labels("training step", "entropy of shares\n(1: all sources alike)")
    grid.set_titles("{col_name}, {row_name}")
    return headed(grid, title, 110)
