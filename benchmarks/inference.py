"""Time of inference: active ScaLearn, folded, AdapterFusion, a single adapter and the bare encoder.

    .venv/bin/python benchmarks/inference.py --json outputs/benchmarks/inference.json

A random encoder of RoBERTa-base's shape with eight source adapters; a full batch and one short sentence alone.
"""

from __future__ import annotations

import measure
import shapes
import torch
from adapters import Fuse

import scalearn_lib
from scalearn_lib import ScaLearn


def main() -> None:
    parser = measure.parser(__doc__, sources=8, rounds=15)
    parser.add_argument("--precision", default="fp32", choices=list(measure.PRECISIONS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = shapes.build("base", arguments.sources, ("scalearn", "scalearn_uniform_pp", "fusion")).eval()
    names = shapes.names_of(arguments.sources)
    scalearn_lib.fold(model, ScaLearn(*names, name="scalearn"), "folded")
    setups = {
        "bare encoder": None,
        "single adapter": names[0],
        "folded": "folded",
        "ScaLearn": ScaLearn(*names, name="scalearn"),
        "ScaLearnUniform++": ScaLearn(*names, name="scalearn_uniform_pp"),
        "AdapterFusion": Fuse(*names, name="fusion"),
    }
    raw = {}
    for group, (rows, tokens) in {"16 × 64 tokens": (16, 64), "one sentence of 24 tokens": (1, 24)}.items():
        inputs = shapes.batch(rows, tokens)

        def step(inputs=inputs) -> None:
            with torch.inference_mode(), measure.autocast(arguments.precision):
                model(**inputs)

        def competitor(setup, step=step):
            def ready():
                model.set_active_adapters(setup)
                model.active_head = "head"
                return step

            return ready

        raw[group] = measure.alternate({n: competitor(s) for n, s in setups.items()}, arguments.rounds, warm=2)
    relative = {"/ bare": "bare encoder", "/ single": "single adapter"}
    tables = {group: measure.table(values, relative) for group, values in raw.items()}
    targets = {f"{group}: folded / single": (frame["/ single"]["folded"], "<=", 1.1) for group, frame in tables.items()}
    ratios = " and ".join(f"{frame['/ single']['folded']:.2f}" for frame in tables.values())
    title = f"Folded, ScaLearn over {arguments.sources} sources takes {ratios} times one plain adapter"
    figure = measure.dots(raw, "bare encoder", title, "time of a forward pass / bare encoder")
    measure.report(arguments, tables, measure.verdicts(targets), {"seconds": raw}, figure)


if __name__ == "__main__":
    main()
