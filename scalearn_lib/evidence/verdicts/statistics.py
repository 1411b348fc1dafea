"""Intervals, tests and what they need, for scores of a few seeds on a few tasks; knows nothing of results.

A *sample* is what one task tells about a difference: one array, of differences paired by seed, or two arrays, the
scores of the one thing and of the other, which nothing pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's distribution and its quantiles, quicker than scipy.stats.t
from scipy.stats import beta, norm

LEVEL = 0.95
"""Level of the intervals."""

ALPHA = (1 - LEVEL) / 2
"""Level of the one-sided tests; each end of an interval is one of them."""

POWER = 0.8
MOST_SEEDS = 100
"""Above that, the number of seeds that would decide is not worth telling."""

REPLICATES = 1000
"""Bootstrap replicates, of which only the standard deviation is used: it is then right to two percent."""

ROUNDING = 1e-9
"""An error (in points) that scores have by their last digits."""

Sample = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Effect:
    """The mean difference over tasks, and how well it is known.

    Args:
        value: the mean over tasks, each with equal weight.
        error: its standard error over seeds, on these tasks; 0 where no score varies with the seed.
        degrees: Satterthwaite's degrees of freedom of the error.
        low, high: interval over seeds, on these tasks.
        wide_low, wide_high: interval over tasks and seeds, on tasks like these; NaN for a single task.
        improvement: the chance that a run of the one scores above one of the other, averaged over tasks.
    """

    value: float
    error: float
    degrees: float
    low: float
    high: float
    wide_low: float = np.nan
    wide_high: float = np.nan
    improvement: float = np.nan

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the hypothesis that the true effect is at most `bound`; 1 without an error."""
        return float(stdtr(self.degrees, (bound - self.value) / self.error)) if self.error > 0 else 1.0

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the hypothesis that the true effect is at least `bound`; 1 without an error."""
        return float(stdtr(self.degrees, (self.value - bound) / self.error)) if self.error > 0 else 1.0


def effect_of(samples: Sequence[Sample], joint: bool = False, replicates: int = REPLICATES) -> Effect:
    """Return the effect over tasks.

    Args:
        samples: of each task, of at least two seeds.
        joint: whether the second arrays come from runs that have all tasks, in the same order: their errors are then
            not independent between tasks.
        replicates: of the bootstrap; 0 leaves the interval over tasks out.
    """
    arrays = [array for sample in samples for array in (sample[:1] if joint else sample)]
    if joint:
        arrays.append(np.sum([second for _, second in samples], axis=0))
    parts = [(array.var(ddof=1) / len(array), len(array) - 1) for array in arrays]
    variance = sum(part for part, _ in parts)
    value, error = _mean_difference(samples), float(np.sqrt(variance)) / len(samples)
    error = error if error > ROUNDING else 0.0
    degrees = variance**2 / sum(part**2 / free for part, free in parts) if error > 0 else np.nan
    half = float(stdtrit(degrees, 1 - ALPHA)) * error if error > 0 else 0.0
    wide = over_tasks(samples, joint, replicates) if replicates and len(samples) > 1 else (np.nan, np.nan)
    return Effect(value, error, degrees, value - half, value + half, *wide, improvement(samples))


def over_units(values: np.ndarray) -> Effect:
    """Return the mean of units (targets) that have one value each, with Student's interval over units as the wide one.

    The narrow one is the same: there are no seeds.
    """
    effect = effect_of([(values,)], replicates=0)
    return replace(effect, wide_low=effect.low, wide_high=effect.high)


def over_tasks(samples: Sequence[Sample], joint: bool = False, replicates: int = REPLICATES) -> tuple[float, float]:
    """Return the interval of the mean difference on tasks like these, of which there are at least two.

    Its ends lie Student's quantile of as many tasks from the mean, in standard errors of the hierarchical bootstrap.
    The bootstrap's percentiles hardly leave the range of the tasks' differences, and miss more often where few tasks
    differ (benchmarks/verdicts.py counts how often).
    """
    error = bootstrapped(samples, joint, replicates).std(ddof=1)
    half = float(stdtrit(len(samples) - 1, 1 - ALPHA) * error)
    value = _mean_difference(samples)
    return value - half, value + half


def bootstrapped(samples: Sequence[Sample], joint: bool = False, replicates: int = REPLICATES) -> np.ndarray:
    """Return mean differences of the hierarchical bootstrap: tasks are drawn with replacement, and seeds in each.

    By hand, because `scipy.stats.bootstrap` draws on one level only.
    """
    generator, count = np.random.default_rng(0), len(samples)
    draws = np.zeros((count, replicates, count))  # of each task, for each place in each replicate
    for number, sample in enumerate(samples):
        for sign, array in zip((1, -1), sample, strict=False):
            together = joint and sign < 0
            source = np.random.default_rng(1) if together else generator  # the same runs for all tasks
            picked = source.integers(len(array), size=(replicates, 1 if together else count, len(array)))
            draws[number] += sign * array[picked].mean(axis=-1)
    tasks = generator.integers(count, size=(1, replicates, count))
    return np.take_along_axis(draws, tasks, axis=0)[0].mean(axis=1)


def improvement(samples: Sequence[Sample]) -> float:
    """Return the share of runs, or of pairs of runs, in which the first scores higher (ties: half), mean over tasks."""
    differences = [sample[0] if len(sample) == 1 else np.subtract.outer(*sample) for sample in samples]
    return float(np.mean([(np.sign(each) / 2 + 0.5).mean() for each in differences]))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted by Holm's method: at most `ALPHA` of all true hypotheses is ever rejected by chance."""
    p, count = np.asarray(p_values, dtype=float), len(p_values)
    order = np.argsort(p)
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(count, 0, -1)))
    return adjusted


