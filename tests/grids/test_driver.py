"""A small grid by Snakemake and papermill, with the local executor on two cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from scalearn_lib.cli import main
from scalearn_lib.errors import UserError
from scalearn_lib.evidence import load_results
from scalearn_lib.grids import driver
from scalearn_lib.grids.driver import run_grid
from scalearn_lib.grids.jobs import DRIVER_LOCK
from scalearn_lib.grids.studyfile import read_study
from scalearn_lib.grids.worker import planned
from scalearn_lib.runs.locks import locked
from tests.processes import Other, holds
from tests.stored import store

TEXT = """
suite: toy
encoder: tiny
budget: smoke
seeds: [0]
grids:
  - {methods: [adapter_m, scalearn_uniform_pp]}
  - {methods: [ia3], targets: [toy_topic], settings: {learning_rate: 1.0e+30}}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(TEXT)
    return file


def grid(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scalearn_lib.cli", "grid", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def test_a_grid_makes_all_that_can_be_made_and_a_second_one_only_the_rest(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "outputs"
    first = grid(study, "--output", output, "--jobs", 2)
    assert first.returncode == 1, first.stdout + first.stderr
    end = first.stdout[first.stdout.rindex("small in ") :]  # the reason stands last, below all that Snakemake says
    assert "1 failed:" in end and "loss is nan" in end and "The same command makes what is missing." in end, end
    results = load_results(output)
    assert sorted(results["method"].value_counts().to_dict().items()) == [
        ("adapter", 4),
        ("adapter_m", 4),
        ("scalearn_uniform_pp", 4),
    ]
    plan = json.loads((output / "jobs" / "small" / "plan.json").read_text())["jobs"]
    assert [job["kind"] for job in plan] == ["source", "single", "transfer", "joint"]
    logs = {job["kind"]: nbformat.read(output / job["log"], as_version=4) for job in plan}
    assert logs["single"].metadata.papermill.exception and not logs["transfer"].metadata.papermill.exception
    assert main(["status", str(study), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert "9 of 10 runs" in shown and "1 failed" in shown and f"log: {output / plan[1]['log']}" in shown
    before = {file: file.stat().st_mtime_ns for file in output.glob("*/*/*/*/*/*/result.json")}
    study.write_text(TEXT.replace("1.0e+30", "1.0e-3"))
    second = grid(study, "--output", output)
    assert second.returncode == 0, second.stdout + second.stderr
    assert [job["kind"] for job in json.loads((output / "jobs" / "small" / "plan.json").read_text())["jobs"]] == [
        "single"
    ]
    after = {file: file.stat().st_mtime_ns for file in output.glob("*/*/*/*/*/*/result.json")}
    assert len(set(after) - set(before)) == 1
    assert {file: when for file, when in after.items() if file in before} == before


def test_a_dry_run_counts_jobs_and_hours_and_does_nothing(study: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "outputs"
    assert main(["grid", str(study), "--dry-run", "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[:5] for line in shown.splitlines()[1:-2]] == [
        ["source", "1", "4", "1", "4"],
        ["single", "1", "1", "1", "1"],
        ["transfer", "1", "4", "1", "4"],
        ["joint", "1", "1", "1", "1"],
        ["all", "4", "10", "4", "10"],
    ]
    assert "GPU hours left" in shown and "The GPU hours rest on" in shown and "has not been measured" in shown
    assert not output.exists()


def test_two_drivers_on_one_folder_are_refused(study: Path, tmp_path: Path) -> None:
    lock = tmp_path / DRIVER_LOCK
    other = Other(holds, lock)
    assert other.says() is True
    with pytest.raises(UserError, match=rf"Another `scalearn grid` works in .*process {other.pid} on"):
        run_grid(read_study(study), tmp_path)
    other.kill()
    with locked(lock, "still held"):  # a killed driver holds nothing
        pass


def test_what_a_failure_elsewhere_kept_waiting_is_made_by_the_same_call(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    study.write_text(
        "suite: toy\nencoder: tiny\nbudget: smoke\nseeds: [0]\nmethods: [scalearn]\ntargets: [toy_topic]\ngrids:\n"
        "  - {sources: [toy_pair, toy_score]}\n  - {sources: [toy_topic, toy_polarity]}\n"
    )
    wanted, output, passes = read_study(study), tmp_path / "outputs", []

    def snakemake(plan: Path, output: Path, options: list[str]) -> bool:
        """As Snakemake would, with a source adapter that fails: its whole job has failed then."""
        jobs = {job["name"]: job for job in json.loads(plan.read_text())["jobs"]}
        passes.append([job["kind"] for job in jobs.values()])
        for name, job in jobs.items():
            if job["kind"] == "transfer" and len(passes) == 1:
                continue
            (output / job["log"]).parent.mkdir(parents=True, exist_ok=True)
            (output / job["log"]).write_text("{}")
            for item in planned(plan, name):
                if item.task != "toy_pair":
                    store(output, item.task, item.method, item.seed, 0.5, source_tasks=item.source_tasks)
        return len(passes) > 1

    monkeypatch.setattr(driver, "_snakemake", snakemake)
    assert not run_grid(wanted, output)
    assert passes == [["source", "transfer", "transfer"], ["transfer"]]
    shown = capsys.readouterr().out
    assert "Kept waiting by a failure elsewhere: 1; now these." in shown and "4 of 6 runs" in shown


@pytest.mark.parametrize(("gpus", "jobs", "places"), [(["0"], None, 1), (["0"], 15, 15), (["0", "1"], 15, 2)])
def test_jobs_share_a_single_gpu_if_asked_to(
    gpus: list[str], jobs: int | None, places: int, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def snakemake(plan: Path, output: Path, options: list[str]) -> bool:
        assert json.loads(plan.read_text())["jobs"][0]["resources"]["gpu"] == 1
        assert options[options.index("--resources") + 1] == f"gpu={places}"
        assert int(options[options.index("--cores") + 1]) >= places
        return True

    monkeypatch.setattr(driver, "visible_gpus", lambda: gpus)
    monkeypatch.setattr(driver, "_snakemake", snakemake)
    run_grid(read_study(study), tmp_path / "outputs", jobs)


def test_snakemake_that_starts_nothing_is_an_error(study: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(driver, "_snakemake", lambda plan, output, options: False)
    with pytest.raises(UserError, match="Snakemake did not start any job"):
        run_grid(read_study(study), tmp_path / "outputs")


def test_what_a_grid_needs_is_named(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="profile .* has no config.yaml"):
        run_grid(read_study(study), tmp_path, profile=tmp_path)
    with pytest.raises(UserError, match="Grids need the package snakemake-executor-plugin-moon: install it.$"):
        run_grid(read_study(study), tmp_path, executor="moon")
    with pytest.raises(UserError, match="'../slurm' is no executor of Snakemake"):
        run_grid(read_study(study), tmp_path, executor="../slurm")
    monkeypatch.setattr(driver, "WORKFLOW", tmp_path)
    with pytest.raises(UserError, match="from a clone of the repository"):
        run_grid(read_study(study), tmp_path)
