"""Studies as jobs: what goes together, what comes first, what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.grids.jobs import (
    all_items,
    forget_failures,
    log_file,
    make_jobs,
    remaining,
    state,
    write_plan,
)
from scalearn_lib.grids.progress import status
from scalearn_lib.grids.studyfile import Study
from scalearn_lib.grids.worker import carry_out, planned
from scalearn_lib.probing.pairs import Probe
from scalearn_lib.runs import Run, RunFailed
from scalearn_lib.runs.locks import acquire, run_lock
from scalearn_lib.runs.result import write_result
from tests.grids.helpers import study
from tests.processes import Other, holds
from tests.stored import result_of, store

ADAPTER = Run("toy", "toy_topic", "adapter", "tiny", budget="smoke")
TASKS = ("toy_topic", "toy_pair", "toy_score", "toy_polarity")


def mixed() -> Study:
    """All kinds of jobs."""
    seeds = [replace(ADAPTER, method=m, seed=s) for m in ("full", "scalearn", "adapter_m") for s in (0, 1)]
    return study(
        *seeds, Probe("toy", "toy_topic", "toy_pair", "tiny", "smoke"), transfer={"runtime": 9}, runs_per_job=3
    )


def test_everything_is_in_exactly_one_job_and_nothing_builds_on_its_own_job() -> None:
    jobs = make_jobs(mixed())
    items = [item for job in jobs for item in job.items]
    assert sorted(items, key=str) == sorted(all_items(mixed()), key=str) and len(items) == len(set(items)) == 11
    for job in jobs:
        assert not {source for item in job.items for source in item.sources().values()} & set(job.items)
    assert [(job.kind, len(job.items)) for job in jobs] == [
        ("source", 3),
        ("source", 1),
        ("single", 2),
        ("transfer", 2),
        ("joint", 1),
        ("joint", 1),
        ("probing", 1),
    ]
    assert len({job.name for job in jobs}) == len(jobs)


def test_what_is_long_is_a_job_of_its_own_and_what_is_short_is_not() -> None:
    large = Run("glue", "mnli", "full", "roberta-base", budget="paper")
    runs = [replace(large, task=task, seed=seed) for task in ("mnli", "rte") for seed in range(3)]
    jobs = make_jobs(study(*runs, hours_per_job=8))
    assert [{item.task for item in job.items} for job in jobs] == [{"mnli"}] * 3 + [{"rte"}]
    few = [replace(run, method="adapter", k=16, sampling="official") for run in runs]
    assert len(make_jobs(study(*few, runs_per_job=30))) == 1


def test_only_runs_that_wait_for_the_same_source_adapters_share_a_job() -> None:
    runs = [replace(ADAPTER, method="scalearn", task=task, seed=seed) for task in TASKS for seed in (0, 1)]
    some = [replace(run, source_tasks=("toy_pair", "toy_score")) for run in runs]
    jobs = [job for job in make_jobs(study(*runs, *some, runs_per_job=20)) if job.kind == "transfer"]
    assert [len(job.items) for job in jobs] == [8, 8]
    for job in jobs:
        assert len({item.source_tasks for item in job.items}) == 1
    few = [replace(run, method="scalearn_uniform", k=k, source_tasks=None) for run in runs for k in (4, 16)]
    jobs = [job for job in make_jobs(study(*few, runs_per_job=20)) if job.kind == "transfer"]
    assert [len(job.items) for job in jobs] == [4] * 4  # a target's own adapter is k-shot: it waits for the others
    assert {len({item.task for item in job.items}) for job in jobs} == {1}


def test_a_job_is_split_where_some_of_its_runs_wait_for_a_source_adapter(tmp_path: Path) -> None:
    runs = [replace(ADAPTER, method="scalearn", k=4, seed=seed) for seed in range(3)]
    every = make_jobs(study(*runs))
    (job,) = [job for job in every if job.kind == "transfer"]
    assert [left.name for left in remaining(every, tmp_path) if left.kind == "transfer"] == [job.name]
    for source in runs[0].sources().values():
        store(tmp_path, source.task, "adapter", source.seed, 0.5, k=source.k)
    ready, waiting = [left for left in remaining(every, tmp_path) if left.kind == "transfer"]
    assert (ready.name, waiting.name) == (job.name, f"{job.name}-waiting")
    assert ready.items == (runs[0],) and set(waiting.items) == set(runs[1:])


def test_a_name_too_long_for_a_file_is_cut_and_stays_its_own() -> None:
    long = [replace(ADAPTER, encoder="e" * 200, seed=seed, overrides={"max_steps": 4}) for seed in range(2)]
    jobs = [job for run in long for job in make_jobs(study(run))]
    assert len({job.name for job in jobs}) == 2 and all(len(Path(job.name).name) < 220 for job in jobs)


def test_a_result_without_its_weights_is_not_complete(tmp_path: Path) -> None:
    folder = store(tmp_path, "toy_topic", "adapter", 0, 0.5, made_from={"files": {"model.safetensors": "00"}})
    assert state(ADAPTER, tmp_path) == "missing"
    (folder / "weights").mkdir()
    (folder / "weights" / "model.safetensors").write_bytes(b"")  # that its hash is right, the run itself looks at
    assert state(ADAPTER, tmp_path) == "complete"


def test_a_plan_has_the_results_of_sources_as_inputs(tmp_path: Path) -> None:
    jobs = make_jobs(mixed())
    plan = write_plan(mixed(), jobs, tmp_path, {"gpu": 1})
    entries = json.loads(plan.read_text())["jobs"]
    outputs = [file for entry in entries for file in entry["outputs"]]
    assert len(set(outputs)) == len(outputs) == 11
    transfer = next(entry for entry in entries if entry["kind"] == "transfer")
    assert transfer["inputs"] == [f"toy/tiny/smoke/adapter/{task}/seed0/result.json" for task in TASKS]
    assert transfer["resources"] == {"gpu": 1, "runtime": 9}
    assert set(outputs) > set(transfer["inputs"])
    for job in jobs:
        assert planned(plan, job.name) == list(job.items)
    logs = [log_file("mine", job, tmp_path) for job in jobs]
    for log in logs:
        log.parent.mkdir(exist_ok=True)
        log.write_text("")
    write_plan(mixed(), jobs[1:], tmp_path, {})
    assert [log.exists() for log in logs] == [True] + [False] * (len(jobs) - 1)  # old logs would tell of the past
    with pytest.raises(UserError, match="Unknown job 'transfr'"):
        planned(plan, "transfr")
    with pytest.raises(UserError, match="is no plan of jobs"):
        planned(tmp_path / "none.json", "x")


def test_complete_runs_are_left_out_and_failed_and_damaged_ones_made_again(tmp_path: Path) -> None:
    mine = study(*(replace(ADAPTER, seed=seed) for seed in range(4)))
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    failed = store(tmp_path, "toy_topic", "adapter", 1, 0.5, status="failed")
    damaged = store(tmp_path, "toy_topic", "adapter", 2, 0.5)
    (damaged / "result.json").write_text('{"run"')
    (job,) = make_jobs(mine)
    (left,) = remaining([job], tmp_path)
    assert [item.seed for item in left.items] == [1, 2, 3] and left.name == job.name
    forget_failures([left], tmp_path)
    assert not any((folder / "result.json").exists() for folder in (failed, damaged))
    assert [item.seed for item in remaining([job], tmp_path)[0].items] == [1, 2, 3]


def test_a_result_that_a_left_behind_worker_makes_is_not_forgotten(tmp_path: Path) -> None:
    mine = study(*(replace(ADAPTER, seed=seed) for seed in range(3)))
    folders = [store(tmp_path, "toy_topic", "adapter", seed, 0.5, status="failed") for seed in range(3)]
    (job,) = make_jobs(mine)
    (left,) = remaining([job], tmp_path)
    write_result(folders[0], result_of(ADAPTER, 0.5))  # since the driver looked
    worker = Other(holds, run_lock(folders[1]))
    assert worker.says() is True
    forget_failures([left], tmp_path)
    assert [(folder / "result.json").exists() for folder in folders] == [True, True, False]
    worker.kill()


def test_a_table_that_lacks_strengths_or_heads_is_not_forgotten(tmp_path: Path) -> None:
    wanted = Probe("toy", "toy_topic", "toy_pair", "tiny", "smoke", (0.0, 1.0), (0, 1))
    file = wanted.file(tmp_path)
    file.parent.mkdir(parents=True)
    columns = "toy_topic,toy_pair,seed,score,validation,code,data"
    file.write_text(f"{columns}\n0.0,0.0,0,0.5,0.5,aaaa,dddd\n")
    jobs = make_jobs(study(wanted))
    assert state(wanted, tmp_path) == "missing"
    forget_failures(jobs, tmp_path)
    assert file.exists()
    file.write_text(columns)
    forget_failures(jobs, tmp_path)
    assert not file.exists()


def test_one_failure_does_not_keep_the_others_of_its_job_from_being_made(tmp_path: Path) -> None:
    wild = replace(ADAPTER, overrides={"learning_rate": 1e30})
    found = []
    with pytest.raises(RunFailed, match=f"1 of 2 could not be made, the first because: {re.escape(str(wild))} failed"):
        for step in carry_out([wild, ADAPTER], tmp_path):
            found.append(step)
    assert [(item, how.split(":")[0]) for item, _, how in found] == [(wild, f"{wild} failed"), (ADAPTER, "made")]
    assert [how for _, _, how in carry_out([ADAPTER], tmp_path)] == ["read"]


def test_a_folder_of_another_encoder_does_not_keep_the_others_from_being_made(tmp_path: Path) -> None:
    taken, there = (replace(ADAPTER, encoder=name) for name in ("my--tiny", "my/tiny"))
    folder = there.folder(tmp_path)
    folder.mkdir(parents=True)
    write_result(folder, result_of(there, 0.5))
    found = []
    with pytest.raises(RunFailed, match="holds the result of the encoder 'my/tiny'"):
        for step in carry_out([taken, ADAPTER], tmp_path):
            found.append(step)
    assert [(item, score is None) for item, score, _ in found] == [(taken, True), (ADAPTER, False)]


def test_a_probe_is_made_once_with_all_pairs(tmp_path: Path) -> None:
    wanted = Probe("toy", "toy_topic", "toy_pair", "tiny", "smoke", (0.0, 1.0), (0, 1))
    assert [(score, how) for _, score, how in carry_out([wanted], tmp_path)] == [(None, "made")]
    file = tmp_path / "probing" / "toy" / "tiny" / "smoke" / "toy_topic+toy_pair.csv"
    assert wanted.file(tmp_path) == file and len(file.read_text().splitlines()) == 1 + 4 * 2
    written = file.stat().st_mtime_ns
    assert [how for _, _, how in carry_out([wanted], tmp_path)] == ["read"]
    assert file.stat().st_mtime_ns == written
    assert state(wanted, tmp_path) == "complete"
    for other in (replace(wanted, grid=(0.0, 0.5)), replace(wanted, heads=(0, 1, 2))):
        assert state(other, tmp_path) == "missing"
    assert [how for _, _, how in carry_out([replace(wanted, heads=(0,))], tmp_path)] == ["read"]
    assert [how for _, _, how in carry_out([replace(wanted, grid=(1.0, 0.5), heads=(1,))], tmp_path)] == ["made"]
    assert len(file.read_text().splitlines()) == 1 + 4 * 2 + 3 and state(wanted, tmp_path) == "complete"
    file.write_text("half of a tab")
    assert state(wanted, tmp_path) == "missing"


def test_status_counts_every_state_and_names_logs(tmp_path: Path) -> None:
    mine = study(*(replace(ADAPTER, seed=seed) for seed in range(5)), runs_per_job=5)
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    store(tmp_path, "toy_topic", "adapter", 1, 0.5, status="failed")
    lock = run_lock(replace(ADAPTER, seed=2).folder(tmp_path))
    held = acquire(lock, wait=False)
    (job,) = make_jobs(mine)
    log = tmp_path / "jobs" / "mine" / f"{job.name}.ipynb"
    log.parent.mkdir(parents=True)
    error = {"output_type": "error", "ename": "UserError", "evalue": "no mirror\nmore"}
    log.write_text(json.dumps({"cells": [{"outputs": []}, {"outputs": [error]}]}))
    complete, lines = status(mine, tmp_path)
    shown = "\n".join(lines)
    held.release()
    assert not complete and "1 of 5 runs" in shown
    assert "single             5         1         1         1         2" in shown
    assert "loss is nan" in shown and "UserError: no mirror\n" in shown and shown.count(f"log: {log}") == 2
    assert "Time left: about" in shown
    log.write_text(log.read_text()[:20])  # killed in the middle of a write, or a full disk
    assert "its log is damaged" in "\n".join(status(mine, tmp_path)[1])
    assert "single             5         1         0         1         3" in "\n".join(status(mine, tmp_path)[1])
    log.write_text("")
    assert "its log is empty" in "\n".join(status(mine, tmp_path)[1])
    error = {"output_type": "error", "ename": "KeyboardInterrupt", "evalue": ""}
    log.write_text(json.dumps({"cells": [{"outputs": [error]}]}))
    assert "stopped by Ctrl-C" in "\n".join(status(mine, tmp_path)[1])
    ended = {"cells": [], "metadata": {"papermill": {"end_time": "now"}}}
    log.with_name(f"{log.stem}-waiting.ipynb").write_text(json.dumps(ended))
    assert "stopped by Ctrl-C" in "\n".join(status(mine, tmp_path)[1])  # the good end of one does not hide the other's


def test_what_the_first_grid_needs_comes_first() -> None:
    later = [replace(ADAPTER, method="full", task=task) for task in TASKS]
    wanted = replace(ADAPTER, method="scalearn")
    both = study(*later, wanted)
    jobs = make_jobs(replace(both, ranks={wanted: 0} | dict.fromkeys(later, 1)))
    assert {(job.kind, job.rank) for job in jobs} == {("source", 0), ("transfer", 0), ("single", 1)}
    turned = make_jobs(replace(both, ranks={wanted: 1, later[2]: 0} | dict.fromkeys(later[:2] + later[3:], 2)))
    (single,) = [job for job in turned if job.kind == "single"]
    assert single.items[0] == later[2] and single.rank == 0
