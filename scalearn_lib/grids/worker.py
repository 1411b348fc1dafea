"""What one job does: the runs and probes that a plan names for it, one after the other."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import UserError, unknown
from ..probing.pairs import Probe
from ..probing.probes import execute_probe
from ..runs.execution import execute
from ..runs.run import Run, RunFailed
from ..tasks import Adapter, get_suite
from .jobs import Item, state


def _item(plain: dict[str, dict]) -> Item:
    """What `_plain` made of a run or probe."""
    if plain["suite_file"]:
        get_suite(plain["suite_file"])  # this process has not read it yet
    if "probe" in plain:
        return Probe(**{key: tuple(v) if isinstance(v, list) else v for key, v in plain["probe"].items()})
    run = plain["run"]
    adapters = tuple(Adapter(**adapter) for adapter in run["adapters"])
    return Run(
        **run | {"source_tasks": tuple(run["source_tasks"]) if run["source_tasks"] else None, "adapters": adapters}
    )


def planned(plan: Path, name: str) -> list[Item]:
    """Return what a job of a plan makes.

    Raises:
        UserError: there is no such plan or job.
    """
    try:
        jobs = {job["name"]: job["items"] for job in json.loads(plan.read_text())["jobs"]}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{plan} is no plan of jobs; `scalearn grid STUDY.yaml` writes one.") from error
    if name not in jobs:
        raise unknown("job", name, jobs)
    return [_item(plain) for plain in jobs[name]]


def carry_out(items: Sequence[Item], output: Path) -> Iterator[tuple[Item, float | None, str]]:
    """Make runs and probes one after the other and yield each with its score and how it went.

    A run that cannot be made does not keep the others from being made: its error is yielded in their place, and
    raised at the end.

    Yields:
        The item, its primary metric on test (`None` for a probe and a failure), and "made", "read" or the error.

    Raises:
        RunFailed: at the end, if something could not be made.
    """
    failed = []
    for item in items:
        try:
            before = state(item, output)
            if isinstance(item, Probe):
                execute_probe(item, output)
                score = None
            else:
                # A planned run of stage 1 whose scores are there is wanted for its adapter.
                result = execute(item, output, "scores" if item.sources() else "adapter")
                score = result.score
        except Exception as error:  # an out-of-memory error, say: other runs may be smaller
            if not isinstance(error, UserError):
                traceback.print_exc()
            failed.append(str(error) or type(error).__name__)
            yield item, None, failed[-1]
            continue
        yield item, score, "read" if before == "complete" else "made"
    if failed:
        raise RunFailed(f"{len(failed)} of {len(items)} could not be made, the first because: {failed[0]}")
