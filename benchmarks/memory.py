"""Peak memory of stage-2 training steps, each way in a process of its own.

    .venv/bin/python benchmarks/memory.py --json outputs/benchmarks/memory.json

A random encoder of RoBERTa-base's shape, a batch of 8 × 64 tokens, two steps of AdamW. On the CPU the figure is the
process's peak resident memory, on a GPU the peak that PyTorch allocated. Each process holds just what its way needs:
the floor and the single adapter one adapter, full fine-tuning none, the others all source adapters and one block.
"""

from __future__ import annotations

import json
import subprocess
import sys

import measure
import shapes
import torch

WAYS = ("floor", "single adapter", *shapes.VARIANTS, "loop", "AdapterFusion", "full fine-tuning")


def peak(way: str, arguments) -> float:
    """Peak MiB of this process after two training steps."""
    block = {"AdapterFusion": "fusion"}.get(way, way)
    alone = way in ("floor", "single adapter", "full fine-tuning")
    model = shapes.build("base", 1 if alone else arguments.sources, () if alone else (block,))
    shapes.stage2(model, arguments.sources)[way]()
    return measure.peak_of_training(model, shapes.batch(arguments.batch, arguments.tokens))


def main() -> None:
    parser = measure.parser(__doc__, sources=8, batch=8, tokens=64, rounds=3)
    parser.add_argument("--way", choices=WAYS, help="measure just this one, in this process, and print the MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.way:
        print(json.dumps(peak(arguments.way, arguments)))
        return
    raw: dict[str, list[float]] = {way: [] for way in WAYS}
    shared = [f"--{name}={getattr(arguments, name)}" for name in ("sources", "batch", "tokens", "threads")]
    for _ in range(arguments.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, *shared]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            raw[way].append(json.loads(done.stdout.splitlines()[-1]))
    frame = measure.table(raw, {"/ floor": "floor"}, "MiB")
    targets = {f"{variant} / floor": (frame["/ floor"][variant], "<=", 1.05) for variant in shapes.VARIANTS}
    title = f"A ScaLearn step needs {frame['/ floor']['scalearn']:.2f} times the floor's memory"
    figure = measure.dots({"RoBERTa-base": raw}, "floor", title, "peak memory / floor")
    measure.report(arguments, {"peak memory": frame}, measure.verdicts(targets), {"MiB": raw}, figure)


if __name__ == "__main__":
    main()
