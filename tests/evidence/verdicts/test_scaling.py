"""What probes of pairs tell: choices on validation, readings on test, targets as units."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest

from scalearn_lib.evidence.verdicts.scaling import gains, sums_to_one

GRID = (0.0, 0.5, 1.0)
Surface = Callable[[float, float], float]


def probes(target: str, partner: str, validation: Surface, score: Surface, heads: int = 2) -> pd.DataFrame:
    rows = [(a, b, seed, validation(a, b), score(a, b)) for a, b in product(GRID, GRID) for seed in range(heads)]
    frame = pd.DataFrame(rows, columns=["omega_target", "omega_partner", "seed", "validation", "score"])
    return frame.assign(target=target, partner=partner)


def peak(a: float, b: float, by: float = 0.1) -> Surface:
    return lambda x, y: 0.5 + by * ((x, y) == (a, b))


def test_choices_are_made_on_validation_and_read_on_test() -> None:
    pairs = probes("t", "p", peak(1.0, 0.5), lambda x, y: {(1.0, 0.5): 0.7, (0.5, 0.5): 0.6}.get((x, y), 0.5))
    assert gains(pairs, "pair")["t"] == pytest.approx(20)  # alone, all settings tie at 0.5
    assert gains(pairs, "free")["t"] == pytest.approx(100 * (0.7 - (0.6 + 0.5 + 0.5) / 3))  # three that sum to one tie
    misled = probes("t", "p", peak(0.5, 0.5), peak(1.0, 0.5))
    assert gains(misled, "pair")["t"] == pytest.approx(0)  # the best on test was not chosen


def test_the_target_alone_counts_once() -> None:
    own = probes("t", "p", peak(0.5, 0.0), peak(0.5, 0.0))  # the own adapter gains 10 points at one half
    assert gains(own, "omega")["t"] == pytest.approx((10 + 0) / 2)
    assert gains(pd.concat([own, own.assign(partner="q")]), "omega")["t"] == pytest.approx((10 + 0 + 0) / 3)


def test_targets_are_units() -> None:
    pairs = pd.concat(
        [probes("t", p, peak(0.5, 1.0), peak(0.5, 1.0)) for p in "pqr"] + [probes("u", "p", *[peak(1, 0)] * 2)]
    )
    found = gains(pairs, "free")
    assert list(found.index) == ["t", "u"] and found["t"] == pytest.approx(10) and found["u"] == pytest.approx(0)
    weights, marked = sums_to_one(pairs)
    assert [weights[target][marked[target]].sum() for target in "tu"] == [0, 1]
    assert marked["t"].sum() == 3


def test_ties_count_by_their_share() -> None:
    weights, marked = sums_to_one(probes("t", "p", lambda x, y: 0.5, lambda x, y: 0.5))
    assert weights["t"][marked["t"]].sum() == pytest.approx(3 / 9)


def test_without_validation_there_is_nothing() -> None:
    pairs = probes("t", "p", peak(1, 1), peak(1, 1)).assign(validation=np.nan)
    assert gains(pairs, "pair").empty and sums_to_one(pairs) == ({}, {})
