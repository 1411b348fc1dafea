"""The figures of the notebooks: seaborn, one function each, from tidy results to a matplotlib figure."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..methods import METHODS
from .shown import show_with_text

METRICS = {
    "accuracy": "accuracy",
    "matthews": "Matthews correlation",
    "pearson": "Pearson correlation",
    "f1": "F1",
    "f1_macro": "macro F1",
}


def use_style() -> None:
    """Set the style of all figures: light grid, colour-blind safe palette, sizes that read on a page, texts."""
    show_with_text()
    sns.set_theme(style="whitegrid", palette="colorblind", context="notebook")
    plt.rcParams.update({"figure.dpi": 110, "savefig.dpi": 150, "axes.titlesize": 12, "axes.titlelocation": "left"})


def save(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as PNG into `folder`/figures and return its path."""
    path = folder / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
    return path


MANY = 8
"""From more methods on, a legend names them: labels at the points would overlap."""

MARKERS = "osD^vP"
"""Shapes that tell many methods apart besides their colours."""

MAIN = ("adapter", "adapter_fusion", "scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "full")
COLORED_FIRST = (*MAIN, "lorahub", "propetl", "lora", "scalearn_lora")
"""What stands beside each other most gets the colours that are told apart best."""

BARS = {"err_style": "bars", "err_kws": {"capsize": 3, "elinewidth": 1}}
"""Bars, not bands, which hide each other where several methods are drawn."""

SPAN = 0.1
"""The least that a panel's axis of scores covers, so that noise does not look like a difference."""


def method_colors() -> dict[str, tuple[float, float, float]]:
    """One colour per method's title, the same in every figure."""
    names = [*COLORED_FIRST, *(name for name in METHODS if name not in COLORED_FIRST)]
    palettes = (sns.color_palette(name, 10) for name in ("colorblind", "dark", "pastel", "muted", "bright"))
    palette = list(dict.fromkeys(color for colors in palettes for color in colors))  # some colours are in several
    return {METHODS[name].title: color for name, color in zip(names, palette[: len(names)], strict=True)}


def source_scores(scores: pd.DataFrame, title: str) -> Figure:
    """Bars of test scores per task beside the trivial baseline.

    Args:
        scores: columns `task`, `score`, `predictor` ("single adapter", "majority or mean").
    """
    figure, axes = plt.subplots(figsize=(9, 4))
    sns.barplot(scores, x="task", y="score", hue="predictor", errorbar="sd", ax=axes)
    axes.set(title=title, xlabel="", ylabel="test score (the task's metric)", ylim=(min(0, scores["score"].min()), 1))
    axes.legend(title="", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.tick_params(axis="x", rotation=20)
    return figure


def loss_curves(curves: pd.DataFrame, title: str) -> Figure:
    """Validation loss over the steps, relative to the first one so that tasks share an axis; the lowest is ringed.

    Args:
        curves: columns `task`, `step`, `loss`.
    """
    relative = curves["loss"] / curves.groupby("task")["loss"].transform("first")
    figure, axes = plt.subplots(figsize=(7.5, 4.4))
    data = curves.assign(relative=relative)
    style = {"markers": True, "dashes": False, "palette": sns.color_palette("colorblind", data["task"].nunique())}
    sns.lineplot(data, x="step", y="relative", hue="task", style="task", ax=axes, **style)
    lowest = data.loc[data.groupby("task")["relative"].idxmin()]
    axes.plot(lowest["step"], lowest["relative"], "o", ms=13, mfc="none", mec="black", label="kept")
    axes.set(title=title, xlabel="training step", ylabel="validation loss / first logged")
    axes.legend(title="", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def spread(axes: Axes) -> None:
    """Let a panel's axis of scores cover at least `SPAN`."""
    low, high = axes.get_ylim()
    more = max(0.0, SPAN - (high - low)) / 2
    axes.set_ylim(low - more, high + more)


def scaling_curve(probes: pd.DataFrame, metric: str, title: str) -> Figure:
    """Score of a probing head against the coefficient on its one source adapter; what validation chooses is ringed.

    Args:
        probes: columns `source`, `omega`, `validation`, `score` (on test), one row per seed.
        metric: name of the metric, for the axis.
    """
    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    sns.lineplot(probes, x="omega", y="score", hue="source", style="source", markers=True, dashes=False, ax=axes)
    means = probes.groupby(["source", "omega"], sort=False)[["validation", "score"]].mean()
    for number, (_, of_source) in enumerate(means.groupby(level="source", sort=False)):
        best = of_source["validation"].idxmax()
        ring = {"marker": "o", "ls": "none", "ms": 15, "mfc": "none", "mec": "black", "mew": 1.5}
        axes.plot(best[1], of_source.loc[best, "score"], **ring, label="chosen on validation" if not number else None)
    axes.set(title=title, xlabel="coefficient ω on the adapter's output", ylabel=f"test {METRICS.get(metric, metric)}")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles, labels, title="", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def pair_heatmap(
    probes: pd.DataFrame,
    first: str,
    second: str,
    metric: str,
    title: str,
    framed: tuple[float, float] | None = None,
) -> Figure:
    """Score for each pair of coefficients on two source adapters.

    Args:
        probes: columns `first`, `second` and `score`, one row per seed.
        framed: the pair that is looked at; unless given, that with the highest mean score.
    """
    grid = probes.pivot_table(index=second, columns=first, values="score", aggfunc="mean").sort_index(ascending=False)
    figure, axes = plt.subplots(figsize=(7.5, 6))
    label = {"label": f"test {METRICS.get(metric, metric)}"}
    sns.heatmap(grid * 100, annot=True, fmt=".1f", cmap="viridis", cbar_kws=label, linewidths=0.5, ax=axes)
    framed = framed or probes.groupby([first, second])["score"].mean().idxmax()
    row, column = grid.index.get_loc(framed[1]), grid.columns.get_loc(framed[0])
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor="white", lw=4))
    axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor="black", lw=1.5, ls="--"))
    axes.set(title=title, xlabel=f"ω on {first}", ylabel=f"ω on {second}")
    return figure


