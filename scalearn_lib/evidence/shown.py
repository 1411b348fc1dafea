"""How figures are shown in notebooks: with a text for whoever cannot see them, made from the figure itself."""

from __future__ import annotations

import base64
import html
import os

import matplotlib
from IPython import get_ipython
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def has_front_end() -> bool:
    """Whether somebody sits before this notebook: its kernel belongs to JupyterLab, Jupyter Notebook or VS Code."""
    return any(name in os.environ for name in ("JPY_SESSION_NAME", "VSCODE_PID"))


def alternative_text(figure: Figure) -> str:
    """Say in words what a figure shows: its title, which here is its claim, then axes, panels and legend."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    title = figure.get_suptitle() or next((text for axes in panels if (text := _title(axes))), "")
    parts = [title or "Figure without a title"]
    if figure.get_suptitle() and any(map(_title, panels)):
        parts.append("panels: " + ", ".join(filter(None, map(_title, panels))))
    for name, labels in (
        ("horizontal", [axes.get_xlabel() for axes in panels]),
        ("vertical", [axes.get_ylabel() for axes in panels]),
        ("colour", [axes.get_ylabel() for axes in figure.axes if axes not in panels]),
    ):
        if words := dict.fromkeys(filter(None, labels)):
            parts.append(f"{name}: {', '.join(words)}")
    legends = [*figure.legends, *(legend for axes in panels if (legend := axes.get_legend()))]
    if entries := dict.fromkeys(text.get_text() for legend in legends for text in legend.get_texts()):
        parts.append(f"legend: {', '.join(filter(None, entries))}")
    return " ".join("; ".join(parts).split())


def show_with_text() -> None:
    """Have this notebook show every figure with its `alternative_text`; outside of a notebook, nothing changes.

    Executed without a front end, a figure stays a PNG, with the text in the output's metadata, where the book finds it.
    JupyterLab does not look there, so before a front end the same PNG is shown as HTML.
    """
    shell, backend = get_ipython(), matplotlib.get_backend()
    if shell and backend.startswith("module://"):  # it registers its formatter when it is loaded, at the first figure
        plt.switch_backend(backend)
    formatters = shell.display_formatter.formatters if shell else {}
    try:
        draw = formatters["image/png"].lookup_by_type(Figure)
    except KeyError:  # no notebook, or one that shows figures in another way
        return
    if isinstance(draw, _WithText):
        return
    formatters["image/png"].for_type(Figure, _WithText(draw))
    if has_front_end():
        formatters["text/html"].for_type(Figure, _WithText(draw).as_html)


class _WithText:
    """A formatter of figures that adds the text to what another one draws."""

    def __init__(self, draw) -> None:
        self.draw = draw

    def __call__(self, figure: Figure) -> tuple[str, dict[str, str]]:
        return self.draw(figure), {"alt": alternative_text(figure)}

    def as_html(self, figure: Figure) -> str:
        png = self.draw(figure)
        encoded = png if isinstance(png, str) else base64.b64encode(png).decode()
        return f'<img alt="{html.escape(alternative_text(figure))}" src="data:image/png;base64,{encoded.strip()}">'


def _title(axes: Axes) -> str:
    return next(filter(None, (axes.get_title(place) for place in ("left", "center", "right"))), "")
