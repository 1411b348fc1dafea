"""AdapterFusion and ScaLearn under equal budgets, beside their published settings: same patience, same learning rates.

.venv/bin/python benchmarks/equal_budgets.py --json outputs/reference/equal_budgets.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scalearn_lib.evidence.equal_budgets import equal_budget_runs, equal_budget_scores
from scalearn_lib.paths import output_dir
from scalearn_lib.runs import Run, execute_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="offline")
    parser.add_argument("--tasks", nargs="+", default=["nyt", "trec"])
    parser.add_argument("--methods", nargs="+", default=["adapter_fusion", "scalearn"])
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path, default=output_dir() / "all_methods")
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    options = {"encoder": arguments.encoder, "budget": arguments.budget}
    runs = [
        Run(arguments.suite, task, method, seed=seed, **options)
        for task in arguments.tasks
        for method in arguments.methods
        for seed in arguments.seeds
    ]
    execute_all([*runs, *equal_budget_runs(runs)], arguments.output)
    table = equal_budget_scores(arguments.output, arguments.suite, arguments.encoder, arguments.budget)
    table = table.round({"published": 2, "equal": 2})
    print(table.to_string(index=False))
    if arguments.json:
        arguments.json.write_text(table.to_json(orient="records", indent=1, force_ascii=False) + "\n")


if __name__ == "__main__":
    main()
