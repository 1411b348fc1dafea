"""A study as jobs for a batch system: which runs go together, what must be there before, what is still missing."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..methods import get_method
from ..paths import written_whole
from ..probing.pairs import Probe
from ..probing.store import read_pairs
from ..runs.locks import acquire, run_lock
from ..runs.reference import Need, reference_result
from ..runs.result import RESULT, check_encoder, read_result
from ..runs.run import Run, slug
from ..tasks import get_suite
from .costs import estimate
from .studyfile import KINDS, Study

JOBS = "jobs"
"""Folder below the output folder: plans, and the executed notebook of each job."""

WAITING = "-waiting"
"""End of the name of a job that was split from another because its source adapters were not there yet."""

LONGEST = 180
"""Characters of a job's name at most, without what is added to it: file systems take 255."""

DRIVER_LOCK = ".driver.lock"
"""Below the output folder: whoever drives a grid there holds its lock."""

Item = Run | Probe


@dataclass(frozen=True)
class Job:
    """Runs that one notebook makes, one after the other, on one GPU.

    Args:
        kind: one of `KINDS`.
        name: unique within the study, and the path of its executed notebook without ending.
        items: runs, or probes; none of them builds on another.
        rank: jobs with a lower one start first, where both can: the number of the study's grid that needs it first.
    """

    kind: str
    name: str
    items: tuple[Item, ...]
    rank: int = 0


def kind_of(item: Item, sources: set[Item]) -> str:
    """The kind of job that makes a run or probe, given the runs that others build on."""
    if isinstance(item, Probe):
        return "probing"
    if item in sources:
        return "source"
    method = get_method(item.method)
    return "joint" if method.joint else "transfer" if method.two_stage else "single"


def all_items(study: Study) -> list[Item]:
    """Everything that the study makes, once: what others build on first."""
    wanted = [*study.runs, *study.probes]
    return list(dict.fromkeys([source for item in wanted for source in item.sources().values()] + wanted))


def make_jobs(study: Study) -> list[Job]:
    """Group all runs and probes of a study into jobs.

    Runs of one kind are taken task by task, and put into one job as long as it has at most `runs_per_job` of them and
    `hours_per_job` estimated GPU hours. A joint run is a job of its own, for all its tasks. What one grid of the study
    needs comes before what only later ones need.
    """
    items, ranks = all_items(study), dict(study.ranks)
    sources = {source for item in items for source in item.sources().values()}
    for item, rank in study.ranks.items():
        for source in item.sources().values():
            ranks[source] = min(rank, ranks.get(source, rank))
    seconds = estimate(items, gpu=True).seconds
    jobs = []
    for kind in KINDS:
        here = sorted((i for i in items if kind_of(i, sources) == kind), key=lambda i: (ranks[i], *_order(i)))
        batch: list[Item] = []
        for item in here:
            hours = sum(seconds[one] for one in [*batch, item]) / 3600
            alone = kind == "joint" or len(batch) == study.runs_per_job or hours > study.hours_per_job
            if batch and (alone or not _alike(batch[0], item)):
                jobs.append(_job(kind, batch, ranks[batch[0]]))
                batch = []
            batch.append(item)
        if batch:
            jobs.append(_job(kind, batch, ranks[batch[0]]))
    return jobs


def _order(item: Item) -> tuple[str, ...]:
    task = item.target if isinstance(item, Probe) else item.task
    sources = (source for source in item.sources().values() if source.k is None)
    return (item.suite, item.encoder, item.budget, " ".join(source.task for source in sources), task)


def _alike(one: Item, other: Item) -> bool:
    """Whether two may share a job: encoder and texts are loaded once, and they wait for the same source adapters.

    The adapters that k-shot runs have of their own target are not looked at: each run has another one.
    """
    return _order(one)[:-1] == _order(other)[:-1]


def _job(kind: str, items: Sequence[Item], rank: int) -> Job:
    """A job, named by its first item and, if it has more, how many. A name that is too long for a file is cut."""
    first = items[0]
    path = first.folder(Path()) if isinstance(first, Run) else first.file(Path()).with_suffix("")
    more = f"-and-{len(items) - 1}-more" if len(items) > 1 else ""
    name = slug(path.as_posix())
    if len(name) > LONGEST:
        name = f"{name[:LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return Job(kind, f"{kind}/{name}{more}", tuple(items), rank)


def log_file(study: str, job: Job, output: Path) -> Path:
    """Where the executed notebook of a job lies."""
    return output / JOBS / study / f"{job.name}.ipynb"


def result_file(item: Item, output: Path) -> Path:
    """The file below `output` that is there once a run or probe is complete."""
    return item.file(output) if isinstance(item, Probe) else item.folder(output) / RESULT


