"""Every method on every task of a suite: scores, tasks on which it beats the trivial baseline, time and peak memory.

    .venv/bin/python benchmarks/all_methods.py --json outputs/reference/all_methods.json

Each method has a process of its own, so that the peak memory is its own; source adapters are made first, by the method
`adapter`, and a run that is stored already is read. Seconds and memory are those that the runs stored, so they say what
the machine was like when the run was made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

from scalearn_lib.evidence.tables import suite_results
from scalearn_lib.methods import METHODS
from scalearn_lib.paths import output_dir
from scalearn_lib.runs import Run
from scalearn_lib.runs.result import RESULT, read_result
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.metrics import baseline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="offline")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="default: all")
    parser.add_argument("--output", type=Path, default=output_dir() / "all_methods")
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    tasks = get_suite(arguments.suite).tasks
    common = ["--encoder", arguments.encoder, "--budget", arguments.budget, "--output", str(arguments.output)]
    for method in sorted(arguments.methods, key=lambda name: name != "adapter"):  # what others build on comes first
        runs = [Run(arguments.suite, task.name, method, arguments.encoder, budget=arguments.budget) for task in tasks]
        if all((run.folder(arguments.output) / RESULT).exists() for run in runs):
            continue  # starting a process only to find that takes seconds
        command = [sys.executable, "-m", "scalearn_lib.cli", "run", arguments.suite, method, "all", *common]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    where = {"encoder": arguments.encoder, "budget": arguments.budget, "k": None, "overrides": "{}"}
    results = suite_results(arguments.output, arguments.suite, **where)
    baselines = {task.name: baseline(task) for task in tasks}
    rows = []
    for name in arguments.methods:
        runs = results[(results["method"] == name) & (results["seed"] == 0)].set_index("task")
        stored = [read_result(Path(folder)) for folder in dict.fromkeys(runs["folder"])]
        scores = runs["score"].reindex(list(baselines))
        beaten = [task for task in baselines if scores[task] > baselines[task]]
        row = {"method": METHODS[name].title, **(100 * scores).round(1), "average": round(100 * scores.mean(), 1)}
        row |= {"beats baseline": f"{len(beaten)} of {len(baselines)}"}
        row |= {"parameters": max(r.transfer_parameters for r in stored)}
        row |= {"seconds": round(sum(r.seconds["total"] for r in stored))}
        rows.append(row | {"peak MiB": max(r.peak_memory_mib for r in stored)})
    table = pd.DataFrame(rows)
    trivial = {"method": "majority or mean", **{task: round(100 * score, 1) for task, score in baselines.items()}}
    table = pd.concat([table, pd.DataFrame([trivial])], ignore_index=True)
    table = table.astype({"parameters": "Int64", "seconds": "Int64"})
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(table.to_string(index=False, na_rep=""))
    if arguments.json:
        arguments.json.write_text(table.to_json(orient="records", indent=1, force_ascii=False) + "\n")


if __name__ == "__main__":
    main()
