"""Do scores from another kind of machine differ by more than scores of two seeds do? From stored pairs.

Make runs of the reference study again (--no-reference), in a folder of their own, on a CPU what a GPU made; then

.venv/bin/python benchmarks/devices.py --suite glue --output outputs/devices --json outputs/reference/devices.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import precision

from scalearn_lib.evidence.results import load_results
from scalearn_lib.paths import reference_dir


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="glue")
    parser.add_argument("--output", type=Path, required=True, help="where the runs lie that were made again")
    parser.add_argument("--json", type=Path, help="also write the comparison here")
    arguments = parser.parse_args()
    which = {"suite": arguments.suite, "encoder": "minilm", "budget": "converged", "overrides": "{}"}
    again = load_results(arguments.output, reference=False, **which)
    first = load_results(reference_dir(), **which)
    keys = [*precision.RUN, "seed"]
    pairs = again.merge(first, on=keys, suffixes=("", "_first")).query("device != device_first")
    print(" and ".join(sorted(set(pairs["device_first"]))), "against", " and ".join(sorted(set(pairs["device"]))))
    again = again.merge(pairs[keys], on=keys)
    precision.report(precision.compare(first, again), arguments.json)


if __name__ == "__main__":
    main()