def omega_heatmap(omega: xr.DataArray, title: str, reach: float | None = None) -> Figure:
    """Coefficients per layer and source, averaged over the hidden dimensions; white is 2/T, where ScaLearn starts.

    Args:
        reach: how far from 2/T the colours go, the same for figures that are to be compared; unless given, as far as
            these coefficients do.
    """
    mean = omega.mean("hidden").transpose("layer", "source").to_pandas()
    figure, axes = plt.subplots(figsize=(max(5, 0.75 * mean.shape[1] + 2), 0.45 * mean.shape[0] + 1.6))
    center = 2 / mean.shape[1]
    reach = reach or float(np.nanmax(abs(mean - center))) or 1.0
    style = {"cmap": "vlag", "vmin": center - reach, "vmax": center + reach, "annot_kws": {"size": 8}}
    style |= {"cbar_kws": {"label": "mean ω (white: 2/T)"}}
    digits = 2 if np.nanmax(mean) - np.nanmin(mean) > 0.1 else 3  # so that what differs in colour differs in print
    sns.heatmap(mean, annot=True, fmt=f".{digits}f", ax=axes, **style)
    axes.set(title=title, xlabel="source adapter", ylabel="layer")
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=30)
    return figure


def parameters_against_score(scores: pd.DataFrame, title: str) -> Figure:
    """Mean score against the number of transfer parameters (logarithmic above 1), a labelled point per method.

    Bars are the standard deviation over seeds of what a seed scores on average over the tasks.

    Args:
        scores: columns `method` (titles), `seed`, `transfer_parameters`, `score`, one row per run.
    """
    figure, axes = plt.subplots(figsize=(8, 4.2))
    grouped = scores.groupby(["method", "seed"], sort=False, observed=True)
    seeds = grouped.agg(x=("transfer_parameters", "first"), y=("score", "mean"))
    points = seeds.groupby("method", sort=False, observed=True).agg(x=("x", "first"), y=("y", "mean"), sd=("y", "std"))
    many = len(points) > MANY
    for number, (method, point) in enumerate(points.sort_values("x").iterrows()):
        style = {"color": method_colors()[method], "label": f"{method}, {int(point['x']):,}"}
        style |= {"marker": MARKERS[number % len(MARKERS)] if many else "o"}
        axes.errorbar(point["x"], point["y"], yerr=np.nan_to_num(point["sd"]), linestyle="", ms=9, capsize=3, **style)
        if not many:
            text, where = f"{method}\n{int(point['x']):,}", (point["x"], point["y"])
            right = number % 2 == 0  # beside the bar, above right and below left in turn: neighbours do not overlap
            style = {"xytext": (7, 4) if right else (-7, -26), "ha": "left" if right else "right"}
            axes.annotate(text, where, textcoords="offset points", fontsize=9, **style)
    if many:
        axes.legend(title="method, transfer parameters", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    low, high = (points["y"] - points["sd"].fillna(0)).min(), (points["y"] + points["sd"].fillna(0)).max()
    room = max(high - low, 0.02)
    axes.set(title=textwrap.fill(title, 75), xlabel="transfer parameters", ylabel="mean test score")
    axes.set_xscale("symlog", linthresh=1)  # AdapterSoup has none
    axes.set_ylim(low - 0.4 * room, high + 0.35 * room)
    axes.set_xlim(points["x"].min() / 8 - (points["x"].min() == 0), points["x"].max() * 50)
    return figure


def headed(grid: sns.FacetGrid, title: str, width: int) -> Figure:
    """Put a title over a grid of panels, in lines of at most `width` characters, and return the figure."""
    grid.figure.suptitle(textwrap.fill(title, width), x=0.01, ha="left", va="bottom", y=1.0, fontsize=12)
    return grid.figure


def method_scores(scores: pd.DataFrame, title: str, published: pd.DataFrame | None = None) -> Figure:
    """Score of each method on each task, points with standard deviations over seeds, and published scores as bars.

    Joint methods, some of which may fail, have a panel with a scale of its own.

    Args:
        scores: columns `task` (categorical, in order), `method` (titles), `score`, one row per run.
        published: columns `task`, `method` (titles), `paper`, `paper_encoder`.
    """
    joint = {method.title for method in METHODS.values() if method.joint}
    titles = list(dict.fromkeys(scores["method"]))
    parts = [[title for title in titles if (title in joint) == jointly] for jointly in (False, True)]
    parts = [part for part in parts if part]
    size = (max(9, 1.3 * scores["task"].nunique()), 3.6 * len(parts) + 0.8)
    figure, panels = plt.subplots(len(parts), 1, figsize=size, sharex=True, squeeze=False)
    for axes, methods in zip(panels[:, 0], parts, strict=True):
        _score_panel(axes, scores[scores["method"].isin(methods)], methods, published)
    panels[0, 0].set_title(textwrap.fill(title, 85))
    panels[-1, 0].tick_params(axis="x", rotation=20)
    return figure


def _score_panel(axes: Axes, scores: pd.DataFrame, methods: list[str], published: pd.DataFrame | None) -> None:
    dodge = 0.7
    if published is not None and len(published):
        tasks, count = list(scores["task"].cat.categories), max(1, len(methods) - 1)
        shown = published[published["task"].isin(tasks) & published["method"].isin(methods)]
        for row in shown.itertuples():  # where pointplot puts the points
            x = tasks.index(row.task) + (methods.index(row.method) / count - 0.5) * dodge * (len(methods) > 1)
            axes.plot(x, row.paper, "_", color=method_colors()[row.method], ms=11, mew=2.5)
        if len(shown):
            axes.plot([], [], "_", color="grey", ms=11, mew=2.5, label=f"paper, {shown['paper_encoder'].iloc[0]}")
    sns.pointplot(
        scores,
        x="task",
        y="score",
        hue="method",
        hue_order=methods,
        dodge=dodge,
        linestyle="none",
        errorbar="sd",
        palette=method_colors(),
        ax=axes,
    )
    axes.set(xlabel="", ylabel="test score\n(the task's metric)")
    axes.legend(title="", loc="center left", bbox_to_anchor=(1, 0.5))
