"""Whole studies: `scalearn grid`, `status`, `keep` and `demo`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from ..errors import UserError
from ..paths import output_dir
from .printing import show_frame

FOLLOW_SECONDS = 10
"""How often `scalearn status --follow` looks."""


def grid(arguments: argparse.Namespace) -> int:
    from ..grids import read_study, run_grid

    if arguments.hub is not None:
        os.environ["SCALEARN_HUB"] = str(arguments.hub.resolve())  # jobs work elsewhere
    if arguments.report_to:
        from ..training.tracking import trackers

        trackers()  # before any job starts
    where = (read_study(arguments.study), arguments.output)
    done = run_grid(*where, arguments.jobs, arguments.executor, arguments.profile, arguments.dry_run)
    return 0 if done else 1


def status(arguments: argparse.Namespace) -> None:
    from ..grids import read_study, status

    study, output = read_study(arguments.study), arguments.output
    while True:
        complete, lines = status(study, output)
        if arguments.follow and sys.stdout.isatty():
            print("\033[2J\033[H", end="")  # clear the screen, and go to its top
        print("\n".join(lines), flush=True)
        if complete or not arguments.follow:
            return
        time.sleep(FOLLOW_SECONDS)


def keep(arguments: argparse.Namespace) -> None:
    from ..grids import all_items, read_study
    from ..notebook import notebook_looks_at, notebook_runs
    from ..probing.pairs import Probe
    from ..probing.pruning_store import keep_pruned
    from ..probing.store import keep_pairs
    from ..runs import Run
    from ..runs.reference import keep, reference_result

    items = all_items(read_study(arguments.study))
    # The notebooks find there the runs whose coefficients they show, and the source adapters of these and of all that
    # they make; of other runs they read scores.
    shown = [run for notebook in _notebooks() for run in notebook_runs(notebook)]
    looked_at = {run for notebook in _notebooks() for run in notebook_looks_at(notebook)}
    made = [run for run in shown if run not in items and reference_result(run) is None]
    sources = {source for run in [*made, *looked_at] for source in run.sources().values()}
    output, reference = arguments.output, arguments.to or output_dir() / "reference"
    runs = [item for item in items if isinstance(item, Run)]
    lines = keep(runs, output, reference, sources, looked_at) + keep_pruned(runs, output, reference)
    for probe in (item for item in items if isinstance(item, Probe)):
        kept = keep_pairs(probe.file(output), probe.file(reference))
        lines += [str(kept)] if kept else []
    print("\n".join(lines or [f"Nothing of {arguments.study} is complete in {output}."]))


def _notebooks() -> list[Path]:
    notebooks = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("0*.ipynb"))
    if not notebooks:
        raise UserError("The notebooks are not beside the package: run `scalearn` from a clone of the repository.")
    return notebooks


def demo(arguments: argparse.Namespace) -> None:
    from ..evidence import claims, counted, table
    from ..notebook import execute_notebook, notebook_runs
    from ..runs import execute_all

    started = time.perf_counter()
    output = arguments.output.resolve()
    notebooks = _notebooks()
    # One process for all runs: it shares the encoded texts, and its progress bars are seen; the notebooks then read.
    execute_all([run for notebook in notebooks for run in notebook_runs(notebook)], output)
    for number, notebook in enumerate(notebooks, 1):
        executed = output / "notebooks" / notebook.name
        print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
        seconds = execute_notebook(notebook, executed, {"OUTPUT": str(output)})
        print(f"      {f'{seconds:.0f} s' if seconds else 'already executed'}: {executed}", flush=True)
    print("\nTest scores x 100 from 32 examples of the target, made here in the budget quick:\n")
    show_frame(table(output, "offline", "minilm", "quick", 32))
    verdicts = claims(output, "offline", "minilm", "converged")
    print("\nThe reference study (notebook 05, scalearn claims offline):\n")
    for family, asked in verdicts.groupby("family", sort=False):
        print(f"  of {family}, {counted(asked['verdict'])}")
    print(f"\nExecuted notebooks: {output / 'notebooks'}\nFigures:            {output / 'figures'}")
    print(f"Wall time:          {time.perf_counter() - started:.0f} s")
