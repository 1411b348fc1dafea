"""A verdict on each of the paper's claims from stored results, by the rules of docs/claims.md."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...probing.pruning_store import load_pruned
from ...probing.store import load_pairs
from ..equal_budgets import EQUAL_PATIENCE, FEW_STEPS, at_chosen_rates
from ..tables import suite_results, versions, with_source_tasks
from .beyond import SAMPLES, beyond_samples
from .claim import FAILS, HALVES, HOLDS, NOT_RUN, PERCENT, UNDECIDED, Claim, title_of
from .claim_list import claims_about
from .rules import Weighed, above, below_chance, decide, never_below, within, without_more_steps
from .samples import Samples, cut_short, rows_of_k, samples_between, samples_of, trained_parameters
from .scaling import gains, sums_to_one
from .statistics import MOST_SEEDS, Effect, effect_of, over_units, share_interval, shuffled_shares


@dataclass(frozen=True)
class Verdict:
    """What stored results say about a claim.

    Args:
        name, family, claim, k: the claim's, see `Claim`; `k` is NaN for all examples.
        verdict: "holds", "does not hold", "undecided" or "not run".
        predicted: the verdict that was expected, or "open".
        effect, low, high: the estimate and its 95 % interval over seeds, on these tasks; of the claims about probes
            over targets. Intervals are not corrected for the number of claims, verdicts are.
        wide_low, wide_high: 95 % interval over tasks and seeds, on tasks like these.
        unit: of these, "points" (score times 100) as a rule.
        margin: of a claim that a method keeps within so many points, the number; else 0.
        improvement: the chance that a run of the first method scores above one of the second.
        seeds: how many each method has on a task, such as "3" or "3-5".
        tasks: how many tasks, or targets.
        p: Holm's adjusted p-value of the verdict; where undecided, of the one that is nearer.
        needed: estimate of the seeds per task that would decide what is undecided, such as "8 seeds".
        note: why, in a few words; tasks left out; versions of code and data, if several.
    """

    name: str
    family: str
    claim: str
    k: float = np.nan
    verdict: str = NOT_RUN
    predicted: str = HOLDS
    effect: float = np.nan
    low: float = np.nan
    high: float = np.nan
    wide_low: float = np.nan
    wide_high: float = np.nan
    unit: str = ""
    margin: float = 0.0
    improvement: float = np.nan
    seeds: str = ""
    tasks: int = 0
    p: float = np.nan
    needed: str = ""
    note: str = ""


COLUMNS = list(Verdict.__dataclass_fields__)


@dataclass(frozen=True)
class _Case:
    """A claim's verdict but for what depends on the others, and its test, if it has one."""

    verdict: Verdict
    test: Weighed | None = None
    notes: list[str] = field(default_factory=list)


def claims(output: Path, suite: str, encoder: str, budget: str, source_tasks: str = "") -> pd.DataFrame:
    """Return one row per claim, with the fields of `Verdict`, in the order of docs/claims.md.

    Args:
        output: the folder of results.
        suite, encoder, budget: which results.
        source_tasks: the source tasks of the two-stage methods, separated by blanks; empty for all of the suite.
    """
    results = suite_results(output, suite, encoder=encoder, budget=budget, sampling="resampled")
    results = with_source_tasks(results, source_tasks)
    results["version"] = versions(results)
    pairs = load_pairs(output, suite, encoder, budget)
    pruned = with_source_tasks(load_pruned(output, suite, encoder, budget), source_tasks)
    pruned = pruned[pruned["sampling"] == "resampled"].assign(version=lambda rows: rows["code"])
    found = [_case(claim, results, pairs, pruned) for claim in claims_about(suite)]
    rows = [case.verdict for case in found]
    for family in {case.verdict.family for case in found}:
        tested = [number for number, case in enumerate(found) if case.verdict.family == family and case.test]
        for number, decision in zip(tested, decide([found[number].test for number in tested]), strict=True):
            unit = "targets" if rows[number].seeds == "" else "seeds"
            lacking = found[number].test.lacks or f"{decision.needed or f'more than {MOST_SEEDS}'} {unit}"
            varies = rows[number].low < rows[number].high  # else no number of them would
            needed = lacking if decision.verdict == UNDECIDED and varies else ""
            note = "; ".join(text for text in (decision.why, *found[number].notes) if text)
            decided = {"verdict": decision.verdict, "p": decision.p, "needed": needed, "note": note}
            rows[number] = replace(rows[number], **decided)
    return pd.DataFrame([asdict(row) for row in rows], columns=COLUMNS)


def _case(claim: Claim, results: pd.DataFrame, pairs: pd.DataFrame, pruned: pd.DataFrame) -> _Case:
    if claim.about in SAMPLES:
        return _of_runs(claim, beyond_samples(claim, results, pruned))
    if claim.about in ("omega", "pair", "free"):
        return _of_gains(claim, pairs)
    if claim.about == "sum":
        return _of_share(claim, pairs)
    if claim.about == "equal patience":
        return _of_longer(claim, results)
    if claim.about == "equal budgets":
        results = at_chosen_rates(rows_of_k(results, None))
    else:
        results = rows_of_k(results[results["overrides"] == "{}"], claim.k)
    results = results[results["method"].isin([claim.method, claim.other])]
    if claim.about == "heads":
        return _of_parameters(claim, results)
    samples = samples_of(results, claim.method, claim.other, paired=claim.k is not None)
    return _of_runs(claim, samples, cut_short(results, claim.method, claim.other))


