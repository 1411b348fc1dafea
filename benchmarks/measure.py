"""Side by side in one run: alternating order, medians with quartiles, ratios of medians, one JSON and one figure."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from tqdm.auto import tqdm

from scalearn_lib.evidence.figures import use_style

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def parser(doc: str, **defaults: object) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks share, and a whole number for each of `defaults`."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in defaults.items():
        made.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    made.add_argument("--threads", type=int, default=2, help="on the CPU (default: 2)")
    made.add_argument("--json", type=Path, help="write the figures here, and a picture of them beside it")
    return made


def autocast(precision: str) -> AbstractContextManager:
    """Return the context in which a forward pass runs in `precision`."""
    dtype = PRECISIONS[precision]
    return torch.autocast(DEVICE, dtype) if dtype else nullcontext()


def seconds(step: Callable[[], object]) -> float:
    """Return how long one call takes, what it leaves running on a GPU included."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def alternate(
    competitors: Mapping[str, Callable[[], Callable[[], object]]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Time each competitor once a round, forwards in one round and backwards in the next.

    Args:
        competitors: by name what switches a competitor on and returns its step.
        rounds: how often each is timed.
        warm: steps after each switch that do not count.

    Returns:
        Seconds of each step, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for number in tqdm(range(rounds), desc="rounds", leave=False, disable=None):
        order = list(competitors.items())
        for name, switch_on in order if number % 2 == 0 else reversed(order):
            step = switch_on()
            for _ in range(warm):
                step()
            times[name].append(seconds(step))
    return times


def peak_of_training(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> float:
    """Return the peak MiB of this process after two steps of AdamW: resident on the CPU, allocated on a GPU."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for _ in range(2):
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def about(threads: int) -> dict[str, object]:
    """Return what a measurement was made on."""
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{DEVICE}, {threads} threads"
    return {
        "device": device,
        "machine": platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def table(values: Mapping[str, list[float]], relative_to: Mapping[str, str], unit: str = "ms") -> pd.DataFrame:
    """Return median and quartiles of each competitor, and the ratios of its median to those of others.

    Args:
        values: seconds, or MiB, by competitor.
        relative_to: heading of each ratio, and the competitor that it refers to.
        unit: "ms" for seconds, else the unit of `values`.
    """
    factor = 1e3 if unit == "ms" else 1
    median = {name: float(np.median(v)) for name, v in values.items()}
    rows = {}
    for name, v in values.items():
        low, high = np.quantile(v, [0.25, 0.75]) * factor
        rows[name] = {f"median {unit}": round(median[name] * factor, 2), "quartiles": f"{low:.2f} - {high:.2f}"}
        rows[name] |= {heading: round(median[name] / median[other], 3) for heading, other in relative_to.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def verdicts(targets: Mapping[str, tuple[float, str, float]]) -> list[dict[str, object]]:
    """Return each target with what was measured: `{what: (measured, "<=" or ">=", wanted)}`."""
    return [
        {"target": what, "measured": round(got, 3), "wanted": f"{sign} {wanted}", "met": bool(met(got, sign, wanted))}
        for what, (got, sign, wanted) in targets.items()
    ]


def met(measured: float, sign: str, wanted: float) -> bool:
    """Whether a measured figure is as wanted."""
    return measured <= wanted if sign == "<=" else measured >= wanted


def report(
    arguments: argparse.Namespace, tables: Mapping[str, pd.DataFrame], targets: list[dict], raw: object, figure=None
) -> None:
    """Print tables and targets; with `--json`, write them with what they were measured on, and the figure beside."""
    facts = about(arguments.threads)
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    for title, frame in tables.items():
        print(f"\n{title}\n{frame.to_string()}")
    if targets:
        print(f"\nTargets\n{pd.DataFrame(targets).to_string(index=False)}")
    if not arguments.json:
        return
    settings = {key: value for key, value in vars(arguments).items() if key != "json"}
    rows = {title: frame.reset_index(names="what").to_dict("records") for title, frame in tables.items()}
    content = {**facts, "settings": settings, "tables": rows, "targets": targets, "raw": raw}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(content, indent=1, default=str) + "\n")
    if figure is not None:
        figure.savefig(arguments.json.with_suffix(".png"), bbox_inches="tight")
        plt.close(figure)


def dots(values: Mapping[str, Mapping[str, list[float]]], reference: str, title: str, label: str) -> plt.Figure:
    """Draw each competitor's measurements relative to the reference's median, one panel per group, quartiles as bars.

    Args:
        values: measurements by group and competitor.
        reference: the competitor that is 1.
        title: the claim.
        label: of the horizontal axis.
    """
    use_style()
    rows = [
        {"group": group, "what": name, "ratio": value / np.median(by_name[reference])}
        for group, by_name in values.items()
        for name, measured in by_name.items()
        for value in measured
    ]
    frame = pd.DataFrame(rows)
    names = list(dict.fromkeys(frame["what"]))
    figure, axes = plt.subplots(
        1, len(values), figsize=(5.2 * len(values) + 1.5, 0.42 * len(names) + 1.6), sharey=True, squeeze=False
    )
    for axis, (group, part) in zip(axes[0], frame.groupby("group", sort=False), strict=True):
        sns.pointplot(part, x="ratio", y="what", order=names, estimator="median", errorbar=("pi", 50), linestyle="none",
                      ax=axis)  # fmt: skip
        axis.axvline(1, color="0.5", linestyle="--", linewidth=1)
        for place, name in enumerate(names):
            median = part.loc[part["what"] == name, "ratio"].median()
            axis.annotate(f"{median:.2f}", (median, place), (0, 7), textcoords="offset points", ha="center", fontsize=9)
        axis.set(xlabel=label, ylabel="")
        axis.set_title(group, fontsize=11)
        axis.margins(x=0.12)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.tight_layout()
    return figure


def bars(seconds: Mapping[str, float], title: str, label: str) -> plt.Figure:
    """Draw a bar for each of some durations.

    Args:
        seconds: by name, from top to bottom.
        title: the claim.
        label: of the horizontal axis.
    """
    use_style()
    figure, axes = plt.subplots(figsize=(8, 0.42 * len(seconds) + 1))
    sns.barplot(x=list(seconds.values()), y=list(seconds), color=sns.color_palette("colorblind")[0], ax=axes)
    axes.bar_label(axes.containers[0], fmt="{:,.1f} s", padding=3)
    axes.margins(x=0.16)
    axes.set(ylabel="", xlabel=label, title=title)
    return figure
