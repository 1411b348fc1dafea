"""What stored results tell about the claims that go beyond the paper, task by task."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from ...tasks import get_suite
from .claim import Claim
from .samples import Samples, paired_samples, rows_of_k, samples_between

OWN_RATES = (0.002, 0.02)
"""Learning rates of ω that are tried beside the common one."""


def beyond_samples(claim: Claim, results: pd.DataFrame, pruned: pd.DataFrame) -> Samples:
    """Return the samples of a claim beyond the paper that is about more than the plain runs of two methods.

    Args:
        claim: its `about` is a key of this module's table.
        results: as `suite_results` returns them, of one setting.
        pruned: as `load_pruned` returns them.
    """
    of_k = (rows_of_k(frame, claim.k) for frame in (results, pruned))
    runs, fewer = (frame[frame["method"].isin([claim.method, claim.other])] for frame in of_k)
    return SAMPLES[claim.about](claim, runs, fewer)


def _own_rate(claim: Claim, runs: pd.DataFrame, _: pd.DataFrame) -> Samples:
    """The rate with the best mean validation score against the common one; only tasks on which all were tried."""
    rates = [None, *OWN_RATES]
    settings = [json.loads(text) for text in runs["overrides"]]
    alone = [set(of) <= {"transfer_learning_rate"} and of.get("transfer_learning_rate") in rates for of in settings]
    runs = runs.assign(rate=[of.get("transfer_learning_rate", 0.0) for of in settings])[np.array(alone, dtype=bool)]
    tried = runs.groupby("task")["rate"].transform("nunique") == len(rates)
    runs = runs[tried]
    means = runs.groupby(["task", "rate"])["validation"].mean()
    best = {task: means[task].idxmax() for task in means.index.unique("task")}
    chosen = runs[runs["rate"] == runs["task"].map(best)]
    return samples_between(chosen, runs[runs["rate"] == 0.0], "runs at each learning rate", paired=True)


def _with_random(claim: Claim, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with as many random sources as the claim says, and no other override."""
    return runs[runs["overrides"] == json.dumps({"random_sources": claim.number})]


def _random_sources(claim: Claim, runs: pd.DataFrame, _: pd.DataFrame) -> Samples:
    """A method with random sources against the other, or itself: without them, or (`with random sources`) with them."""
    with_them = _with_random(claim, runs)
    added = with_them[with_them["method"] == claim.method]
    without = with_them if claim.about == "with random sources" else runs[runs["overrides"] == "{}"]
    against = without[without["method"] == claim.other]
    return samples_between(added, against, "runs with random sources", paired=True)


def _ignored(claim: Claim, runs: pd.DataFrame, _: pd.DataFrame) -> Samples:
    """How far a random source's mean share is below half of another source's, in percent of that."""
    runs = _with_random(claim, runs)
    trained = [
        (len(names.split()) or len(get_suite(suite).tasks)) + len(adapters.split())
        for suite, names, adapters in zip(runs["suite"], runs["source_tasks"], runs["adapters"], strict=True)
    ]
    ratio = (runs["random_share"] / claim.number) / ((1 - runs["random_share"]) / np.array(trained, dtype=float))
    return paired_samples(runs.assign(value=50 - 100 * ratio), "runs with random sources that tell shares")


def _entropy(claim: Claim, runs: pd.DataFrame, _: pd.DataFrame) -> Samples:
    """How far the last entropy is above half of the first, in percent of the first."""
    runs = runs[runs["overrides"] == "{}"]
    return paired_samples(runs.assign(value=100 * runs["entropy_left"] - 50), "runs that tell entropies")


def _pruned(claim: Claim, _: pd.DataFrame, pruned: pd.DataFrame) -> Samples:
    repaired = claim.about == "repaired"
    fewer = pruned[(pruned["kept"] == claim.number) & (pruned["repaired"] == repaired)]
    everything = pruned[pruned["kept"] == pruned["of"]]
    return samples_between(fewer, everything[~everything["repaired"]], "runs that were pruned", paired=True)


SAMPLES = {
    "own rate": _own_rate,
    "random sources": _random_sources,
    "with random sources": _random_sources,
    "ignored": _ignored,
    "kept": _pruned,
    "repaired": _pruned,
    "entropy": _entropy,
}
