"""Handing the jobs of a study to Snakemake."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ..errors import UserError
from ..runs.locks import locked
from .costs import estimate
from .devices import visible_gpus
from .jobs import (
    DRIVER_LOCK,
    Job,
    all_items,
    forget_failures,
    log_file,
    make_jobs,
    remaining,
    state,
    write_plan,
)
from .progress import status
from .studyfile import KINDS, Study

WORKFLOW = Path(__file__).resolve().parents[2] / "workflow"


def summary(study: Study, jobs: Sequence[Job], left: Sequence[Job], output: Path, gpu: bool) -> list[str]:
    """Lines that say what a study has, what of it is still to do, and how long that may take.

    Args:
        study: the study.
        jobs: all its jobs.
        left: those with something still to do.
        output: the folder of results.
        gpu: whether they run on GPUs; if not, the hours on one CPU thread stand beside those on a GPU.
    """
    items = all_items(study)
    costs = {"GPU": estimate(items, True, output)} | ({} if gpu else {"CPU": estimate(items, False, output)})
    titles = ["jobs", "runs", "jobs left", "runs left", *(f"{device} hours left" for device in costs)]
    lines = [f"{'':<10}" + "".join(f"{title:>16}" for title in titles)]
    for kind in [*(kind for kind in KINDS if any(job.kind == kind for job in jobs)), "all"]:
        both = [[job for job in part if kind in (job.kind, "all")] for part in (jobs, left)]
        counts = [count for part in both for count in (len(part), sum(len(job.items) for job in part))]
        hours = [cost.hours(item for job in both[1] for item in job.items) for cost in costs.values()]
        lines.append(f"{kind:<10}" + "".join(f"{n:>16,}" for n in counts) + "".join(f"{h:>16,.1f}" for h in hours))
    return [*lines, *(f"The {device} hours {cost.basis}." for device, cost in costs.items())]


def run_grid(
    study: Study,
    output: Path,
    jobs: int | None = None,
    executor: str = "local",
    profile: Path | None = None,
    dry_run: bool = False,
) -> bool:
    """Have Snakemake make what is missing of a study; print what there is to do before, and how it stands after.

    Args:
        study: the study.
        output: the folder of results; it must be seen by all machines that take part.
        jobs: jobs at once, by default one per GPU or two CPU cores here, and what the profile says elsewhere.
        executor: "local", or an executor plugin of Snakemake such as "slurm".
        profile: folder with a `config.yaml` of Snakemake's options, by default `workflow/profiles/EXECUTOR`.
        dry_run: whether only to say what would be done.

    Returns:
        Whether everything is complete now.

    Raises:
        UserError: Snakemake or the profile is missing, or another driver works in the same folder.
    """
    gpus = visible_gpus() if executor == "local" else ["of the cluster"]
    every = make_jobs(study)
    if dry_run:
        print("\n".join(summary(study, every, remaining(every, output), output, bool(gpus))))
        return True
    profile = _profile(executor, profile)
    busy = (
        f"Another `scalearn grid` works in {output} ({{holder}}): wait for it or stop it, or name another folder with "
        "--output."
    )
    with locked(output / DRIVER_LOCK, busy):
        left = remaining(every, output)
        print("\n".join(summary(study, every, left, output, bool(gpus))), flush=True)
        if not left:
            print("Everything is there.")
            return True
        resources = {"gpu": 1} if executor == "local" and gpus else {}
        options = ["--workflow-profile", "none", "--profile", str(profile.resolve()), "--executor", executor]
        if executor == "local":
            at_once = jobs or len(gpus) or max(1, (os.cpu_count() or 2) // 2)
            options += ["--cores", str(max(at_once, os.cpu_count() or 1) if gpus else at_once)]
            places = at_once if len(gpus) == 1 else min(len(gpus), at_once)  # jobs share a single one if asked to
            options += ["--resources", f"gpu={places}"] if gpus else []
        elif jobs:
            options += ["--jobs", str(jobs)]
        _make(study, left, output, resources, options)
        kept = kept_waiting(study, left, output)
        if kept:
            print(f"Kept waiting by a failure elsewhere: {sum(len(job.items) for job in kept)}; now these.", flush=True)
            _make(study, kept, output, resources, options)
    complete, lines = status(study, output)
    print("\n".join(["", *lines, *([] if complete else ["", "The same command makes what is missing."])]))
    return complete


def _make(
    study: Study, jobs: Sequence[Job], output: Path, resources: dict[str, object], options: Sequence[str]
) -> None:
    """Have Snakemake carry jobs out.

    Raises:
        UserError: it did not start any.
    """
    forget_failures(jobs, output)
    done = _snakemake(write_plan(study, jobs, output, resources), output, options)
    if not done and not any(log_file(study.name, job, output).exists() for job in jobs):
        raise UserError("Snakemake did not start any job; what it says above names the reason.")


def kept_waiting(study: Study, jobs: Sequence[Job], output: Path) -> list[Job]:
    """What did not start because a job before it failed, although the source adapters that it needs are there now.

    Snakemake takes a job with one failed run for a failed job, and starts nothing that needs any of its results.
    """
    there = functools.cache(lambda source: state(source, output, "adapter") == "complete")
    left = remaining([job for job in jobs if not log_file(study.name, job, output).exists()], output)
    return [job for job in left if all(there(source) for item in job.items for source in item.sources().values())]


def _profile(executor: str, profile: Path | None) -> Path:
    if not executor.isidentifier():
        raise UserError(f"'{executor}' is no executor of Snakemake; take local or slurm.")
    for package in ("snakemake", *(() if executor == "local" else (f"snakemake_executor_plugin_{executor}",))):
        if importlib.util.find_spec(package) is None:
            with_extra = "; it comes with the extra 'grid'" if executor in ("local", "slurm") else ""
            raise UserError(f"Grids need the package {package.replace('_', '-')}: install it{with_extra}.")
    if not (WORKFLOW / "Snakefile").exists():
        raise UserError("The folder workflow/ is not beside the package: run grids from a clone of the repository.")
    folder = profile or WORKFLOW / "profiles" / executor
    if not (folder / "config.yaml").exists():
        raise UserError(f"The profile {folder} has no config.yaml; copy one of {WORKFLOW / 'profiles'} and change it.")
    return folder


def _snakemake(plan: Path, output: Path, options: Sequence[str]) -> bool:
    """Run Snakemake in this process, so that whatever ends the one ends the other; whether all jobs succeeded.

    The plan has only what is missing, so every job of it is to run; the lock of the output folder is ours, which
    unlike Snakemake's own does not outlive a killed process.
    """
    from snakemake.cli import main

    arguments = ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(output.resolve())]
    # Snakemake reads the value as YAML, of which JSON is a part.
    arguments += [
        "--config",
        f"plan={json.dumps(str(plan.resolve()))}",
        "--forceall",
        "--nolock",
        "--ignore-incomplete",
    ]
    arguments += ["--quiet", "host", "rules", "reason"]
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True  # Snakemake ends its jobs then, and does not tell its caller
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        main([*arguments, *options])
        success = True
    except SystemExit as end:
        success = end.code in (0, None)
    finally:
        signal.signal(signal.SIGINT, before)
    if stopped:
        raise KeyboardInterrupt
    return success
