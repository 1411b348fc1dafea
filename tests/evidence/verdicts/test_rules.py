"""Each kind of claim holds, does not hold and stays undecided where docs/claims.md says so."""

from __future__ import annotations

import numpy as np
import pytest

from scalearn_lib.evidence.verdicts.rules import (
    FAILS,
    HOLDS,
    UNDECIDED,
    above,
    below_chance,
    decide,
    never_below,
    within,
)
from scalearn_lib.evidence.verdicts.statistics import Effect, Sample, effect_of


def effect(value: float, error: float) -> Effect:
    """An effect with many degrees of freedom: its interval is ± 1.96 errors."""
    return Effect(value, error, 1e6, value - 1.96 * error, value + 1.96 * error)


def verdict(test) -> str:
    return decide([test])[0].verdict


@pytest.mark.parametrize(
    ("value", "error", "wanted", "why"),
    [
        (1.0, 0.4, HOLDS, ""),
        (1.0, 0.6, UNDECIDED, ""),
        (0.3, 0.05, HOLDS, "a gain of 0.5 points is ruled out"),  # above, but by too little to matter
        (0.0, 0.2, FAILS, "a gain of 0.5 points is ruled out"),
        (0.0, 0.3, UNDECIDED, ""),
        (-1.0, 0.4, FAILS, "a loss is shown"),
        (0.5, 0.0, UNDECIDED, ""),
    ],
)
def test_above(value: float, error: float, wanted: str, why: str) -> None:
    decision = decide([above(effect(value, error), 0.5, 3)])[0]
    assert (decision.verdict, decision.why) == (wanted, why)


@pytest.mark.parametrize(
    ("value", "error", "wanted", "why"),
    [
        (0.0, 0.4, HOLDS, ""),
        (0.0, 0.6, UNDECIDED, ""),
        (-0.9, 0.02, HOLDS, ""),
        (-2.0, 0.4, FAILS, "a loss of more than the margin"),
        (-2.0, 0.48, UNDECIDED, "its interval"),  # each side has half the level
        (2.0, 0.4, FAILS, "a gain of more than the margin"),
    ],
)
def test_within(value: float, error: float, wanted: str, why: str) -> None:
    decision = decide([within(effect(value, error), 1.0, 3)])[0]
    assert decision.verdict == wanted and (decision.why == why or wanted == UNDECIDED)


def test_equivalence_is_the_interval_of_ninety_five_percent() -> None:
    """Two one-sided tests at 2.5 % say the same as the 95 % interval within the margins."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        found = effect_of([(generator.normal(0, 1, 4), generator.normal(0, 1, 4))], replicates=0)
        assert (verdict(within(found, 2.0, 4)) == HOLDS) == (-2 < found.low and found.high < 2)


def task(mean: float, spread: float = 0.1) -> Sample:
    return (mean + spread * np.array([-1.0, 0.0, 1.0]),)


def test_never_below_needs_every_task_and_fails_by_one() -> None:
    test, worst = never_below([task(3.0), task(0.0), task(1.0)], 1.0, 3)
    assert (verdict(test), worst) == (HOLDS, 1)
    test, worst = never_below([task(3.0), task(0.0), task(1.0, 5.0)], 1.0, 3)
    assert (verdict(test), worst) == (UNDECIDED, 1)  # the third may be far below
    assert verdict(never_below([task(3.0), task(-2.5), task(1.0, 5.0)], 1.0, 3)[0]) == FAILS
    assert verdict(never_below([task(3.0)] * 30 + [task(-1.3)], 1.0, 3)[0]) == UNDECIDED  # one of 31 by chance


def test_a_share_is_tested_both_ways() -> None:
    assert verdict(below_chance(0.001, 1.0, 0.0, 0.14)) == HOLDS
    assert verdict(below_chance(1.0, 0.001, 0.9, 0.14)) == FAILS
    assert verdict(below_chance(0.25, 1.0, 0.0, 0.14)) == UNDECIDED


def test_holm_counts_the_family() -> None:
    one = above(effect(2.5, 1.0), 0.5, 3)  # p = 0.006
    assert verdict(one) == HOLDS
    ten = decide([one] + [above(effect(0.25, 1.0), 0.5, 3)] * 9)
    assert ten[0].verdict == UNDECIDED and ten[0].why.startswith("its own test alone would decide, corrected for 10")
    assert ten[0].p == pytest.approx(10 * one.p_holds)
    clear = decide([one] + [above(effect(9.0, 1.0), 0.5, 3)] * 9)
    assert [decision.verdict for decision in clear] == [HOLDS] * 10  # step-down: the last has the whole level


def test_seeds_that_would_decide() -> None:
    near, far = (decide([above(effect(value, 1.0), 0.5, 3)])[0].needed for value in (1.5, 0.25))
    assert 10 <= near <= 12 and far is None  # (2.8 / 1.5)² · 3
    assert decide([above(effect(9.0, 1.0), 0.5, 3)])[0].needed is None  # decided
    family = decide([above(effect(1.5, 1.0), 0.5, 3)] * 20)
    assert family[0].needed > near
    # What failed still counts among what might hold, and the other way round: Holm's correction is for each apart.
    failed = decide([above(effect(1.5, 1.0), 0.5, 3)] + [above(effect(-9.0, 1.0), 0.5, 3)] * 19)
    assert failed[0].verdict == UNDECIDED and failed[0].needed == family[0].needed
