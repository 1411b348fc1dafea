"""The small files that the assignments read, because making them takes longer than grading may: `make course-data`.

Each lies beside the assignment that reads it. Assignments 2 and 3 need the offline suite and MiniLM (`scalearn fetch`).
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd
import yaml

from ..composition import scaling_coefficients
from ..evidence import suite_results
from ..evidence.tables import with_source_tasks
from ..methods import get_method
from ..paths import output_dir, written_whole
from ..probing.pairs import GRID
from ..probing.probes import probe, probing_data
from ..runs import Run, execute, execute_all, load_trained, weights_of
from ..tasks import get_suite, get_task

PAIR = ("trec", "movie")
SHOTS = 32
TARGET = "amazon"
VARIANTS = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")
AFFORDABLE = ("scalearn_uniform", "scalearn_uniform_pp")  # with any of the sets
REPLICATED = ("adapter", "adapter_fusion", "scalearn", "scalearn_uniform_pp")
SETS = {
    "all": ("movie", "tweet", "amazon", "nyt", "spam", "trec", "trec_fine", "dialog", "qtype"),
    "ratings+own": ("movie", "tweet", "amazon", "nyt"),
    "ratings": ("movie", "tweet", "nyt"),
    "questions": ("trec", "trec_fine", "qtype"),
    "mixed": ("movie", "spam", "trec"),
    "nyt": ("nyt",),
}
"""The sets of sources that assignment 3 offers; `amazon` is the target's own adapter, trained on the same examples."""

EXAMPLE = ("topic", "score", "pair")
"""The tasks of `toy` that the project's example is made of."""


def store_scaling(folder: Path, output: Path) -> None:
    """Probe the pair of assignment 2 at every pair of the grid and write `pairs.csv`: a row per pair and head."""
    runs = [Run("offline", task, "adapter") for task in PAIR]
    for run in runs:
        execute(run, output, "adapter")
    sources = {run.task: weights_of(run, output) for run in runs}
    data = probing_data("offline", PAIR[0], "minilm", "quick")
    pairs = probe(get_task("offline", PAIR[0]), data, "minilm", sources, list(itertools.product(GRID, GRID)), range(5))
    _write(pairs[[*PAIR, "seed", "score"]].round(4), folder / "pairs.csv")


def few_shot_runs() -> list[Run]:
    """The runs of the reference study behind assignment 3, with three draws.

    What can be afforded over each set of sources, every variant over all of them, and two baselines.
    """
    common = {"suite": "offline", "task": TARGET, "k": SHOTS, "budget": "converged"}
    runs = [Run(method="adapter", seed=seed, **common) for seed in range(3)]
    runs += [Run(method="adapter_fusion", seed=seed, **common) for seed in range(3)]
    for label, names in SETS.items():
        for variant, seed in itertools.product(VARIANTS if label == "all" else AFFORDABLE, range(3)):
            runs.append(Run(method=variant, seed=seed, source_tasks=names, **common))
    return runs


def store_few_shot(folder: Path, output: Path) -> None:
    """Write what assignment 3 reads: `choices.csv` with validation scores, and `omega.csv` with mean coefficients.

    Test scores go to `test_scores.csv` in the parent folder's `held_back/`, which no release contains.
    """
    by_names = {names: label for label, names in SETS.items()}
    scores, omegas = [], []
    runs = few_shot_runs()
    for run, result in zip(runs, execute_all(runs, output), strict=True):
        label = by_names[run.source_tasks or SETS["all"]] if get_method(run.method).two_stage else "none"
        row = {"sources": label, "method": run.method, "seed": run.seed}
        scores.append(row | {"validation": result.validation[result.metric], "test": result.score})
        if run.method in VARIANTS:
            omega = scaling_coefficients(load_trained(run, output), run.method).mean(["layer", "hidden"])
            omegas += [
                row | {"source": name, "omega": float(omega.sel(source=name))} for name in omega["source"].values
            ]
    frame = pd.DataFrame(scores).round(4)
    _write(frame.drop(columns="test"), folder / "choices.csv")
    _write(pd.DataFrame(omegas).round(4), folder / "omega.csv")
    _write(frame.drop(columns="validation"), folder.parents[1] / "held_back" / "test_scores.csv")


def store_replication(folder: Path, output: Path) -> None:
    """Write `results.csv` for assignment 4: of the reference study the few-shot results that all its methods have."""
    where = {"encoder": "minilm", "budget": "converged", "sampling": "resampled", "overrides": "{}"}
    results = with_source_tasks(suite_results(output, "offline", k=SHOTS, **where), "")
    results = results[results["method"].isin(REPLICATED) & (results["seed"] < 3)]
    complete = results.groupby("task")["seed"].transform("size") == 3 * len(REPLICATED)
    frame = results.loc[complete, ["method", "task", "seed", "metric", "transfer_parameters", "score"]]
    _write(frame.sort_values(["method", "task", "seed"]).round(4), folder / "results.csv")


def store_project(folder: Path, output: Path) -> None:
    """Write the example of the project: tables of three tasks of `toy`, its suite file, and results on them."""
    tasks = {}
    for name in EXAMPLE:
        task = get_task("toy", f"toy_{name}")
        frame = pd.concat([rows.to_pandas() for rows in task.load().values()]).sort_values("text")
        labels = [task.labels[number] for number in frame["label"]] if task.labels else frame["label"]
        columns = list(task.columns)
        _write(frame[columns].assign(label=labels), folder / f"example_{name}.csv")
        text = columns if columns[1:] else columns[0]
        tasks[name] = {"data": f"example_{name}.csv", "text": text, "label": "label", "about": task.about}
    plain = {"name": "example", "about": "made-up sentences in which one word decides", "tasks": tasks}
    (folder / "example.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
    suite, methods = get_suite(str(folder / "example.yaml")), ("adapter", "adapter_fusion", "scalearn")
    order = itertools.product(methods, [task.name for task in suite.tasks], range(3))
    runs = [Run(suite.name, task, method, "tiny", seed, budget="quick") for method, task, seed in order]
    rows = [
        {"method": run.method, "task": run.task, "seed": run.seed, "score": result.score}
        | {"validation": result.validation[result.metric], "content": run.content}
        for run, result in zip(runs, execute_all(runs, output), strict=True)
    ]
    _write(pd.DataFrame(rows).round(4), folder / "example_results.csv")


def store(source: Path) -> None:
    """Make every stored file of the assignments under `source`."""
    output = output_dir()
    store_project(source / "project", output)
    store_replication(source / "replication", output)
    store_scaling(source / "scaling", output)
    store_few_shot(source / "budget", output)


def _write(frame: pd.DataFrame, file: Path) -> None:
    with written_whole(file) as temporary:
        frame.to_csv(temporary, index=False)
    print(f"{file.name}: {len(frame)} rows, {file.stat().st_size / 1000:.0f} kB")
