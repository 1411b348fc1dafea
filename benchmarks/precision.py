"""Do scores in bf16 differ from those in float32 by more than scores of two seeds do? From stored pairs of runs.

scalearn grid studies/reference.yaml makes the pairs; then

.venv/bin/python benchmarks/precision.py --json outputs/reference/precision.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from scalearn_lib.evidence import suite_results
from scalearn_lib.paths import output_dir

RUN = ["task", "method", "k", "source_tasks", "adapters", "sampling"]


def compare(one: pd.DataFrame, other: pd.DataFrame) -> dict[str, float]:
    """Compare runs with the same runs made in another way, in points (score times 100).

    Args:
        one, other: results as `suite_results`; those of a method, task, k and seed that both have are pairs.

    Returns:
        `pairs`; `mean` of one minus other with its 95 % interval, `low` and `high`; `ways` and `seeds`: root mean
        squares of the difference between the two ways of a run, and between two seeds of one way; `seconds`: how many
        times as long the other takes to train a step (geometric mean).
    """
    frames = [
        frame.assign(k=frame["k"].fillna(0), points=100 * frame["score"], each=frame["train_seconds"] / frame["steps"])
        for frame in (one, other)
    ]
    pairs = frames[0].merge(frames[1], on=[*RUN, "seed"], suffixes=("_one", "_other"))
    difference = pairs["points_one"] - pairs["points_other"]
    low, high = stats.t.interval(0.95, len(pairs) - 1, difference.mean(), difference.sem())
    # Two seeds differ by the square root of two standard deviations (root mean square).
    spread = pd.concat([pairs.groupby(RUN)[f"points_{name}"].var() for name in ("one", "other")])
    found = {
        "pairs": len(pairs),
        "mean": difference.mean(),
        "low": low,
        "high": high,
        "ways": np.sqrt((difference**2).mean()),
        "seeds": np.sqrt(2 * spread.mean()),
        "seconds": np.exp(np.log(pairs["each_other"] / pairs["each_one"]).mean()),
    }
    return {name: round(float(value), 3) for name, value in found.items()}


def report(found: dict[str, float], file: Path | None) -> None:
    """Print a comparison, and write it to a file."""
    for name, value in found.items():
        print(f"{name:<12}{value:g}")
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=output_dir())
    parser.add_argument("--json", type=Path, help="also write the comparison here")
    arguments = parser.parse_args()
    results = suite_results(arguments.output, "offline", encoder="minilm", budget="converged")
    single = results["overrides"] == json.dumps({"precision": "float32"})
    report(compare(results[results["overrides"] == "{}"], results[single]), arguments.json)


if __name__ == "__main__":
    main()
