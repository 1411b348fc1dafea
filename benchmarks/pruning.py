"""Fewer sources: scores of trained ScaLearn runs with their 1, 2, 4 largest sources, as they are and repaired.

    .venv/bin/python benchmarks/pruning.py --targets trec_fine movie --k 0 32 --seeds 0 1 2

Scores are stored below the output folder, where `load_pruned` finds them; what is there is not made again. With
`--time`, inference is timed too: folded with few sources against unfolded with all. That needs a machine at rest.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import measure
import pandas as pd
import torch
from tqdm.auto import tqdm

from scalearn_lib import fold
from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method
from scalearn_lib.paths import output_dir
from scalearn_lib.probing.pruning import prune
from scalearn_lib.probing.source_sizes import text_batches
from scalearn_lib.runs import Run, at_most, load_trained
from scalearn_lib.runs.data import splits_of, tokenizer_of
from scalearn_lib.tasks import get_task

TEXTS = 64
"""Test rows that a forward pass is timed on, at most."""

UNFOLDED = "all, unfolded"


def timed(run: Run, pruned: pd.DataFrame, rounds: int, output: Path) -> dict[str, list[float]]:
    """Return seconds per 1,000 texts, `rounds` of them each: unfolded with all sources, and folded with each number.

    All are timed in turn, so that ratios of medians hold whatever the machine.

    Args:
        pruned: what `prune` returned for the run; its repaired rows take as long as the others.
    """
    task = get_task(run.suite, run.task)
    active, folded = (load_trained(run, output).to(measure.DEVICE) for _ in range(2))
    get_method(run.method).learner().as_adapter(folded, task)  # maps of low rank become part of the sources
    block, names = folded.active_adapters, {}
    for row in pruned[~pruned["repaired"]].itertuples():
        names[f"{row.kept}, folded"] = f"kept_{row.kept}"
        fold(folded, block, f"kept_{row.kept}", sources=row.sources.split())
    rows = at_most(splits_of(run, task)[0]["test"], TEXTS)
    batches = text_batches(task, tokenizer_of(run.encoder), rows, active.device)
    texts = sum(len(batch["input_ids"]) for batch in batches)

    def competitor(model: torch.nn.Module, name: str | None = None):
        def step() -> None:
            with torch.inference_mode():
                for batch in batches:
                    model.base_model(**batch)

        def switch_on():
            if name is not None:
                model.set_active_adapters(name)
            return step

        return switch_on

    competitors = {UNFOLDED: competitor(active)} | {title: competitor(folded, name) for title, name in names.items()}
    times = measure.alternate(competitors, rounds)
    return {title: [1000 * seconds / texts for seconds in values] for title, values in times.items()}


def main() -> int:
    parser = measure.parser(__doc__, rounds=9)
    parser.add_argument("--suite", default="offline")
    parser.add_argument("--targets", nargs="+", default=["trec_fine", "amazon", "tweet", "movie"])
    parser.add_argument("--methods", nargs="+", default=["scalearn"])
    parser.add_argument("--k", type=int, nargs="+", default=[0, 32], help="examples of the target; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--budget", default="converged")
    parser.add_argument("--output", type=Path, default=output_dir())
    parser.add_argument("--time", action="store_true", help="time inference of the first run of each method, too")
    arguments = parser.parse_args()
    try:
        runs = [
            Run(arguments.suite, target, method, arguments.encoder, seed, k or None, arguments.budget)
            for method, k, target, seed in product(arguments.methods, arguments.k, arguments.targets, arguments.seeds)
        ]
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    pruned, failed = {}, False
    for run in tqdm(runs, desc="runs with fewer sources", unit="run", disable=None):
        try:
            pruned[run] = prune(run, output=arguments.output)
        except UserError as error:
            tqdm.write(str(error), file=sys.stderr)
            failed = True
    if pruned:
        means = pd.concat(pruned.values()).fillna({"k": 0}).astype({"k": int})
        means = means.pivot_table(index=["method", "task", "k"], columns=["repaired", "kept"], values="score")
        print("Test scores x 100, means over seeds\n", (100 * means).round(2).to_string(), sep="")
    if arguments.time:
        torch.set_num_threads(arguments.threads)
        first = {run.method: run for run in reversed(pruned)}
        raw = {str(run): timed(run, pruned[run], arguments.rounds, arguments.output) for run in first.values()}
        tables = {name: measure.table(values, {"/ unfolded": UNFOLDED}, "s") for name, values in raw.items()}
        measure.report(arguments, tables, [], {"seconds per 1,000 texts": raw})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