def number_needed(effect: Effect, distance: float, now: float, level: float) -> int | None:
    """Estimate how many seeds (or units) would show an effect at this distance from a bound, with 80 % power.

    Effect and spread are taken as estimated, which few seeds do badly.

    Args:
        effect: as estimated now.
        distance: between the estimate and the bound that a test is about.
        now: seeds per task now, on average.
        level: of the one-sided test.

    Returns:
        At least one more than now; `None` for more than `MOST_SEEDS`, or without an error to go by.
    """
    if not effect.error > 0:
        return None
    numbers = np.arange(int(now) + 1, MOST_SEEDS + 1)
    degrees = effect.degrees * (numbers - 1) / (now - 1)
    wanted = (stdtrit(degrees, 1 - level) + stdtrit(degrees, POWER)) * effect.error * np.sqrt(now / numbers)
    enough = numbers[abs(distance) >= wanted]
    return int(enough[0]) if len(enough) else None


def share_interval(successes: float, trials: int) -> tuple[float, float]:
    """Return Clopper and Pearson's interval of a share; successes need not be whole."""
    low = beta.ppf(ALPHA, successes, trials - successes + 1) if successes > 0 else 0.0
    high = beta.ppf(1 - ALPHA, successes + 1, trials - successes) if successes < trials else 1.0
    return float(low), float(high)


def units_needed(share: float, chance: float, level: float) -> int | None:
    """Estimate how many units would show a share to differ from chance, as `number_needed`; normal approximation."""
    spread = norm.isf(level) * np.sqrt(chance * (1 - chance)) + norm.ppf(POWER) * np.sqrt(share * (1 - share))
    number = np.inf if share == chance else np.ceil((spread / (share - chance)) ** 2)
    return int(number) if number <= MOST_SEEDS else None


def shuffled_shares(
    weights: Mapping[str, np.ndarray], marked: Mapping[str, np.ndarray], replicates: int = 19_999
) -> tuple[float, float]:
    """Return p-values (below, above) of the mean share of weight on marked cells, against chance.

    Under the hypothesis no cell of a unit is special, so its cells may be shuffled; all of a unit's cases are shuffled
    alike, and what depends within it stays so.

    Args:
        weights: by unit, how much of its cases chose each cell; each sums to one.
        marked: by unit, whether a cell is marked.
    """
    generator = np.random.default_rng(0)
    observed = np.mean([weights[unit][marked[unit]].sum() for unit in weights])
    null = np.zeros(replicates)
    for unit, weight in weights.items():
        places = generator.permuted(np.tile(marked[unit], (replicates, 1)), axis=1)
        null += places @ weight / len(weights)
    tolerance = 1e-9
    below = (1 + (null <= observed + tolerance).sum()) / (replicates + 1)
    above = (1 + (null >= observed - tolerance).sum()) / (replicates + 1)
    return float(below), float(above)


def _mean_difference(samples: Sequence[Sample]) -> float:
    return float(np.mean([sample[0].mean() - (sample[1].mean() if len(sample) == 2 else 0.0) for sample in samples]))