def state(item: Item, output: Path, need: Need = "scores") -> str:
    """ "complete", "failed" (a stored failure, made again when asked for again) or "missing" (or visibly damaged).

    What the reference study has counts as complete, if it has what is needed.

    That weights are as they were written is not looked at here, but by whoever reads them.

    Raises:
        UserError: the folder has a result of another encoder.
    """
    file = result_file(item, output)
    if isinstance(item, Probe):
        return "complete" if item.is_stored(output) else "missing"
    if reference_result(item, need) is not None:
        return "complete"
    try:
        result = read_result(file.parent)
    except ValueError:
        return "missing"
    if result is None:
        return "missing"
    check_encoder(item, file.parent, result)
    if result.status == "ok" and result.settings != item.settings():
        return "missing"  # the budget is no longer what it was
    if not all((item.weights(output) / name).exists() for name in result.files):
        return "missing"
    return "complete" if result.status == "ok" else "failed"


def remaining(jobs: Sequence[Job], output: Path) -> list[Job]:
    """The jobs with what is not complete below `output`, named as before; jobs without any such run are left out.

    Where some runs of a job have all their source adapters and others wait for theirs, the latter become a job of
    their own: a source adapter that cannot be made keeps nothing back but what builds on it. Of a source adapter whose
    scores alone are there, the weights are missing where something builds on it.
    """
    there = functools.cache(lambda source: state(source, output, "adapter") == "complete")
    missing = {item for job in jobs for item in job.items if state(item, output) != "complete"}
    missing |= {source for item in missing for source in item.sources().values() if not there(source)}
    left = []
    for job in jobs:
        items = [item for item in job.items if item in missing]
        ready = tuple(item for item in items if all(there(source) for source in item.sources().values()))
        waiting = tuple(item for item in items if item not in ready)
        name = job.name + WAITING if ready else job.name
        left += [replace(job, items=ready)] if ready else []
        left += [replace(job, name=name, items=waiting)] if waiting else []
    return left


def forget_failures(jobs: Sequence[Job], output: Path) -> None:
    """Remove the stored failures and damaged results of runs that are to be made, and damaged tables of probes.

    A job's results are marked as ones that it updates, and Snakemake puts back what it found of them if the job fails.
    """
    for item in (item for job in jobs for item in job.items):
        file = result_file(item, output)
        lock = run_lock(file if isinstance(item, Probe) else file.parent)
        if not file.exists() or (held := acquire(lock, wait=False)) is None:
            continue  # nothing there, or a worker that was left behind is about to complete it
        try:
            if isinstance(item, Probe):
                usable = read_pairs(file) is not None  # strengths and heads that it lacks are added to it
            else:
                usable = state(item, output, "adapter") == "complete"
            if not usable:
                file.unlink(missing_ok=True)
        finally:
            held.release()


def write_plan(study: Study, jobs: Sequence[Job], output: Path, resources: dict[str, object]) -> Path:
    """Write the jobs for `workflow/Snakefile` and the notebook, and return the file; remove these jobs' old logs.

    The plan is written once, before anything runs: every process of the grid, on whatever machine, sees the same jobs
    whatever is finished or edited meanwhile. Paths of results are relative to the output folder.

    Args:
        study, jobs: what is to be done.
        output: the folder of results.
        resources: what each job asks for, unless the study says otherwise for its kind.
    """
    entries = []
    for job in jobs:
        log_file(study.name, job, output).unlink(missing_ok=True)
        needs = dict.fromkeys(s for item in job.items for s in item.sources().values())
        needs = [source for source in needs if reference_result(source, "adapter") is None]
        entries.append(
            {
                "kind": job.kind,
                "name": job.name,
                "items": [_plain(item) for item in job.items],
                "inputs": [result_file(source, Path()).as_posix() for source in needs],
                "outputs": [result_file(item, Path()).as_posix() for item in job.items],
                "log": log_file(study.name, job, Path()).as_posix(),
                "priority": -job.rank,
                "resources": resources | dict(study.resources.get(job.kind, {})),
            }
        )
    file = plan_file(study.name, output)
    where = {"output": str(output.resolve()), "cwd": os.getcwd()}  # names of folders mean the same in jobs as here
    with written_whole(file) as temporary:
        temporary.write_text(json.dumps(where | {"jobs": entries}, indent=1) + "\n")
    return file


def plan_file(study: str, output: Path) -> Path:
    """Where the plan of a study lies."""
    return output / JOBS / study / "plan.json"


def _plain(item: Item) -> dict[str, object]:
    file = {"suite_file": get_suite(item.suite).file}
    if isinstance(item, Probe):
        return {"probe": asdict(item)} | file
    return {"run": item.spec()} | file
