"""What stored probes of pairs tell: how much choosing ω gains, and how often the best pair sums to one.

Every choice is made on validation and read on test, both averaged over heads, so that a choice among more settings has
no advantage by their number. A case is a target and a partner; a target's cases are averaged, for they share its
examples and its own adapter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

OWN, OTHER = "omega_target", "omega_partner"


def cases(pairs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield target, partner and their settings (`omega_target`, `omega_partner`, `validation`, `score`, in points).

    Heads whose outputs are not finite, and whose scores therefore are NaN, are left out.

    Args:
        pairs: see `probing.load_pairs`.
    """
    whole = pairs.dropna(subset=["validation"])
    for (target, partner), case in whole.groupby(["target", "partner"], sort=False):
        yield target, partner, 100 * _settings(case)


def gains(pairs: pd.DataFrame, about: str) -> pd.Series:
    """Return the gain on test by target, in points.

    Args:
        pairs: see `probing.load_pairs`.
        about: "omega": the best ω of one adapter alone over ω = 1; "pair": the best pair over the best of the two
            adapters alone; "free": the best pair over the best that sums to one.
    """
    found: dict[str, list[float]] = {}
    for target, _, settings in cases(pairs):
        own, other = (settings.index.get_level_values(name) for name in (OWN, OTHER))
        alone = {OWN: settings[other == 0], OTHER: settings[own == 0]}
        gained = found.setdefault(target, [])
        if about == "omega":
            # The target's own adapter alone is the same with every partner, and counts once.
            for name, single in alone.items():
                one = single[single.index.get_level_values(name) == 1]
                if len(one) and (name == OTHER or not gained):
                    gained.append(_chosen(single) - one["score"].iloc[0])
            continue
        first, second = {
            "pair": (settings[(own > 0) & (other > 0)], settings[(own == 0) | (other == 0)]),
            "free": (settings, settings[np.isclose(own + other, 1)]),
        }[about]
        if len(first) and len(second):
            gained.append(_chosen(first) - _chosen(second))
    return pd.Series({target: np.mean(values) for target, values in found.items() if values}, dtype=float)


def sums_to_one(pairs: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return by target how much of its cases chose each setting, and whether a setting sums to one.

    Of equally good settings each counts its share. Of a target's cases those with another grid than its first are left
    out.
    """
    grids: dict[str, pd.Index] = {}
    chosen: dict[str, list[np.ndarray]] = {}
    for target, _, settings in cases(pairs):
        if settings.index.equals(grids.setdefault(target, settings.index)):
            best = _best(settings)
            chosen.setdefault(target, []).append(best / best.sum())
    marked = {t: np.isclose(g.get_level_values(OWN) + g.get_level_values(OTHER), 1) for t, g in grids.items()}
    return {target: np.mean(weights, axis=0) for target, weights in chosen.items()}, marked


def _settings(case: pd.DataFrame) -> pd.DataFrame:
    return case.groupby([OWN, OTHER])[["validation", "score"]].mean()


def _best(settings: pd.DataFrame) -> np.ndarray:
    return np.isclose(settings["validation"], settings["validation"].max(), rtol=0, atol=1e-9)


def _chosen(settings: pd.DataFrame) -> float:
    """Test score of what is best on validation; of ties, the mean."""
    return float(settings.loc[_best(settings), "score"].mean())
