"""How far a study is: what is there, what is being made, what failed and where to read why, and the time left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..evidence.results import load_results
from ..probing.pairs import Probe
from ..runs.locks import is_held, run_lock
from ..runs.result import Failure, read_result
from ..runs.run import Run
from .costs import estimate
from .jobs import DRIVER_LOCK, WAITING, Item, Job, all_items, log_file, make_jobs, result_file, state
from .studyfile import KINDS, Study

BAR = 30


def status(study: Study, output: Path) -> tuple[bool, list[str]]:
    """Return whether a study is complete, and lines for humans.

    The lines are a progress bar, runs by kind and state, each failure with its log, the time left.
    """
    items = all_items(study)
    jobs = make_jobs(study)
    states = {item: _state(item, output) for item in items}
    counts = Counter(states.values())
    done = counts["complete"]
    bar = "#" * (BAR * done // len(items))
    lines = [f"{study.name} in {output}: [{bar:<{BAR}}] {done:,} of {len(items):,} runs"]
    lines.append(f"{'':<10}" + "".join(f"{name:>10}" for name in ("runs", "complete", "running", "failed", "missing")))
    for kind in KINDS:
        here = [states[item] for job in jobs if job.kind == kind for item in job.items]
        if here:
            cells = [len(here), *(here.count(name) for name in ("complete", "running", "failed", "missing"))]
            lines.append(f"{kind:<10}" + "".join(f"{cell:>10,}" for cell in cells))
    failures = list(_failures(jobs, study.name, states, output))
    lines += ["", f"{len(failures)} failed:", *failures] if failures else []
    left = [item for item in items if states[item] != "complete"]
    if left:
        lines += ["", _time_left(items, left, counts["running"], output)]
    return not left, lines


def _state(item: Item, output: Path) -> str:
    there = state(item, output)
    file = result_file(item, output)
    lock = run_lock(file if isinstance(item, Probe) else file.parent)
    return "running" if there != "complete" and is_held(lock) else there


def _failures(jobs: Sequence[Job], study: str, states: dict[Item, str], output: Path) -> Iterator[str]:
    """A line per job whose log has an error and that is not complete, and one per stored failure."""
    driven = is_held(output / DRIVER_LOCK)
    for job in jobs:
        at_work = driven or any(states[item] == "running" for item in job.items)
        missing = [item for item in job.items if states[item] in ("missing", "failed")]
        parts = [log_file(study, part, output) for part in (job, replace(job, name=job.name + WAITING))]
        logs = [log for log in parts if log.exists()] or parts[:1]
        for item in missing:
            if states[item] == "failed":
                yield f"  {item}: {_told(item, output)}\n    log: {' or '.join(map(str, logs))}"
        for log in logs if any(states[item] == "missing" for item in missing) else ():
            error = notebook_error(log, at_work)
            if error:
                yield f"  {job.name}: {error}\n    log: {log}"


def _told(item: Item, output: Path) -> str:
    """The error that a stored failure tells; another process may just have removed it."""
    try:
        result = read_result(result_file(item, output).parent)
    except (OSError, ValueError):
        result = None
    return result.error if isinstance(result, Failure) else "being made again"


def notebook_error(log: Path, at_work: bool) -> str | None:
    """Return what ended an executed notebook early, in one line; `None` where nothing did.

    Args:
        log: the executed notebook.
        at_work: whether it may be that it is still executed.
    """
    try:
        text = log.read_text()
    except OSError:
        return None
    try:
        notebook = json.loads(text)
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
        errors = [(o["ename"], o["evalue"].strip()) for o in outputs if o.get("output_type") == "error"]
        ended = notebook.get("metadata", {}).get("papermill", {}).get("end_time")
    except (ValueError, KeyError, TypeError, AttributeError):
        damage = "is damaged: killed while it was written" if text else "is empty: it ended before it began"
        return None if at_work else f"its log {damage}, or the disk is full"
    for name, reason in errors:
        return "stopped by Ctrl-C" if name == "KeyboardInterrupt" else f"{name}: {reason.split(chr(10))[0]}"
    return None if ended or at_work else "killed before its end"


def _time_left(items: Sequence[Item], left: Sequence[Item], running: int, output: Path) -> str:
    """What the missing runs may take: their estimate, corrected by what the complete ones took."""
    taken = load_results(output, reference=False).drop_duplicates("folder").set_index("folder")
    gpu = bool(len(taken)) and (taken["device"] != "cpu").any()
    cost = estimate(items, gpu)
    done = {item: str(item.folder(output)) for item in set(items) - set(left) if isinstance(item, Run)}
    done = {item: folder for item, folder in done.items() if folder in taken.index}
    seconds = 3600 * cost.hours(left)
    if not done:
        return f"Time left: about {_spoken(seconds)} on one {'GPU' if gpu else 'CPU thread'}. Estimates {cost.basis}."
    actual = sum(taken.loc[folder, "seconds"] for folder in done.values())
    seconds *= actual / (3600 * cost.hours(done))
    at_once = f", {_spoken(seconds / running)} with the {running} that run now" if running > 1 else ""
    return (
        f"Time left: about {_spoken(seconds)} for one job at a time{at_once}, going by the {len(done)} runs there are."
    )


def _spoken(seconds: float) -> str:
    """A duration for humans."""
    return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{max(1, seconds / 60):.0f} min"
