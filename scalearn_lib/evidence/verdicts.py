"""The paper's claims, each with a verdict from stored results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, t

from ..methods import get_method
from ..probing.store import load_pairs
from .paper import published
from .tables import suite_results, versions, with_source_tasks

VARIANTS = ("scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")
CONSTRAINED = ("scalearn_mean", "scalearn_softmax")
SHOTS = (4, 16, 32, 100)
LEVEL = 0.95
"""Level of the confidence intervals."""

UNDECIDED, OPPOSITE = "undecided: the interval reaches both sides", "the opposite is seen"


@dataclass(frozen=True)
class Verdict:
    """What stored results say about a claim.

    Args:
        claim: the claim, in words.
        verdict: "holds" if the whole confidence interval is on the claim's side, "does not" if it is not, "not run"
            where results are missing.
        effect, low, high: mean and 95 % interval, in points (score times 100); of the claim on pairs a share.
        seeds, tasks: how many it rests on.
        note: why, in a few words; and which versions of code and data it rests on, if several.
    """

    claim: str
    verdict: str
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    seeds: int = 0
    tasks: int = 0
    note: str = ""


def claims(output: Path, suite: str, encoder: str, budget: str, source_tasks: str = "") -> pd.DataFrame:
    """Return one row per claim of the paper, with the fields of `Verdict`.

    A difference between two methods is paired: taken for each task and seed that both have, averaged over the tasks,
    and its interval is Student's over the seeds. At least two seeds are needed that have every task compared.

    Args:
        output: the folder of results.
        suite, encoder, budget: which results.
        source_tasks: the source tasks of the two-stage methods, separated by blanks; empty for all of the suite.
    """
    results = suite_results(output, suite, encoder=encoder, budget=budget, overrides="{}")
    results = with_source_tasks(results, source_tasks)
    results["version"] = versions(results)
    full = results[results["k"].isna()]
    margin = largest_published_loss()
    rows = [
        better(full, "scalearn", "adapter", "ScaLearn beats single adapters on average"),
        better(full, "scalearn", "adapter_fusion", "ScaLearn beats AdapterFusion on average"),
    ]
    for name in VARIANTS:
        numbers = full.loc[full["method"] == name, "transfer_parameters"]
        count = f"{numbers.max():,.0f}" if len(numbers) else "fewer"
        claim = f"{get_method(name).title} keeps within {margin:.2f} points of ScaLearn with {count} parameters"
        rows.append(better(full, name, "scalearn", claim, margin))
    for k in SHOTS:
        few = results[(results["k"] == k) & (results["sampling"] == "resampled")]
        for other in ("adapter", "adapter_fusion"):
            rows.append(better(few, "scalearn", other, f"ScaLearn beats {get_method(other).title} at k = {k}"))
    for other in CONSTRAINED:
        constraint = other.removeprefix("scalearn_")
        rows.append(better(full, "scalearn", other, f"Unconstrained coefficients beat the {constraint} constraint"))
    rows.append(pairs_seldom_sum_to_one(load_pairs(output, suite, encoder, budget)))
    return pd.DataFrame(rows)


def better(results: pd.DataFrame, method: str, other: str, claim: str, margin: float = 0.0) -> Verdict:
    """Whether `method` scores higher than `other`, or at most `margin` points lower."""
    wide = results.pivot_table(index="seed", columns=["method", "task"], values="score") * 100
    missing = [get_method(name).title for name in (method, other) if name not in wide.columns.get_level_values(0)]
    if missing:
        return Verdict(claim, "not run", note=f"no results of {' and '.join(missing)}")
    difference = (wide[method] - wide[other]).dropna(axis="columns", how="all").dropna()
    if len(difference) < 2 or difference.shape[1] == 0:
        return Verdict(claim, "not run", note="needs two seeds in which both methods have the same tasks")
    by_seed = difference.mean(axis=1)
    mean, error = by_seed.mean(), by_seed.sem()
    low, high = (mean, mean) if error == 0 else t.interval(LEVEL, len(by_seed) - 1, mean, error)
    holds = low > -margin
    reason = "" if holds else UNDECIDED if high > -margin else OPPOSITE
    note = _with_versions(reason, results.loc[results["method"].isin([method, other]), "version"])
    tasks, seeds = difference.shape[1], len(by_seed)
    return Verdict(claim, "holds" if holds else "does not", mean, low, high, seeds, tasks, note)


def pairs_seldom_sum_to_one(pairs: pd.DataFrame) -> Verdict:
    """Whether the best pair of coefficients sums to one in less than half of the cases, a case being a target and seed.

    Args:
        pairs: see `probing.load_pairs`.
    """
    claim = "The best pair of coefficients seldom sums to one (in less than half of the cases)"
    if pairs.empty:
        return Verdict(claim, "not run", note="run notebook 01 first")
    cases = pairs.groupby(["target", "partner", "seed"])
    best = pairs[pairs["score"] == cases["score"].transform("max")]
    of_best = np.isclose(best["omega_target"] + best["omega_partner"], 1.0)
    # Of equally good pairs one that sums to one decides, which is the hard reading of the claim.
    sums = pd.Series(of_best, best.index).groupby([best[name] for name in ("target", "partner", "seed")]).any()
    chance = np.isclose(pairs["omega_target"] + pairs["omega_partner"], 1.0).mean()
    interval = binomtest(int(sums.sum()), len(sums)).proportion_ci(LEVEL)
    holds = interval.high < 0.5
    reason = f"{'' if holds else UNDECIDED + '; ' if interval.low < 0.5 else OPPOSITE + '; '}{chance:.0%} by chance"
    several = pairs.groupby(["target", "partner"])["data"].transform("nunique") > 1
    note = _with_versions(reason, pairs["code"] + (" data " + pairs["data"]).where(several, ""))
    seeds, tasks = pairs["seed"].nunique(), pairs["target"].nunique()
    verdict = "holds" if holds else "does not"
    return Verdict(claim, verdict, sums.mean(), interval.low, interval.high, seeds, tasks, note)


def _with_versions(reason: str, made_by: pd.Series) -> str:
    """A note's reason, and what the results were made from where they were not all made from the same."""
    several = sorted(made_by.unique())
    mixed = [f"mixes versions: {', '.join(several)}"] if len(several) > 1 else []
    return "; ".join([reason] * bool(reason) + mixed)


def largest_published_loss() -> float:
    """Points that the paper's smaller variants lose to ScaLearn at most, over its benchmarks' averages."""
    averages = published().query("task == 'average'").pivot(index="benchmark", columns="method", values="score")
    return float((averages["scalearn"] - averages[list(VARIANTS)].min(axis=1)).max())
