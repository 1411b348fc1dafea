"""What runs cost: measured in stored results, and estimated from there for runs that are still to come."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..evidence.results import load_results
from ..methods import METHODS
from ..probing.pairs import ROWS, Probe
from ..runs.run import Run
from ..tasks import get_task
from ..training.budget import NO_LIMIT

FILE = Path(__file__).with_name("costs.csv")
"""Times that were measured, one line per suite, encoder, budget, method, task and device; see `measured`."""

SIZES = Path(__file__).with_name("sizes.csv")
"""Training examples of the published benchmarks and their mean length in tokens (rounded; some are guesses)."""

WEIGHTS = {"tiny": 0.02, "minilm": 10.6, "large": 302.0, "base": 85.0}
"""Millions of weights in an encoder's layers, by a part of its name; an unknown encoder counts as a base one."""

ASSUMED_GPU = 40.0
"""How many times as fast as one CPU thread a GPU is taken to be until results from one are at hand. Not measured."""

START = 3.0
"""Seconds that each run takes for loading, whatever it trains."""

KEYS = ["suite", "encoder", "budget", "method", "task", "device", "threads"]


def measured(output: Path) -> pd.DataFrame:
    """Return the times of the results below `output`, one row per suite, encoder, budget, method, task and device.

    Columns: the keys, `runs` (how many results), `steps` and `batch_size` of a run, `seconds` (median of a whole run,
    evaluation included), `step_seconds` (median of training divided by steps). Few-shot runs and runs with changed
    settings are left out, and so is the reference study: many of its runs shared a machine, up to 15 of them a GPU.
    """
    results = load_results(output, reference=False)
    results = results[results["steps"] > 0].assign(step_seconds=lambda r: r["train_seconds"] / r["steps"])
    # A joint run has a row per task, but is one run.
    joint = results["method"].map(lambda name: METHODS[name].joint).astype(bool)
    results = results.assign(task=results["task"].where(~joint, "all")).drop_duplicates("folder")
    plain = results[results["k"].isna() & (results["overrides"] == "{}")]
    grouped = plain.groupby(KEYS, as_index=False, sort=True).agg(
        runs=("seed", "size"),
        steps=("steps", "median"),
        batch_size=("batch_size", "first"),
        seconds=("seconds", "median"),
        step_seconds=("step_seconds", "median"),
    )
    return grouped.round({"seconds": 1, "step_seconds": 4}).astype({"steps": int, "batch_size": int, "threads": int})


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """Return seconds per run as a table: a row per suite, encoder, budget, device and method, a column per task."""
    threads = "cpu, threads: " + costs["threads"].astype(str)
    device = costs["device"].where(costs["device"] != "cpu", threads)
    where = costs["suite"] + ", " + costs["encoder"] + ", " + costs["budget"]
    titles = costs["method"].map(lambda name: METHODS[name].title)
    shown = costs.assign(where=where, on=device, method=titles)
    order = list(dict.fromkeys(shown["task"]))
    table = shown.pivot_table(index=["where", "on", "method"], columns="task", values="seconds", sort=False)
    return table[order].map(lambda seconds: "" if pd.isna(seconds) else f"{seconds:,.0f}").reset_index()


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds by run or probe, at most, and what they rest on (a sentence without its subject)."""

    seconds: dict[Run | Probe, float]
    basis: str

    def hours(self, items: Iterable[Run | Probe]) -> float:
        """Hours of some of the items together."""
        return sum(self.seconds[item] for item in items) / 3600


def estimate(items: Iterable[Run | Probe], gpu: bool, output: Path | None = None) -> Estimate:
    """Estimate the time of runs and probes on a GPU or on one CPU thread.

    On a CPU times of one thread count, others only of methods that have none. A run takes its steps × batch × tokens
    per example × the seconds per token of its method, which are measured; of another encoder they are scaled by the
    number of weights. Early stopping is not foreseen, so this is an upper bound.

    Args:
        items: what is to be run.
        gpu: on what.
        output: a folder whose results count too, besides those that come with the package.
    """
    costs = pd.read_csv(FILE)
    if output is not None:
        costs = pd.concat([costs, measured(output)], ignore_index=True)
    on_gpu = costs["device"] != "cpu"
    speed = 1.0
    if gpu and on_gpu.any():
        costs = costs[on_gpu]
    else:
        alone = costs["threads"] == 1
        costs = costs[~on_gpu & (alone | ~costs["method"].isin(costs.loc[~on_gpu & alone, "method"]))]
        speed = ASSUMED_GPU if gpu else 1.0
    rates = _rates(costs)
    seconds = {item: START + _work(item, rates) / speed for item in items}
    devices = ", ".join(sorted({f"{r.device}" for r in costs.itertuples()}))
    basis = f"rest on {costs['runs'].sum()} stored results ({devices}; {', '.join(sorted(set(costs['encoder'])))})"
    basis += ", scaled by the encoder's weights and without early stopping"
    if gpu and speed != 1:
        basis += f"; a GPU is taken to be {speed:.0f} times one CPU thread, which has not been measured"
    return Estimate(seconds, basis)


def _rates(costs: pd.DataFrame) -> dict[str, float]:
    """Seconds per token and million weights by method; "" for methods without a result: the single adapter's."""
    tokens = [_tokens(row.suite, row.task) for row in costs.itertuples()]
    weights = costs["encoder"].map(encoder_weights)
    big = costs["encoder"] != "tiny"  # whose time is all overhead
    per_token = costs["seconds"] / (costs["steps"] * costs["batch_size"] * pd.Series(tokens, costs.index) * weights)
    rates = per_token[big].groupby(costs.loc[big, "method"]).median().to_dict()
    return rates | {"": rates.get("adapter", per_token.median())}


