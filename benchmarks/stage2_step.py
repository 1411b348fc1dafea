"""Time of one stage-2 training step: ScaLearn against what a user would pick instead, in one run.

    .venv/bin/python benchmarks/stage2_step.py --json outputs/benchmarks/stage2_step.json

Random encoders of RoBERTa-base's and -large's shapes, eight source adapters, a batch of 8 × 64 tokens, forward and
backward without the optimizer. What is compared: the four variants with the fused forward, ScaLearn by the loop over
sources, AdapterFusion, one single adapter, full fine-tuning, and the floor: the frozen encoder with one frozen adapter,
forward and backward through activations, and nothing else.
"""

from __future__ import annotations

import measure
import shapes
import torch

from scalearn_lib import forward_path


def times(shape: str, arguments) -> tuple[dict[str, list[float]], dict[str, list[str]]]:
    """Seconds of a step by competitor, and the paths that the two forms of ScaLearn took."""
    model = shapes.build(shape, arguments.sources)
    inputs = shapes.batch(arguments.batch, arguments.tokens)

    def step() -> None:
        with measure.autocast(arguments.precision):
            loss = model(**inputs).loss
        loss.backward()
        model.zero_grad()

    def competitor(switch_on):
        def ready():
            switch_on()
            return torch.compile(step) if arguments.compile else step

        return ready

    competitors = {name: competitor(switch) for name, switch in shapes.stage2(model, arguments.sources).items()}
    taken = measure.alternate(competitors, arguments.rounds, arguments.warm)
    return taken, {name: sorted(set(forward_path(model, name).values())) for name in ("scalearn", "loop")}


def main() -> None:
    parser = measure.parser(__doc__, sources=8, batch=8, tokens=64, rounds=9, warm=1)
    parser.add_argument("--shapes", nargs="+", default=list(shapes.SHAPES), choices=list(shapes.SHAPES))
    parser.add_argument("--precision", default="fp32", choices=list(measure.PRECISIONS))
    parser.add_argument("--compile", action="store_true", help="time compiled steps")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    taken, paths = {}, {}
    for shape in arguments.shapes:
        taken[shape], paths[shape] = times(shape, arguments)
    relative = {"/ floor": "floor", "/ single": "single adapter", "/ fusion": "AdapterFusion"}
    tables = {f"RoBERTa-{shape}": measure.table(values, relative) for shape, values in taken.items()}
    targets = {}
    for shape, frame in tables.items():
        ratio = frame["/ floor"]
        limit = 1.2 if measure.DEVICE == "cuda" else 1.12
        for variant in shapes.VARIANTS:
            targets[f"{shape}: {variant} / floor"] = (ratio[variant], "<=", limit)
        targets[f"{shape}: AdapterFusion / scalearn"] = (ratio["AdapterFusion"] / ratio["scalearn"], ">=", 2.5)
        if measure.DEVICE == "cuda":
            targets[f"{shape}: loop / scalearn"] = (ratio["loop"] / ratio["scalearn"], ">=", 2.0)
    ratios = " and ".join(f"{frame['/ floor']['scalearn']:.2f}" for frame in tables.values())
    title = f"A ScaLearn step takes {ratios} times the frozen encoder's own forward and backward"
    figure = measure.dots(taken, "floor", title, "time of a step / floor")
    measure.report(arguments, tables, measure.verdicts(targets), {"seconds": taken, "paths": paths}, figure)


if __name__ == "__main__":
    main()
