"""What keeping the stacked source adapters saves, against stacking them at every forward pass.

    .venv/bin/python benchmarks/kept_stack.py --json outputs/benchmarks/kept_stack.json

ScaLearn at RoBERTa-base's shape over 8 and 64 sources: a training step of 8 × 64 tokens, a small one of 4 × 16, and one
sentence at inference.
"""

from __future__ import annotations

from contextlib import nullcontext

import measure
import numpy as np
import shapes
import torch
from torch import nn

from scalearn_lib.composition import stacking

WORK = {"step 8 × 64": (8, 64, True), "step 4 × 16": (4, 16, True), "inference 1 × 24": (1, 24, False)}
"""Rows, tokens, and whether it is training."""


def times(model: nn.Module, arguments) -> dict[str, dict[str, list[float]]]:
    """Seconds by kind of work and by way of getting the stack."""
    keep = stacking.KeptStack.get
    ways = {"stacked anew": lambda self, *sources: stacking.stack_projections(*sources), "kept": keep}
    taken = {}
    for title, (rows, tokens, training) in WORK.items():
        inputs = shapes.batch(rows, tokens)

        def step(inputs=inputs, training=training) -> None:
            with nullcontext() if training else torch.inference_mode(), measure.autocast(arguments.precision):
                loss = model(**inputs).loss
            if training:
                loss.backward()
                model.zero_grad()

        def competitor(way, step=step, training=training):
            def ready():
                stacking.KeptStack.get = way
                model.train(training)
                return step

            return ready

        competitors = {name: competitor(way) for name, way in ways.items()}
        taken[title] = measure.alternate(competitors, arguments.rounds, warm=2)
    stacking.KeptStack.get = keep
    return taken


def main() -> None:
    parser = measure.parser(__doc__, rounds=9)
    parser.add_argument("--precision", default="fp32", choices=list(measure.PRECISIONS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    raw = {}
    for count in (8, 64):
        model = shapes.build("base", count, ("scalearn",))
        shapes.train_block(model, "scalearn", count)
        raw |= {f"{count} sources, {title}": taken for title, taken in times(model, arguments).items()}
    tables = {group: measure.table(values, {"/ anew": "stacked anew"}) for group, values in raw.items()}
    title = "What keeping the stacked projections saves"
    relative = {group: list(np.array(t["kept"]) / np.median(t["stacked anew"])) for group, t in raw.items()}
    figure = measure.dots({"": {"stacked anew": [1.0]} | relative}, "stacked anew", title, "time / stacked anew")
    measure.report(arguments, tables, [], {"seconds": raw}, figure)


if __name__ == "__main__":
    main()