def _verdict(claim: Claim, effect: Effect | None = None, /, **more: object) -> Verdict:
    unit = PERCENT if claim.about in HALVES else "points"
    shown = {} if effect is None else {"effect": effect.value, "unit": unit}
    names = ("low", "high", "wide_low", "wide_high", "improvement")
    shown |= {} if effect is None else {name: getattr(effect, name) for name in names}
    of_claim = {"predicted": claim.predicted, "margin": claim.bound if claim.kind == "within" else 0.0}
    return Verdict(claim.name, claim.family, claim.title, float(claim.k or np.nan), **of_claim | shown | more)


def _of_runs(claim: Claim, samples: Samples, stopped: str = "") -> _Case:
    """A claim about runs of two methods, of which one may have been stopped too early."""
    if samples.missing:
        return _Case(_verdict(claim, note=samples.missing))
    seeds = samples.seeds()
    few, many, now = min(seeds), max(seeds), float(np.mean(seeds))
    count = {"seeds": str(few) if few == many else f"{few}-{many}", "tasks": len(samples.by_task)}
    notes = mixed(samples.versions)
    if samples.left_out:
        notes = [f"left out, with one seed: {', '.join(samples.left_out)}", *notes]
    by_task = list(samples.by_task.values())
    effect = effect_of(by_task, samples.joint)
    if claim.kind == "never below":
        test, worst = never_below(by_task, claim.bound, now)
        effects = [effect_of([sample], replicates=0) for sample in by_task]
        gain, loss = sum(each.low > 0 for each in effects), sum(each.high < 0 for each in effects)
        told = f"lowest on {list(samples.by_task)[worst]}; gain shown on {gain}, loss on {loss} of {len(effects)} tasks"
        effect, notes = effects[worst], [told, *notes]
    else:
        test = {"above": above, "within": within}[claim.kind](effect, claim.bound, now)
    if claim.about in HALVES:
        test = replace(test, shown=("", "it ends on the other side of the half"))
    if stopped:
        either = claim.kind == "within"
        test = without_more_steps(test, either or stopped == claim.method, either or stopped == claim.other)
        notes = [f"{title_of(stopped)} was stopped too early", *notes]
    if effect.error == 0:
        notes = ["scores do not vary with the seed", *notes]
    return _Case(_verdict(claim, effect, **count), test, notes)


def _of_longer(claim: Claim, results: pd.DataFrame) -> _Case:
    """A claim about runs with more patience: of stage 2 on all examples, of both methods on a few."""
    results = rows_of_k(results, claim.k)
    limits = json.dumps(EQUAL_PATIENCE if claim.k is None else FEW_STEPS, sort_keys=True)
    longer = results[results["overrides"] == limits]
    others = results[results["overrides"] == "{}"] if claim.k is None else longer
    first, second = longer[longer["method"] == claim.method], others[others["method"] == claim.other]
    paired = claim.k is not None or claim.method == claim.other
    both = pd.concat([first, second])
    stopped = cut_short(both, claim.method, claim.other) if claim.method != claim.other else ""
    return _of_runs(claim, samples_between(first, second, "runs with equal patience", paired=paired), stopped)


def _of_parameters(claim: Claim, results: pd.DataFrame) -> _Case:
    """A count, which needs no test."""
    percent = trained_parameters(results, claim.method, claim.other)
    if percent.empty:
        return _Case(_verdict(claim, note="no results of both methods on a task"))
    held = HOLDS if percent.max() <= claim.bound else FAILS
    ends = {"low": percent.min(), "high": percent.max(), "unit": "% of its parameters"}
    return _Case(
        _verdict(
            claim, verdict=held, effect=percent.mean(), tasks=len(percent), note="counted: range over tasks", **ends
        )
    )


def _of_gains(claim: Claim, pairs: pd.DataFrame) -> _Case:
    """A claim about a gain that choosing ω brings."""
    by_target = gains(pairs, claim.about)
    if len(by_target) < 2:
        return _Case(_verdict(claim, note=_too_few(pairs, len(by_target))))
    effect = over_units(by_target.to_numpy())
    test = above(effect, claim.bound, len(by_target))
    notes = mixed(made_by(pairs)) + (["targets do not differ"] if effect.error == 0 else [])
    return _Case(_verdict(claim, effect, tasks=len(by_target)), test, notes)


def _of_share(claim: Claim, pairs: pd.DataFrame) -> _Case:
    """The claim about how often the best pair sums to one."""
    weights, marked = sums_to_one(pairs)
    if len(weights) < 2:
        return _Case(_verdict(claim, note=_too_few(pairs, len(weights))))
    shares = [weights[target][marked[target]].sum() for target in weights]
    share, chance = float(np.mean(shares)), float(np.mean([marked[target].mean() for target in weights]))
    low, high = share_interval(sum(shares), len(shares))
    test = below_chance(*shuffled_shares(weights, marked), share, chance)
    ends = {"low": 100 * low, "high": 100 * high, "unit": "% of cases"}
    ends |= {"wide_low": 100 * low, "wide_high": 100 * high}
    notes = [f"{chance:.0%} by chance", *mixed(made_by(pairs))]
    return _Case(_verdict(claim, effect=100 * share, tasks=len(shares), **ends), test, notes)


def _too_few(pairs: pd.DataFrame, targets: int) -> str:
    if pairs.empty:
        return "no probes of pairs (notebook 01)"
    return "needs two targets" if targets else "stored probes lack validation scores or settings: probe again"


def made_by(pairs: pd.DataFrame) -> pd.Series:
    """What each probe was made by, and from which data where those of a target and partner differ."""
    several = pairs.groupby(["target", "partner"])["data"].transform("nunique") > 1
    return pairs["code"] + (" data " + pairs["data"]).where(several, "")


def mixed(versions: Collection[str]) -> list[str]:
    """A line with the number of versions that results were made from, if there are several."""
    count = len(set(versions))
    return [f"made by {count} versions of code or data"] if count > 1 else []
