"""Figures have a text for whoever cannot see them."""

from __future__ import annotations

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.figure import Figure

from scalearn_lib.evidence import figures, figures_few_shot, shown


@pytest.fixture
def curves() -> Figure:
    rows = [("trec", method, k, k / 100) for method in ("ScaLearn", "AdapterFusion") for k in (4, 32)]
    figure = figures_few_shot.few_shot_curves(
        pd.DataFrame(rows, columns=["task", "method", "k", "score"]), "ScaLearn is above"
    )
    yield figure
    plt.close(figure)


def test_the_text_says_what_a_figure_shows(curves: Figure) -> None:
    assert shown.alternative_text(curves) == (
        "ScaLearn is above; panels: trec; horizontal: training examples k; vertical: test score; "
        "legend: ScaLearn, AdapterFusion"
    )


def test_a_colour_bar_is_no_axis() -> None:
    rows = [(a, b, 0, a * b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
    probes = pd.DataFrame(rows, columns=["trec", "movie", "seed", "score"])
    figure = figures.pair_heatmap(probes, "trec", "movie", "accuracy", "Best pair")
    text = shown.alternative_text(figure)
    plt.close(figure)
    assert text == "Best pair; horizontal: ω on trec; vertical: ω on movie; colour: test accuracy"


def formatted(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> tuple[dict, dict]:
    """Data and metadata of a figure in a notebook that has the text switched on twice."""
    formatter = DisplayFormatter()
    formatter.formatters["image/png"].for_type(Figure, lambda shown: print_figure(shown, fmt="png", base64=True))
    monkeypatch.setattr(shown, "get_ipython", lambda: SimpleNamespace(display_formatter=formatter))
    shown.show_with_text()
    shown.show_with_text()
    return formatter.format(figure)


def test_without_a_front_end_the_text_is_metadata(curves: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    data, metadata = formatted(curves, monkeypatch)
    assert set(data) == {"image/png", "text/plain"} and data["image/png"].startswith("iVBOR")
    assert metadata == {"image/png": {"alt": shown.alternative_text(curves)}}


def test_before_a_front_end_it_is_in_the_page(curves: Figure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    curves.suptitle('"<b>"')
    data, _ = formatted(curves, monkeypatch)
    assert 'alt="&quot;&lt;b&gt;&quot;; panels' in data["text/html"]
    assert "image/png" in data


def test_outside_of_notebooks_nothing_changes() -> None:
    shown.show_with_text()
