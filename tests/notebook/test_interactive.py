"""What sliders and switches compute: exact where it is stored, honest between, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from scalearn_lib.errors import UserError
from scalearn_lib.notebook.controls import PairPicture, pair_sliders, source_switches, switches_picture
from scalearn_lib.notebook.interactive import ScaledPair, SourceSwitches, encode_pair, ridge
from scalearn_lib.paths import output_dir
from scalearn_lib.probing.probes import probing_data
from scalearn_lib.runs import Run, execute_all, load_trained
from scalearn_lib.runs.data import at_most, encoded
from scalearn_lib.tasks import get_task

GRID = (0.0, 0.5, 1.0)


@pytest.fixture(scope="module")
def pair() -> ScaledPair:
    runs = [Run("toy", task, "adapter", "tiny", budget="smoke") for task in ("toy_topic", "toy_polarity")]
    execute_all(runs)
    folders: dict[str, Path] = {run.task: run.weights(output_dir()) for run in runs}
    data = probing_data("toy", "toy_topic", "tiny", "smoke")
    return encode_pair(get_task("toy", "toy_topic"), data, "tiny", folders, GRID)


def synthetic(name: str, rows: int, hidden: int, shape: tuple[int, ...] = ()) -> ScaledPair:
    """Random features of a task, as large as notebook 01 stores them."""
    generator = torch.Generator().manual_seed(0)
    task = get_task(*name.split("/"))
    features = torch.randn(4, 4, rows, *shape, hidden, generator=generator)
    labels = torch.randint(task.num_labels, (rows,), generator=generator)
    if task.kind == "regression":
        labels = torch.randn(rows, generator=generator)
    if task.kind == "multi_label":
        labels = torch.randint(2, (rows, task.num_labels), generator=generator).float()
    table = Dataset.from_dict({"labels": labels.tolist()})
    return ScaledPair(task, ("a", "b"), (0.0, 0.3, 0.7, 1.0), features, features, labels, labels, table)


def test_stored_pairs_are_exact_and_the_rest_lies_between(pair: ScaledPair) -> None:
    _, at_corner = pair.features(0.5, 1.0)
    assert torch.equal(at_corner, pair.test[1, 2])
    _, between = pair.features(0.25, 0.75)
    corners = pair.test[0, 1], pair.test[1, 1], pair.test[0, 2], pair.test[1, 2]
    torch.testing.assert_close(between, sum(corners) / 4)
    assert pair.stored(0.5, 1.0) and not pair.stored(0.5, 0.75)


def test_the_two_sources_keep_their_axes(pair: ScaledPair) -> None:
    assert not torch.allclose(pair.test[2, 0], pair.test[0, 2])
    assert torch.equal(pair.features(1.0, 0.0)[1], pair.test[2, 0])
    assert pair.scores()[2, 0] == pair.score(1.0, 0.0)


def test_interpolation_is_near_what_encoding_gives(pair: ScaledPair) -> None:
    """The middle of a cell, encoded for once, against the average of its corners."""
    folders = {name: Run("toy", name, "adapter", "tiny", budget="smoke").weights(output_dir()) for name in pair.names}
    data = probing_data("toy", "toy_topic", "tiny", "smoke")
    real = encode_pair(pair.task, data, "tiny", folders, (0.25, 0.75)).test[0, 0]
    guess = pair.features(0.25, 0.25)[1]
    nearest = pair.test[0, 0]
    assert (guess - real).norm() < 0.25 * (nearest - real).norm()


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_coefficients_outside_the_grid_are_refused(pair: ScaledPair, value: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        pair.features(value, 0.5)


def test_a_pair_needs_two_sources_and_two_values() -> None:
    with pytest.raises(UserError, match="two sources and at least two values"):
        encode_pair(get_task("toy", "toy_topic"), {}, "tiny", {"one": Path()}, GRID)


def test_ridge_learns_what_is_linear() -> None:
    generator = torch.Generator().manual_seed(1)
    task = get_task("toy", "toy_topic")
    centers = 3 * torch.randn(3, 20, generator=generator)
    labels = torch.arange(60) % 3
    x = centers[labels] + 0.5 * torch.randn(60, 20, generator=generator) + 100
    assert (ridge(task, x[:30], labels[:30], x[30:]).argmax(1) == labels[30:]).all()
    scores = get_task("toy", "toy_score")
    target = x @ torch.randn(20, generator=generator)
    predicted = ridge(scores, x[:50], target[:50], x[50:])[:, 0]
    assert np.corrcoef(predicted, target[50:])[0, 1] > 0.9


@pytest.mark.parametrize("name", ["toy/toy_topic", "toy/toy_score", "superglue/copa", "humset/sectors"])
def test_the_picture_follows_the_sliders(name: str) -> None:
    """For every kind of task, at notebook 01's size."""
    choices = (2,) if name == "superglue/copa" else ()
    picture = PairPicture(synthetic(name, 120, 384, choices))
    pictures = [picture.draw(step / 8, 1 - step / 8) for step in range(8)]
    assert len(set(pictures)) == len(pictures)
    assert all(image.startswith(b"\x89PNG") for image in pictures)


