"""Studies without files."""

from __future__ import annotations

from scalearn_lib.grids.studyfile import Study
from scalearn_lib.probing.pairs import Probe
from scalearn_lib.runs import Run


def study(*items: Run | Probe, runs_per_job: int = 10, hours_per_job: float = 4.0, **resources: dict) -> Study:
    """What a study file with one grid would ask for."""
    runs = tuple(item for item in items if isinstance(item, Run))
    probes = tuple(item for item in items if isinstance(item, Probe))
    return Study("mine", runs, probes, dict.fromkeys(items, 0), runs_per_job, hours_per_job, resources)
