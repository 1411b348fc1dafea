"""From an effect to a verdict: the kinds of claims that docs/claims.md has, and Holm's correction over a family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .claim import FAILS, HOLDS, UNDECIDED
from .statistics import ALPHA, Effect, Sample, effect_of, holm, number_needed, units_needed

BUT_FOR_OTHERS = "its own test alone would decide"
"""How the note begins on what is undecided only because it is one of several claims."""


@dataclass(frozen=True)
class Weighed:
    """What a claim's kind makes of its effect.

    Args:
        p_holds, p_fails: p-values of the hypotheses that the claim is false, and that it is true.
        shown: what is seen where it holds, or where it fails; a few words, or "".
        needed: estimates from the level that remains how many seeds (or units) would decide.
        lacks: what would decide instead of seeds, in words; or "".
    """

    p_holds: float
    p_fails: float
    shown: tuple[str, str]
    needed: Callable[[float], int | None]
    lacks: str = ""


@dataclass(frozen=True)
class Decision:
    """A verdict: one of `VERDICTS`, the p-value (Holm's) of what was decided or came nearest, why, and seeds needed."""

    verdict: str
    p: float
    why: str
    needed: int | None


def above(effect: Effect, gain: float, now: float) -> Weighed:
    """Whether an effect is above 0; it is not where a gain of `gain` points is ruled out.

    Args:
        effect: the effect.
        gain: the smallest that matters.
        now: seeds per task, or units, that it rests on.
    """
    small = f"a gain of {gain:g} points is ruled out" if effect.p_below(gain) <= ALPHA else ""
    distance = max(effect.value, gain - effect.value)
    return Weighed(
        effect.p_above(0),
        effect.p_below(gain),
        (small, "a loss is shown" if effect.p_below(0) <= ALPHA else small),
        lambda level: number_needed(effect, distance, now, level),
    )


def within(effect: Effect, margin: float, now: float) -> Weighed:
    """Whether an effect lies within `margin` points of 0, by two one-sided tests; it does not where it lies outside."""
    sides = (effect.p_below(-margin), effect.p_above(margin))
    side = "a loss of more than the margin" if sides[0] < sides[1] else "a gain of more than the margin"
    outside = abs(effect.value) > margin
    return Weighed(
        max(effect.p_above(-margin), effect.p_below(margin)),
        min(1.0, 2 * min(sides)),
        ("", side),
        lambda level: number_needed(effect, abs(abs(effect.value) - margin), now, level / 2 if outside else level),
    )


def never_below(samples: Sequence[Sample], margin: float, now: float) -> tuple[Weighed, int]:
    """Whether no task has a loss of `margin` points, and the number of the task with the largest one.

    It holds if each task's own test says so, and fails if one shows a larger loss, corrected for their number.
    """
    effects = [effect_of([sample], replicates=0) for sample in samples]
    doubts = [effect.p_above(-margin) for effect in effects]
    worst = int(np.argmin([effect.value for effect in effects]))
    of_doubt = effects[int(np.argmax(doubts))]
    test = Weighed(
        max(doubts),
        min(1.0, len(effects) * min(effect.p_below(-margin) for effect in effects)),
        ("", "a larger loss is shown"),
        lambda level: number_needed(
            of_doubt, of_doubt.value + margin, now, level if of_doubt.value > -margin else level / len(effects)
        ),
    )
    return test, worst


def below_chance(p_below: float, p_above: float, share: float, chance: float) -> Weighed:
    """Whether a share is smaller than chance; it is not where it is larger."""
    return Weighed(
        p_below, p_above, ("", "more often than by chance"), lambda level: units_needed(share, chance, level)
    )


def without_more_steps(test: Weighed, method: bool, other: bool) -> Weighed:
    """Take from a test what more steps might undo, where the one method or the other was stopped too early.

    Its scores are lower bounds, so nothing is shown by the other's being higher. It still counts in its family.
    """
    p_holds, p_fails = (1.0 if other else test.p_holds), (1.0 if method else test.p_fails)
    return replace(test, p_holds=p_holds, p_fails=p_fails, lacks="more steps")


def decide(tests: Sequence[Weighed]) -> list[Decision]:
    """Return the decisions on a family of claims.

    Holm's correction is for "holds" and for "does not hold" apart, so a wrong verdict anywhere has a chance of at most
    twice `ALPHA`.
    """
    holds, fails = (holm([getattr(test, which) for test in tests]) for which in ("p_holds", "p_fails"))
    level = ALPHA / max(1, *(int((p > ALPHA).sum()) for p in (holds, fails)))  # of both directions the stricter
    return [_decision(*each, level, len(tests)) for each in zip(tests, holds, fails, strict=True)]


def _decision(test: Weighed, holds: float, fails: float, level: float, family: int) -> Decision:
    if holds <= ALPHA:
        return Decision(HOLDS, float(holds), test.shown[0], None)
    if fails <= ALPHA:
        return Decision(FAILS, float(fails), test.shown[1], None)
    alone = min(test.p_holds, test.p_fails) <= ALPHA
    why = f"{BUT_FOR_OTHERS}, corrected for {family} claims it does not" if alone else ""
    return Decision(UNDECIDED, float(min(holds, fails)), why, test.needed(level))