@pytest.fixture(scope="module")
def switches() -> SourceSwitches:
    run = Run("toy", "toy_score", "scalearn", "tiny", budget="smoke")
    task = get_task("toy", "toy_score")
    rows = at_most(encoded(task, "tiny")["test"], 24)
    return SourceSwitches(load_trained(run), "scalearn", task, "tiny", rows)


def test_switching_a_source_off_is_a_coefficient_of_zero(switches: SourceSwitches) -> None:
    first, *others = switches.sources
    before = [omega.detach().clone() for omega in switches._omegas]
    score = switches.score(others)
    assert all(torch.equal(a, b) for a, b in zip(before, switches._omegas, strict=True))
    with torch.no_grad():
        for omega in switches._omegas:
            omega[0] = 0
    fresh = SourceSwitches(switches.model, "scalearn", switches.task, "tiny", switches.rows)
    assert fresh.score(fresh.sources) == pytest.approx(score)
    with torch.no_grad():
        for omega, value in zip(switches._omegas, before, strict=True):
            omega.copy_(value)
    assert switches.without_each()[first] == score


def test_no_source_at_all_is_the_encoder_alone(switches: SourceSwitches) -> None:
    assert switches.score([]) != switches.score(switches.sources)
    with pytest.raises(UserError, match="No source adapter nothing"):
        switches.score(["nothing"])


def test_constrained_coefficients_cannot_be_switched() -> None:
    run = Run("toy", "toy_score", "scalearn_softmax", "tiny", budget="smoke")
    task = get_task("toy", "toy_score")
    with pytest.raises(UserError, match="constrained"):
        SourceSwitches(load_trained(run), "scalearn_softmax", task, "tiny", encoded(task, "tiny")["test"])


def test_controls_show_widgets_only_where_somebody_can_use_them(
    pair: ScaledPair, switches: SourceSwitches, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[dict[str, object]] = []
    texts: list[str] = []

    def display(data: dict[str, object], raw: bool, metadata: dict[str, dict[str, str]]) -> None:
        shown.append(data)
        texts.append(metadata["image/png"]["alt"])

    monkeypatch.setattr("scalearn_lib.notebook.controls.display", display)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    pair_sliders(PairPicture(pair))
    source_switches(switches)
    assert [set(data) for data in shown] == [{"image/png", "text/plain"}] * 2
    assert texts[0].startswith("ω = ") and "horizontal: ω on " in texts[0]
    assert texts[1].startswith("All sources are on; ") and f"{switches.sources[0]} " in texts[1].split(": ")[-1]
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook.ipynb")
    pair_sliders(PairPicture(pair))
    assert set(shown[-1]) == {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"}


def test_the_switches_picture_tells_settings_apart(switches: SourceSwitches) -> None:
    every = set(switches.sources)
    assert switches_picture(switches, every)[0] != switches_picture(switches, every - {switches.sources[0]})[0]
