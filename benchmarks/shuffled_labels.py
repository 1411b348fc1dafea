"""Sources that know nothing, second kind: adapters trained on shuffled labels, put beside the trained ones.

    .venv/bin/python benchmarks/shuffled_labels.py --json shuffled_labels.json

Tasks of the offline suite are written down as own tasks whose labels are shuffled, an adapter is trained on each in the
budget of sources, and few-shot runs get them as adapters from elsewhere. What has been made is not made again.
docs/claims.md says what is predicted and what would decide it.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import yaml

from scalearn_lib import scaling_coefficients
from scalearn_lib.evidence.verdicts.rules import decide, within
from scalearn_lib.evidence.verdicts.samples import samples_between
from scalearn_lib.evidence.verdicts.statistics import effect_of
from scalearn_lib.paths import output_dir
from scalearn_lib.runs import Run, execute, execute_all, load_trained
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.adapters import Adapter, find_adapter

SHUFFLED = ("spam", "trec", "qtype", "dialog")
BUDGET, SHOTS, MARGIN = "converged", 32, 1.0
SEED = 0  # of the shuffles


def write_suite(folder: Path) -> Path:
    """Write the tasks with shuffled labels, except on test, as an own suite; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {}
    for name in SHUFFLED:
        task, files = get_task("offline", name), {}
        for split, rows in task.load().items():
            frame = rows.to_pandas()
            labels = frame["label"].map(dict(enumerate(task.labels)))
            if split != "test":
                labels = labels.sample(frac=1, random_state=SEED, ignore_index=True)
            files[split] = f"{name}_{split}.csv"
            frame[list(task.columns)].assign(label=labels.to_numpy()).to_csv(folder / files[split], index=False)
        tasks[f"shuffled_{name}"] = {"data": files, "text": list(task.columns), "label": "label"}
    file = folder / "shuffled.yaml"
    about = "tasks of the offline suite whose labels are shuffled"
    file.write_text(yaml.safe_dump({"name": "shuffled", "about": about, "tasks": tasks}, sort_keys=False))
    return file


def shuffled_adapters(encoder: str, output: Path) -> tuple[list[Adapter], pd.DataFrame]:
    """Train an adapter on each of these tasks; returns them, and a row each on how far it came."""
    suite = str(write_suite(output / "shuffled_labels"))
    runs = [Run(suite, f"shuffled_{name}", "adapter", encoder, budget=BUDGET) for name in SHUFFLED]
    rows = [
        {"source": run.task, "steps": result.steps, "selected": result.selected_step, "test": result.score}
        for run, result in zip(runs, execute_all(runs, output), strict=True)
    ]
    return [find_adapter(run.task, str(run.weights(output)), Path()) for run in runs], pd.DataFrame(rows)


def compared(targets: list[str], seeds: list[int], encoder: str, adapters: list[Adapter], output: Path) -> pd.DataFrame:
    """Return scores with and without the adapters and, with them, mean |ω| of these and of the others."""
    rows = []
    for target, seed in product(targets, seeds):
        plain = Run("offline", target, "scalearn", encoder, seed, SHOTS, BUDGET)
        run = replace(plain, adapters=tuple(adapters))
        row = {"task": target, "seed": seed, "without": execute(plain, output).score}
        row["score"] = execute(run, output).score
        omega = abs(scaling_coefficients(load_trained(run, output), run.method)).mean(["layer", "hidden"])
        new = [adapter.name for adapter in adapters]
        row["shuffled_omega"] = float(omega.sel(source=new).mean())
        row["trained_omega"] = float(omega.drop_sel(source=new).mean())
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", default=["trec_fine", "trec", "movie", "qtype"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--output", type=Path, default=output_dir())
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    adapters, sources = shuffled_adapters(arguments.encoder, arguments.output)
    runs = compared(arguments.targets, arguments.seeds, arguments.encoder, adapters, arguments.output)
    samples = samples_between(runs, runs.assign(score=runs["without"]), "runs", paired=True)
    effect = effect_of(list(samples.by_task.values()))
    (decision,) = decide([within(effect, MARGIN, len(arguments.seeds))])
    print(sources.round(3).to_string(index=False), runs.round(3).to_string(index=False), sep="\n\n")
    print(
        f"\nk = {SHOTS}: ScaLearn with {len(adapters)} sources of shuffled labels keeps within {MARGIN:g} point: "
        f"{decision.verdict}, {effect.value:+.1f} [{effect.low:.1f}, {effect.high:.1f}]"
    )
    if arguments.json:
        about = {"effect": effect.value, "low": effect.low, "high": effect.high, "verdict": decision.verdict}
        told = {"k": SHOTS, **about, "sources": sources.to_dict("records"), "runs": runs.to_dict("records")}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
