"""Cost of a stage-2 step against the number of source adapters: the fused forward, the loop and AdapterFusion.

.venv/bin/python benchmarks/source_count.py --json outputs/benchmarks/source_count.json
"""

from __future__ import annotations

import gc

import matplotlib.pyplot as plt
import measure
import pandas as pd
import seaborn as sns
import shapes
import torch

BLOCKS = {"ScaLearn": "scalearn", "ScaLearnUniform": "scalearn_uniform", "loop": "loop", "AdapterFusion": "fusion"}


def times(count: int, arguments) -> dict[str, list[float]]:
    """Seconds of a step of each block over `count` sources, and of the floor."""
    model = shapes.build("base", count, tuple(BLOCKS.values()))
    inputs = shapes.batch(arguments.batch, arguments.tokens)

    def step() -> None:
        model(**inputs).loss.backward()
        model.zero_grad()

    switches = {"floor": lambda: shapes.train_floor(model)}
    switches |= {title: lambda b=block: shapes.train_block(model, b, count) for title, block in BLOCKS.items()}
    competitors = {title: lambda switch=switch: switch() or step for title, switch in switches.items()}
    return measure.alternate(competitors, arguments.rounds)


def main() -> None:
    parser = measure.parser(__doc__, batch=8, tokens=64, rounds=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    raw, tables = {}, {}
    for count in arguments.counts:
        raw[count] = times(count, arguments)
        tables[f"{count} sources"] = measure.table(raw[count], {"/ floor": "floor", "/ ScaLearn": "ScaLearn"})
        gc.collect()
    targets = {
        f"AdapterFusion / ScaLearn at {count}": (
            tables[f"{count} sources"]["/ ScaLearn"]["AdapterFusion"],
            ">=",
            wanted,
        )
        for count, wanted in ((8, 2.5), (64, 8.0))
        if count in raw
    }
    rows = [
        {"sources": count, "block": title, "ratio": value / frame["median ms"]["floor"] * 1e3}
        for (count, values), frame in zip(raw.items(), tables.values(), strict=True)
        for title, measured in values.items()
        for value in measured
        if title != "floor"
    ]
    ends = [tables[f"{count} sources"]["/ floor"] for count in (min(raw), max(raw))]
    span = max(1, max(raw) - min(raw))
    slope, fusion = ((ends[1][block] - ends[0][block]) / span for block in ("ScaLearn", "AdapterFusion"))
    measure.use_style()
    figure, axes = plt.subplots(figsize=(7.5, 4.5))
    sns.lineplot(pd.DataFrame(rows), x="sources", y="ratio", hue="block", style="block", markers=True, dashes=False,
                 estimator="median", errorbar=("pi", 50), ax=axes)  # fmt: skip
    axes.set(xscale="log", yscale="log", ylabel="time of a step / floor", xlabel="source adapters")
    axes.set_title(f"A source adapter more adds {slope:.1%} of the floor to ScaLearn, {fusion:.0%} to AdapterFusion")
    axes.set_xticks(arguments.counts, [str(count) for count in arguments.counts], minor=False)
    axes.minorticks_off()
    ticks = [tick for tick in (1, 1.5, 2, 3, 5, 10, 20) if tick <= 1.3 * max(row["ratio"] for row in rows)]
    axes.set_yticks(ticks, [f"{tick:g}×" for tick in ticks])
    axes.legend(title="")
    measure.report(arguments, tables, measure.verdicts(targets), {"seconds": raw}, figure)


if __name__ == "__main__":
    main()
