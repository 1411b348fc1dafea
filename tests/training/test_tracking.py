"""Following runs: one run, one name, and the same numbers as without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scalearn_lib.cli import main
from scalearn_lib.errors import UserError
from scalearn_lib.runs import Run, execute
from scalearn_lib.training.tracking import VARIABLE, tracking

SMALL = ["--encoder", "tiny", "--budget", "smoke"]


@pytest.mark.parametrize("method", ["adapter", "adapter_m"])
def test_a_log_has_the_losses_and_changes_nothing(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("toy", "toy_topic", method, "tiny", budget="smoke")
    plain = execute(run, tmp_path / "plain")
    monkeypatch.setenv(VARIABLE, "tensorboard")
    monkeypatch.setenv("SCALEARN_TRACKING", str(tmp_path / "logs"))
    followed = execute(run, tmp_path / "followed")
    assert followed.run == plain.run and followed.files == plain.files and followed.test == plain.test
    (folder,) = (tmp_path / "logs").iterdir()
    what = "toy_topic-adapter" if method == "adapter" else "all-adapter_m"
    assert folder.name == f"toy-{what}-seed-0-tiny-smoke"
    log = EventAccumulator(str(folder)).Reload()
    losses = [entry["loss"] for entry in followed.history if "loss" in entry]
    assert [event.value for event in log.Scalars("train/loss")] == pytest.approx(losses, abs=1e-4)


def test_nothing_is_followed_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert tracking("a run")["report_to"] == []


def test_names_are_checked_before_anything_trains(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    output = ["--output", str(tmp_path)]
    assert main(["run", "toy", "adapter", "toy_topic", *SMALL, *output, "--report-to", "tensorbord"]) == 1
    assert "Unknown tracker 'tensorbord' (did you mean 'tensorboard'?)" in capsys.readouterr().err
    assert main(["run", "toy", "adapter", "toy_topic", *SMALL, *output, "--report-to", "comet_ml"]) == 1
    assert "'comet_ml' is not installed" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError):
        execute(replace(Run("toy", "toy_topic", "adapter", "tiny", budget="smoke"), seed=3), tmp_path)
