"""Figures of what goes beyond the paper, in the style of `figures`."""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .figures import BARS, MARKERS, headed, method_colors, spread
from .prediction import shots
from .verdicts.claim import FAILS, HOLDS, UNDECIDED
from .verdicts.rules import BUT_FOR_OTHERS


def gain_against_predictors(cases: pd.DataFrame, title: str) -> Figure:
    """Gain of ScaLearn over the single adapter, a colour per task: against the number of examples, and quality.

    Args:
        cases: as `prediction.gains_by_case` returns them.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, width_ratios=[1.2, 1])
    data = cases.sort_values("k")  # full data, without a k, comes last
    data = data.assign(examples=data["k"].map(shots))
    tasks = sorted(data["task"].unique())
    style = {"hue": "task", "hue_order": tasks, "style": "task", "style_order": tasks, "y": "gain"}
    style["palette"] = sns.color_palette("colorblind", len(tasks))
    sns.lineplot(data, x="examples", markers=True, dashes=False, ms=9, legend=False, ax=left, **style)
    sns.scatterplot(data, x="own_source", s=90, ax=right, **style)
    for axes in (left, right):
        axes.axhline(0, color="black", lw=1, zorder=0.9)  # below the points
    left.set(xlabel="training examples", ylabel="gain of ScaLearn over\nthe single adapter (points)")
    right.set_xlabel("quality of the own source adapter\n(on validation; 0: constant guess, 1: perfect)")
    right.legend(title="", loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    left.set_title(textwrap.fill(title, 95))
    return figure


BAND = {"color": "0.88", "zorder": 0.5, "lw": 0}


def effects(verdicts: pd.DataFrame, title: str) -> Figure:
    """Effects of claims with their 95 % intervals on these tasks, a line each, a panel per number of examples.

    Colours are verdicts; what only the correction for several claims leaves undecided is hollow. Behind claims of
    staying within a margin lies a band as wide as that.

    Args:
        verdicts: as `claims` returns them, of one unit; those without an effect are left out.
    """
    shown = verdicts.dropna(subset="effect")
    (unit,) = shown["unit"].unique()
    parts = [part.reset_index(drop=True) for _, part in shown.groupby("k", dropna=False, sort=False)]
    size, ratios = (9, 0.36 * len(shown) + 1.1 * len(parts) + 0.4), [len(part) + 0.5 for part in parts]
    figure, panels = plt.subplots(
        len(parts), 1, figsize=size, height_ratios=ratios, squeeze=False, layout="constrained"
    )
    for axes, part in zip(panels[:, 0], parts, strict=True):
        _effects_panel(axes, part)
    panels[-1, 0].set_xlabel(f"effect, {unit} (95 % interval over seeds)")
    figure.suptitle(textwrap.fill(title, 75), x=0.01, ha="left", fontsize=12)
    handles = {
        label: each for axes in panels.flat for each, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=len(handles), fontsize="small")
    return figure


def _effects_panel(axes: Axes, part: pd.DataFrame) -> None:
    holds, fails = sns.color_palette("colorblind", 2)
    colors = {HOLDS: holds, FAILS: fails, UNDECIDED: "0.45"}
    for row in part[part["margin"] > 0].itertuples():
        axes.fill_betweenx(
            [row.Index - 0.5, row.Index + 0.5], -row.margin, row.margin, label="within the margin", **BAND
        )
    axes.axvline(0, color="black", lw=1)
    nearly = part["note"].str.startswith(BUT_FOR_OTHERS)
    for (verdict, hollow), rows in part.groupby([part["verdict"], nearly], sort=False):
        style = {"fmt": "o", "capsize": 3, "color": colors[verdict]} | ({"mfc": "white"} if hollow else {})
        ends = [rows["effect"] - rows["low"], rows["high"] - rows["effect"]]
        label = f"{verdict}{' (alone it would decide)' * hollow}"
        axes.errorbar(rows["effect"], rows.index, xerr=ends, label=label, **style)
    examples = shots(part["k"].iloc[0])
    axes.set_title(f"{examples} examples", fontsize=10)
    claims = part["claim"].str.removeprefix(f"k = {examples}").str.lstrip(":, ")
    axes.set_yticks(part.index, [balanced(text, 62) for text in claims], fontsize=9)
    axes.set_ylim(len(part) - 0.5, -0.5)


def balanced(text: str, width: int) -> str:
    """Text in lines of at most about `width` characters, of equal length as far as words allow."""
    lines = -(-len(text) // width)
    return textwrap.fill(text, len(text) // lines + 8)


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
        markers=[MARKERS[number % len(MARKERS)] for number in range(scores["task"].nunique())],
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
    """Return what can be compared along the column `x`: several values per method and task, with the same seeds.

    A value that fewer than half of a method's seeds have on a task is left out, not the other seeds for its sake.
    """
    seeds = frame.groupby(["task", "method", x], observed=True)["seed"].transform("nunique")
    most = seeds.groupby([frame["task"], frame["method"]], observed=True).transform("max")
    frame = frame[2 * seeds >= most]
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
    """Test score against a number that was varied, a colour per method and a panel per task; bars over seeds.

    Args:
        frame: columns `task`, `method` (titles), `score`, `x`, and `style`, which tells lines of a method apart.
    """
    order = sorted(frame[x].unique())
    placed = frame.assign(place=frame[x].map(order.index))  # evenly: the numbers grow by factors
    panels = placed["task"].nunique()
    grid = sns.relplot(
        placed,
        x="place",
        y="score",
        hue="method",
        style=style or "method",
        col="task",
        col_wrap={4: 2, 7: 4, 8: 4}.get(panels, min(3, panels)),  # few holes in the last row
        kind="line",
        markers=True,
        dashes=style is not None,
        errorbar="sd",
        **BARS,
        palette=method_colors(),
        hue_order=list(dict.fromkeys(placed["method"])),
        facet_kws={"sharey": False},
        height=3.6,
        aspect=1.15,
    )
    grid.set(xticks=range(len(order)), xticklabels=[str(number) for number in order])
    grid.set_axis_labels(label, "test score")
    grid.set_titles("{col_name}")
    for axes in grid.axes.flat:
        spread(axes)
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