def _work(item: Run | Probe, rates: dict[str, float]) -> float:
    weights = encoder_weights(item.encoder)
    if isinstance(item, Probe):
        # Forward passes alone are a third of training; every row is encoded for each pair of strengths.
        rows = min(_size(item.suite, item.target), ROWS[item.budget][0] or NO_LIMIT)
        return len(item.grid) ** 2 * rows * _tokens(item.suite, item.target) * rates[""] * weights / 3
    budget = item.settings()
    names = [(task.suite, task.name) for task in item.tasks()]
    rows = min(sum(_size(*name) for name in names), budget.max_train or NO_LIMIT, item.k or NO_LIMIT)
    tokens = sum(_tokens(*name) for name in names) / len(names)
    steps = min(budget.max_steps, budget.epochs * math.ceil(rows / budget.batch_size))
    return steps * min(budget.batch_size, rows) * tokens * rates.get(item.method, rates[""]) * weights


def encoder_weights(name: str) -> float:
    """Millions of weights in the layers of an encoder."""
    return next((millions for part, millions in WEIGHTS.items() if part in name), WEIGHTS["base"])


_sizes = pd.read_csv(SIZES).set_index(["suite", "task"])


def _home(suite: str, task: str) -> tuple[str, str]:
    return (suite if task == "all" else get_task(suite, task).suite), task


def _size(suite: str, task: str) -> int:
    """Training examples; tasks that are no published benchmark are small, and trained by steps."""
    home = _home(suite, task)
    return int(_sizes.loc[home, "train"]) if home in _sizes.index else 5000


def _tokens(suite: str, task: str) -> float:
    """Mean tokens of an example; of all tasks of a suite their mean."""
    if task == "all":
        of_suite = _sizes.index.get_level_values("suite") == suite
        return float(_sizes.loc[of_suite, "tokens"].mean()) if of_suite.any() else 25.0
    home = _home(suite, task)
    return float(_sizes.loc[home, "tokens"]) if home in _sizes.index else 25.0
