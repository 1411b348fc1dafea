"""Sliders and switches for notebooks 01 and 03, and a still picture of them where there is nobody to move them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ..evidence.figures import METRICS
from ..evidence.shown import alternative_text, has_front_end
from .interactive import ScaledPair, SourceSwitches


def class_colors() -> list[tuple[float, float, float]]:
    """Ten colours for classes: of the colour-blind safe palette, those that are alike come last."""
    palette = sns.color_palette("colorblind")
    return [palette[number] for number in (0, 1, 2, 4, 7, 8, 5, 9, 3, 6)]


class PairPicture:
    """Score and decision of a `ScaledPair` as a picture that is drawn anew within milliseconds.

    Left: the score at each stored pair, and where the coefficients are now. Right: the test rows in two fixed
    directions (principal components of all stored features), or for a regression predicted against true scores.

    Args:
        pair: what to show.
    """

    def __init__(self, pair: ScaledPair) -> None:
        self.pair = pair
        scores = pair.scores()
        best = np.unravel_index(scores.argmax(), scores.shape)
        self.best = (pair.grid[best[0]], pair.grid[best[1]])
        self.figure = Figure(figsize=(9, 3.9), dpi=80, layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        left, right = self.figure.subplots(1, 2, width_ratios=(1, 1.15))
        self._map(left, scores)
        self._rows(right)
        self.now = self.figure.suptitle(" ", x=0.01, ha="left", fontsize=12, animated=True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)

    def _map(self, axes: plt.Axes, scores: np.ndarray) -> None:
        shown = axes.pcolormesh(self.pair.grid, self.pair.grid, scores.T, shading="gouraud", cmap="viridis")
        x, y = np.meshgrid(self.pair.grid, self.pair.grid, indexing="ij")
        axes.plot(x.ravel(), y.ravel(), ".", color="white", ms=3)
        bar = self.figure.colorbar(shown, ax=axes)
        bar.set_label(f"test {METRICS.get(self.pair.task.metric, self.pair.task.metric)}")
        first, second = self.pair.names
        axes.set(xlabel=f"ω on {first}", ylabel=f"ω on {second}", title="score (dots: stored pairs)")
        axes.grid(False)
        style = {"marker": "o", "ms": 13, "mfc": "none", "mec": "black", "mew": 2.5, "animated": True, "clip_on": False}
        (self.marker,) = axes.plot([0], [0], ls="none", **style)
        self.map = axes

    def _rows(self, axes: plt.Axes) -> None:
        pair, task = self.pair, self.pair.task
        colors = np.zeros(len(pair.test_labels), int)
        if task.kind == "regression":
            labels = pair.test_labels.float()
            low, high = labels.min().item(), labels.max().item()
            axes.plot([low, high], [low, high], color="grey", lw=1)
            axes.set(xlabel="true score", ylabel="predicted", title="decision", xlim=(low, high), ylim=(low, high))
        else:
            every = self._vectors(pair.test.flatten(0, 1))
            self.center = every.mean((0, 1))
            _, _, directions = torch.pca_lowrank(every.flatten(0, 1) - self.center, q=2, center=False)
            self.directions = directions
            places = ((every - self.center) @ directions).flatten(0, 1).numpy()
            low, high = np.quantile(places, (0.005, 0.995), axis=0)
            (left, bottom), (right, top) = low - 0.08 * (high - low), high + 0.08 * (high - low)
            axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
            axes.set(xlabel="first two directions of the features", title="decision (×: wrong)")
            if task.kind == "classification":
                colors = pair.test_labels.numpy()
        palette = np.array(sns.color_palette("husl", colors.max() + 1) if colors.max() > 9 else class_colors())
        zero = np.zeros((len(colors), 2))
        self.dots = axes.scatter(*zero.T, s=16, c=palette[colors], lw=0, animated=True)
        self.wrong = axes.scatter(*zero[:0].T, s=28, c="black", marker="x", lw=1, animated=True)
        if task.kind == "classification" and task.num_labels <= 10:
            for color, label in zip(palette, task.labels, strict=False):
                axes.plot([], [], "o", ms=4, color=color, label=label)
            axes.legend(fontsize="x-small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        self.rows = axes

    def _vectors(self, features: torch.Tensor) -> torch.Tensor:
        """One vector per row: of several choices the mean."""
        return features.mean(-2) if self.pair.task.kind == "multiple_choice" else features

    def draw(self, first: float, second: float) -> bytes:
        """Return the picture at a pair of coefficients, as PNG."""
        pair, task = self.pair, self.pair.task
        logits = pair.logits(first, second)
        if task.kind == "regression":
            places = np.stack([pair.test_labels.float().numpy(), logits[:, 0].numpy()], 1)
            wrong = np.zeros(len(places), bool)
        else:
            places = ((self._vectors(pair.features(first, second)[1]) - self.center) @ self.directions).numpy()
            if task.kind == "multi_label":
                wrong = ((logits > 0) != pair.test_labels.bool()).any(1).numpy()
            else:
                wrong = (logits.argmax(1) != pair.test_labels).numpy()
        self.marker.set_data([first], [second])
        self.dots.set_offsets(places)
        self.wrong.set_offsets(places[wrong])
        kind = "stored features" if pair.stored(first, second) else "interpolated features"
        self.now.set_text(f"ω = {first:.2f} and {second:.2f}: {task.metric} {pair.metric(logits):.3f}   ({kind})")
        self.canvas.restore_region(self.background)
        for artist, axes in ((self.marker, self.map), (self.dots, self.rows), (self.wrong, self.rows)):
            axes.draw_artist(artist)
        self.figure.draw_artist(self.now)
        return png(self.canvas)


def png(canvas: FigureCanvasAgg) -> bytes:
    """Return what is on a canvas as PNG, packed quickly rather than tightly."""
    stream = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def pair_sliders(picture: PairPicture) -> None:
    """Show two sliders and the picture that follows them; without a front end, the picture at the best stored pair."""
    low, high = picture.pair.grid[0], picture.pair.grid[-1]
    sliders = [
        widgets.FloatSlider(value, min=low, max=high, step=0.05, description=name, readout_format=".2f")
        for name, value in zip(picture.pair.names, picture.best, strict=True)
    ]

    def draw() -> tuple[bytes, str]:
        return picture.draw(*(slider.value for slider in sliders)), alternative_text(picture.figure)

    _show(sliders, widgets.VBox, draw)


def switches_picture(switches: SourceSwitches, on: set[str]) -> tuple[bytes, str]:
    """Return the score with the sources in `on`, beside that when each source alone is off, as PNG and in words."""
    full, alone, value = switches.score(switches.sources), switches.without_each(), switches.score(on)
    figure = Figure(figsize=(8.5, 0.36 * len(alone) + 1.7), dpi=80, layout="constrained")
    axes = figure.subplots()
    blue, orange = sns.color_palette("colorblind")[:2]
    for height, (name, score) in enumerate(alone.items()):
        color = blue if name in on else "grey"
        axes.plot([full, score], [height, height], color=color, lw=3)
        axes.plot(score, height, "o" if name in on else "X", color=color, ms=9)
    axes.axvline(full, color="black", lw=1, label=f"all sources {full:.3f}")
    axes.axvline(value, color=orange, lw=2, ls="--", label=f"now {value:.3f}")
    low, high = min(full, value, *alone.values()), max(full, value, *alone.values())
    room = max(0.15 * (high - low), 0.01)  # differences below a hundredth look as small as they are
    axes.set(xlim=(low - room, high + room), yticks=range(len(alone)), yticklabels=list(alone))
    axes.set_xlabel(f"test {METRICS.get(switches.task.metric, switches.task.metric)} when this source alone is off")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.invert_yaxis()
    off = [name for name in alone if name not in on]
    axes.set_title(f"Without {', '.join(off)}" if off else "All sources are on", loc="left", fontsize=12, wrap=True)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    each = ", ".join(f"{name} {score:.3f}" for name, score in alone.items())
    return png(canvas), f"{alternative_text(figure)}; score without each source: {each}"


def source_switches(switches: SourceSwitches) -> None:
    """Show a switch per source and the score that follows; without a front end, the score without each source."""
    boxes = [
        widgets.ToggleButton(True, description=name, icon="check", layout=widgets.Layout(width="auto"))
        for name in switches.sources
    ]

    def draw() -> tuple[bytes, str]:
        for box in boxes:
            box.icon = "check" if box.value else ""
        return switches_picture(switches, {box.description for box in boxes if box.value})

    _show(boxes, lambda row: widgets.Box(row, layout=widgets.Layout(flex_flow="row wrap")), draw)


def _show(
    controls: list[widgets.Widget], arrange: Callable[..., widgets.Widget], draw: Callable[[], tuple[bytes, str]]
) -> None:
    """Display controls above a picture that is drawn again whenever one of them moves, or the picture alone.

    The still picture goes along in the same output, so that whatever cannot show the controls shows it.

    Args:
        controls: what can be moved.
        arrange: the box that they are put into.
        draw: returns the picture as PNG, and what it shows in words.
    """
    still, words = draw()
    encoded = {"image/png": base64.b64encode(still).decode(), "text/plain": "picture with controls"}
    if has_front_end():
        picture = widgets.Image(value=still, format="png")
        for control in controls:
            control.observe(lambda change: setattr(picture, "value", draw()[0]), names="value")
        whole = widgets.VBox([arrange(controls), picture])
        view = {"version_major": 2, "version_minor": 0, "model_id": whole.model_id}
        encoded["application/vnd.jupyter.widget-view+json"] = view
    display(encoded, raw=True, metadata={"image/png": {"alt": words}})
