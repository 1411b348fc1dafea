"""Whole runs: where the seconds of a short run go, and many runs in one process against a process for each.

    .venv/bin/python benchmarks/whole_runs.py --json outputs/benchmarks/whole_runs.json

Few-shot runs of the four ScaLearn variants on a task of the offline suite. Their source adapters are trained first,
once, and do not count. Of the processes a sample is timed, spread over the grid; their results must be those of the
one process, bit for bit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure
import numpy as np
import pandas as pd
import torch

from scalearn_lib.runs import Run, execute, execute_all

METHODS = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")
OUTCOME = ("test", "validation", "selected_step", "steps", "history")
TOGETHER = """
import json, sys
from scalearn_lib.runs import Run, execute_all
from pathlib import Path
execute_all([Run(**spec) for spec in json.loads(sys.argv[1])], Path(sys.argv[2]))
"""
ALONE = """
import json, sys, time
began = time.perf_counter()
from scalearn_lib.runs import Run, execute
from scalearn_lib.runs.data import encoded
from scalearn_lib.tasks import get_task
from pathlib import Path
imported = time.perf_counter()
spec, output = json.loads(sys.argv[1]), Path(sys.argv[2])
encoded(get_task(spec["suite"], spec["task"]), spec["encoder"])
data = time.perf_counter()
execute(Run(**spec), output)
print(json.dumps([imported - began, data - imported, time.perf_counter() - data]))
"""


def process(script: str, what: object, output: Path, threads: int) -> tuple[float, str]:
    """Run a script in a process of its own; return its seconds, start included, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(what), str(output)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    return time.perf_counter() - began, done.stdout


def plain(run: Run) -> dict[str, object]:
    """What `Run` is made of."""
    return {key: value for key, value in run.spec().items() if key != "overrides"}


def alone(run: Run, output: Path, threads: int) -> tuple[float, list[float]]:
    """Carry a run out in a process of its own; return its seconds, and those of import, data and run."""
    seconds, printed = process(ALONE, plain(run), output, threads)
    return seconds, json.loads(printed.splitlines()[-1])


def main() -> None:
    parser = measure.parser(__doc__, seeds=10, sample=8, k=4)
    parser.add_argument("--task", default="tweet")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--output", type=Path, help="where source adapters lie or will lie (default: a new folder)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        figures(arguments, Path(scratch))


def figures(arguments, scratch: Path) -> None:
    """Measure and report."""
    options = {"encoder": arguments.encoder, "k": arguments.k, "budget": arguments.budget}
    runs = [Run("offline", arguments.task, m, seed=s, **options) for s in range(arguments.seeds) for m in METHODS]
    stored = arguments.output or scratch / "sources"
    sources = list(dict.fromkeys(source for run in runs for source in run.sources().values()))
    execute_all(sources, stored)
    together, apart = scratch / "together", scratch / "apart"
    for output in (together, apart):
        for source in sources:
            link = source.folder(output)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(source.folder(stored).resolve())

    sample = [runs[int(i)] for i in np.linspace(0, len(runs) - 1, min(arguments.sample, len(runs))).round()]
    half = len(sample) // 2
    processes = [alone(run, apart, arguments.threads) for run in sample[:half]]  # half before, half after
    one_process, _ = process(TOGETHER, [plain(run) for run in runs], together, arguments.threads)
    processes += [alone(run, apart, arguments.threads) for run in sample[half:]]
    for run in sample:
        ours, theirs = execute(run, together), execute(run, apart)
        differing = [key for key in OUTCOME if getattr(ours, key) != getattr(theirs, key)]
        if differing:
            raise SystemExit(f"{run} differs in {', '.join(differing)} between one process and its own.")

    each = float(np.median([whole for whole, _ in processes]))
    imports, data, run = np.median([parts for _, parts in processes], axis=0)
    of_sample = [execute(run, apart).seconds for run in sample]
    of_grid = [execute(run, together).seconds for run in runs]
    lone, later = (
        {part: float(np.median([seconds[part] for seconds in every])) for part in ("train", "test")}
        for every in (of_sample, of_grid)
    )
    parts = {
        "start of Python and imports": each - data - run,
        "reading and tokenising": data,
        "training, evaluation included": lone["train"],
        "scoring on test": lone["test"],
        "model, adapters, storing": run - lone["train"] - lone["test"],
    }
    marginal = (one_process - (each - run)) / len(runs)
    in_grid = {
        "training, evaluation included": later["train"],
        "scoring on test": later["test"],
        "model, adapters, storing": marginal - later["train"] - later["test"],
    }
    whole = pd.DataFrame({"seconds": parts}).round(2)
    whole["share"] = (whole["seconds"] / whole["seconds"].sum()).round(3)
    grid = pd.DataFrame({"seconds": {"one process": one_process, f"{len(runs)} processes": each * len(runs)}}).round(1)
    ratio = each * len(runs) / one_process
    targets = {f"{len(runs)} processes / one process": (ratio, ">=", 3.0)}
    raw = {
        "processes": [{"seconds": whole, "import": p[0], "data": p[1], "run": p[2]} for whole, p in processes],
        "runs in one process": of_grid,
        "equal bit for bit": [str(run) for run in sample],
    }
    tables = {
        "one run in a process of its own": whole,
        f"one of {len(runs)} runs in one process": pd.DataFrame({"seconds": in_grid}).round(2),
        f"{len(runs)} runs": grid,
    }
    title = f"{len(runs)} short runs in one process are {ratio:.2f} times faster than {len(runs)} processes"
    figure = measure.bars(parts, title, "seconds of a run in a process of its own")
    measure.report(arguments, tables, measure.verdicts(targets), raw, figure)


if __name__ == "__main__":
    main()
