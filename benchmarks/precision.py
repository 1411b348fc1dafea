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

RUN = ["task", "method", "k"]


def compare(results: pd.DataFrame) -> dict[str, float]:
    """Compare runs in bf16 with the same runs in float32, in points (score times 100).

    Args:
        results: as `suite_results`; those with the override precision=float32 are compared with those without.

    Returns:
        `pairs`; `mean` of bf16 minus float32 with its 95 % interval, `low` and `high`; `precisions` and `seeds`: root
        mean squares of the difference between the two precisions of a run, and between two seeds of one precision;
        `seconds`: how many times as long float32 takes to train a step (geometric mean).
    """
    results = results.assign(k=results["k"].fillna(0), points=100 * results["score"])
    results["step_seconds"] = results["train_seconds"] / results["steps"]
    single = results[results["overrides"] == json.dumps({"precision": "float32"})]
    pairs = results[results["overrides"] == "{}"].merge(single, on=[*RUN, "seed"], suffixes=("_bf16", "_float32"))
    difference = pairs["points_bf16"] - pairs["points_float32"]
    low, high = stats.t.interval(0.95, len(pairs) - 1, difference.mean(), difference.sem())
    # Two seeds differ by the square root of two standard deviations (root mean square).
    spread = pd.concat([pairs.groupby(RUN)[f"points_{name}"].var() for name in ("bf16", "float32")])
    slower = pairs["step_seconds_float32"] / pairs["step_seconds_bf16"]
    return {
        "pairs": len(pairs),
        "mean": difference.mean(),
        "low": low,
        "high": high,
        "precisions": np.sqrt((difference**2).mean()),
        "seeds": np.sqrt(2 * spread.mean()),
        "seconds": np.exp(np.log(slower).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=output_dir())
    parser.add_argument("--json", type=Path, help="also write the comparison here")
    arguments = parser.parse_args()
    found = compare(suite_results(arguments.output, "offline", encoder="minilm", budget="converged"))
    found = {name: round(float(value), 3) for name, value in found.items()}
    for name, value in found.items():
        print(f"{name:<12}{value:g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
