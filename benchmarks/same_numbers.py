"""Does the code give the numbers that it gave? Stored runs are made again and compared, bit for bit.

    python benchmarks/same_numbers.py --at-most 60 --methods scalearn adapter_fusion

After a change that should leave numbers alone, and that `code_version()` cannot tell from one that does not: where all
agree, the fingerprint may go into `runs/versions.py` (EQUAL). Machine and versions must be those of the stored runs: on
another model of processor make some with the code as it was, into a folder for `--output`.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

import torch

from scalearn_lib.paths import output_dir
from scalearn_lib.runs import execute
from scalearn_lib.runs.execution import source_folders, source_versions
from scalearn_lib.runs.making import make
from scalearn_lib.runs.reference import reference_results
from scalearn_lib.runs.result import Result, read_result
from scalearn_lib.runs.versions import code_version


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=["adapter", "scalearn", "adapter_fusion"])
    parser.add_argument("--at-most", type=float, default=60, help="seconds that a run took when it was stored")
    parser.add_argument("--output", type=Path, help="a folder of results instead of the reference study's")
    arguments = parser.parse_args()
    here = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if arguments.output is None:
        stored = [result for result, _ in reference_results()]
    else:
        stored = [read_result(file.parent) for file in sorted(arguments.output.rglob("result.json"))]
    fits = [isinstance(r, Result) and r.device == here and r.seconds["total"] <= arguments.at_most for r in stored]
    stored = list(itertools.compress(stored, fits))
    differ = 0
    for method in arguments.methods:
        # The cheapest of a method.
        results = sorted((r for r in stored if r.run.method == method), key=lambda r: r.seconds["total"])
        if not results:
            sys.exit(f"No run of {method} stored from {here} took at most {arguments.at_most:.0f} seconds; allow more.")
        result = results[0]
        torch.set_num_threads(result.threads)
        output = output_dir()
        made = {task: execute(source, output, "adapter") for task, source in result.run.sources().items()}
        folders = source_folders(result.run, output)
        with tempfile.TemporaryDirectory() as folder:
            again = make(result.run, result.run.folder(Path(folder)), folders, source_versions(made))
        same = again.test == result.test and again.validation == result.validation
        differ += not same
        print(f"{result.run}: {'equal' if same else 'DIFFERENT'} ({result.code} and {code_version()})", flush=True)
    sys.exit(f"{differ} of {len(arguments.methods)} differ." if differ else 0)


if __name__ == "__main__":
    main()
