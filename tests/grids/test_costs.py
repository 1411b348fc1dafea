"""Measured and estimated times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.evidence.results import load_results
from scalearn_lib.grids import costs as module
from scalearn_lib.grids.costs import FILE, cost_table, estimate, measured
from scalearn_lib.probing.pairs import Probe
from scalearn_lib.runs import Run
from tests.stored import store

ROOT = Path(__file__).parents[2]
RUN = Run("glue", "rte", "scalearn", "roberta-base", budget="paper")


def timed(output: Path, seed: int, seconds: float, method: str = "adapter", made_from=None, **more: object) -> None:
    took = {"seconds": {"total": seconds, "train": seconds / 2, "test": 0.1}, "steps": 10}
    took |= {"device": "Big GPU", "threads": 4} | (made_from or {})
    store(output, "toy_topic", method, seed, 0.5, made_from=took, **more)


def test_measured_times_are_medians_of_plain_runs(tmp_path: Path) -> None:
    for seed, seconds in enumerate((2.0, 30.0, 4.0)):
        timed(tmp_path, seed, seconds)
    timed(tmp_path, 0, 99.0, k=4)
    timed(tmp_path, 0, 99.0, overrides={"max_steps": 9})
    (row,) = measured(tmp_path).to_dict("records")
    assert (row["task"], row["device"], row["runs"], row["seconds"], row["step_seconds"]) == (
        "toy_topic",
        "Big GPU",
        3,
        4.0,
        0.2,
    )


def test_the_shipped_times_are_those_of_the_timed_results() -> None:
    timed = ROOT / "outputs" / "reference" / "timed"
    pd.testing.assert_frame_equal(pd.read_csv(FILE), measured(timed), check_dtype=False)


def test_the_table_of_the_docs_is_made_from_them() -> None:
    page = (ROOT / "docs" / "batch.md").read_text().split("<!-- costs -->")[1]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.strip().splitlines() if line[:1] == "|"
    ]
    shown = cost_table(pd.read_csv(FILE))
    assert rows[0] == list(shown.columns) and rows[2:] == shown.to_numpy().tolist()


def test_estimates_grow_with_steps_tokens_and_encoder() -> None:
    runs = [
        RUN,
        replace(RUN, task="mnli"),
        replace(RUN, encoder="roberta-large"),
        replace(RUN, method="adapter_fusion"),
    ]
    cost = estimate([*runs, Probe("gsg", "cb", "mnli", "roberta-base", "paper")], gpu=True)
    base, mnli, large, fusion = (cost.seconds[run] for run in runs)
    assert mnli > 50 * base and 3 < large / base < 4 and fusion > 1.5 * base
    assert cost.hours(runs) == pytest.approx((base + mnli + large + fusion) / 3600)
    assert "has not been measured" in cost.basis
    slow = estimate([RUN], gpu=False)
    assert slow.seconds[RUN] > 20 * base and "measured" not in slow.basis


def test_on_a_cpu_times_of_one_thread_count(tmp_path: Path) -> None:
    alone, several, none = tmp_path / "1", tmp_path / "2", tmp_path / "3"
    for output, seconds, threads in ((alone, 1000.0, 1), (several, 1000.0, 1), (several, 1.0, 2)):
        made_from = {"threads": threads, "device": "cpu"}
        timed(output, threads, seconds, method="lora", made_from=made_from, encoder="roberta-base")
    run = replace(RUN, method="lora")
    first, second, third = (estimate([run], gpu=False, output=output).seconds for output in (alone, several, none))
    assert first == second != third


def test_results_from_a_gpu_take_the_place_of_the_assumption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(tmp_path, 0, 100.0, suite="toy", encoder="roberta-base")
    cost = estimate([RUN], gpu=True, output=tmp_path)
    assert "Big GPU" in cost.basis and "not been measured" not in cost.basis
    monkeypatch.setattr(module, "ASSUMED_GPU", 1.0)
    assert estimate([RUN], gpu=True, output=tmp_path).seconds == cost.seconds


def test_times_of_the_reference_study_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its runs shared machines: what they took tells nothing of a run that has one to itself."""
    timed(tmp_path / "reference", 0, 99.0)
    monkeypatch.setenv("SCALEARN_REFERENCE", str(tmp_path / "reference"))
    assert load_results(tmp_path / "own")["seconds"].tolist() == [99.0]
    assert measured(tmp_path / "own").empty
