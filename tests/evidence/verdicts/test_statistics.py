"""Intervals and tests against SciPy's, and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from scalearn_lib.evidence.verdicts.statistics import (
    ALPHA,
    Effect,
    effect_of,
    holm,
    improvement,
    number_needed,
    over_tasks,
    over_units,
    share_interval,
    shuffled_shares,
    units_needed,
)

FIRST, SECOND = np.array([3.0, 5.0, 4.5]), np.array([1.0, 2.5, 2.0, 4.0, 2.2])


def test_one_task_unpaired_is_welch() -> None:
    effect, theirs = effect_of([(FIRST, SECOND)]), ttest_ind(FIRST, SECOND, equal_var=False)
    assert (effect.low, effect.high) == pytest.approx(theirs.confidence_interval())
    assert effect.degrees == pytest.approx(theirs.df)
    assert 2 * effect.p_above(0) == pytest.approx(theirs.pvalue)
    assert effect.p_below(0) == pytest.approx(1 - effect.p_above(0))
    assert np.isnan([effect.wide_low, effect.wide_high]).all()  # one task says nothing about others


def test_one_task_paired_is_students() -> None:
    effect, theirs = effect_of([(SECOND,)]), ttest_1samp(SECOND, 0)
    assert (effect.low, effect.high) == pytest.approx(theirs.confidence_interval())
    assert effect.p_above(0) == pytest.approx(theirs.pvalue / 2)


def test_tasks_have_equal_weight_and_their_own_spread() -> None:
    # Means 2 and 0 of tasks with 2 and 4 seeds; variances of the means 1 and 0.25, so that of their mean is 1.25 / 4.
    samples = [(np.array([1.0, 3.0]),), (np.array([0.0, 0.0, np.sqrt(1.5), -np.sqrt(1.5)]),)]
    effect = effect_of(samples)
    assert (effect.value, effect.error) == (1.0, pytest.approx(np.sqrt(1.25) / 2))
    assert effect.degrees == pytest.approx(1.25**2 / (1 / 1 + 0.25**2 / 3))


def test_two_seeds_give_a_wide_interval() -> None:
    two, five = (effect_of([(np.tile([1.0, 2.0], 3)[:n],)]) for n in (2, 5))
    assert two.low < -4 and two.high > 7 and five.low > 0


def test_without_variance_there_is_a_point_and_no_test() -> None:
    effect = effect_of([(np.array([2.0, 2.0]), np.array([1.0, 1.0]))] * 3)
    assert (effect.low, effect.value, effect.high) == (1.0, 1.0, 1.0)
    assert effect.p_above(0) == effect.p_below(0) == 1.0
    assert number_needed(effect, 1.0, 2, ALPHA) is None
    rounded = effect_of([(100 * (np.array([0.7, 0.8, 1.1]) - np.array([0.6, 0.7, 1.0])),)])
    assert rounded.error == 0 and rounded.value == pytest.approx(10)


def test_one_task_without_variance_among_others_is_no_harm() -> None:
    effect = effect_of([(np.array([2.0, 2.0]),), (np.array([1.0, 3.0]),)])
    assert effect.error == pytest.approx(0.5) and effect.degrees == pytest.approx(1)


def test_errors_of_joint_runs_are_not_independent() -> None:
    seconds = np.array([0.0, 1.0, 2.0])
    alike = [(np.array([5.0, 5.0, 5.0]), seconds)] * 4  # a good run is good on all four tasks
    opposed = [(np.array([5.0, 5.0, 5.0]), sign * seconds) for sign in (1, -1)]
    assert effect_of(alike, joint=True).error == pytest.approx(1 / np.sqrt(3))
    assert effect_of(alike).error == pytest.approx(1 / np.sqrt(3) / 2)
    assert effect_of(opposed, joint=True).error == 0
    wide, narrow = (np.subtract(*over_tasks(alike, joint)[::-1]) for joint in (True, False))
    assert wide > 1.5 * narrow


def test_over_tasks_is_students_over_tasks_where_seeds_agree() -> None:
    # Without noise of seeds the bootstrap's error is that of the mean, but for the factor √((n-1)/n).
    differences = np.array([1.0, 2.0, 4.0, 0.0, 3.0])
    low, high = over_tasks([(np.array([d, d]),) for d in differences], replicates=20_000)
    half = (ttest_1samp(differences, 0).confidence_interval().high - 2) * np.sqrt(4 / 5)
    assert (low, high) == pytest.approx((2 - half, 2 + half), rel=0.03)


def test_over_units_is_students() -> None:
    effect = over_units(FIRST)
    assert (effect.low, effect.high) == pytest.approx(ttest_1samp(FIRST, 0).confidence_interval())
    assert (effect.wide_low, effect.wide_high) == (effect.low, effect.high)


def test_probability_of_improvement() -> None:
    unpaired = (np.array([1.0, 3.0]), np.array([0.0, 2.0, 3.0]))  # above in 1 of 3, and 2 of 3 and one tie
    assert improvement([unpaired]) == pytest.approx((1 + 2.5) / 6)
    assert improvement([unpaired, (np.array([1.0, -1.0, 0.0, 2.0]),)]) == pytest.approx((3.5 / 6 + 2.5 / 4) / 2)


def test_holm() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1]) and len(holm([])) == 0


def test_seeds_needed_give_the_power_that_they_promise() -> None:
    generator = np.random.default_rng(0)
    effect = Effect(1.0, np.sqrt(2 / 3), 4.0, 0, 0)  # difference of two methods with unit noise, three seeds each
    needed = number_needed(effect, 1.0, 3, ALPHA)
    shown = [
        effect_of([(generator.normal(1, 1, needed), generator.normal(0, 1, needed))], replicates=0).low > 0
        for _ in range(1500)
    ]
    assert 15 <= needed <= 20 and 0.76 < np.mean(shown) < 0.85
    assert number_needed(effect, 0.1, 3, ALPHA) is None
    assert number_needed(effect, 30.0, 3, ALPHA) == 4


def test_shares() -> None:
    low, high = share_interval(0, 9)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 9)))
    assert share_interval(9, 9)[1] == 1 and share_interval(4.5, 9)[0] > 0.1
    assert units_needed(0.0, 0.5, 0.025) == 4 and units_needed(0.5, 0.5, 0.025) is None


def test_a_share_that_chance_explains_and_one_that_it_does_not() -> None:
    marked = {str(n): np.arange(10) == 0 for n in range(12)}
    never = {unit: np.eye(10)[5] for unit in marked}  # chance: 0.9 ** 12
    below, above = shuffled_shares(never, marked)
    assert below == pytest.approx(0.9**12, abs=0.015) and above == 1
    assert shuffled_shares({unit: np.eye(10)[0] for unit in marked}, marked)[1] < 0.001
    assert shuffled_shares({"a": never["0"]}, {"a": marked["0"]})[0] == pytest.approx(0.9, abs=0.01)
