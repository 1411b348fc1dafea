"""Verdicts in words and figures, for the command line, notebooks and docs/findings.md."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from .claim import FAILS, HOLDS, NOT_RUN, OPEN, PERCENT, VERDICTS


def interval(low: float, high: float) -> str:
    """An interval with one decimal, "" for none."""
    return "" if pd.isna(low) else f"[{low:.1f}, {high:.1f}]"


def effect(row: pd.Series) -> str:
    """The estimate of a verdict with its unit; differences have a sign."""
    if pd.isna(row["effect"]):
        return ""
    number = f"{row['effect']:+.1f}" if row["unit"] in ("points", PERCENT) else f"{row['effect']:.1f}"
    return f"{number} {row['unit']}"


def size(row: pd.Series) -> str:
    """What a verdict rests on, such as "3-5 seeds, 9 tasks"."""
    if not row["tasks"]:
        return ""
    tasks = f"{row['tasks']} task{'s' * (row['tasks'] != 1)}"
    return f"{row['seeds']} seeds, {tasks}" if row["seeds"] else tasks


def readable(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return verdicts as a table to read, one row per claim, by verdict and then in their own order.

    Args:
        verdicts: as `claims` returns them.
    """
    order = pd.Categorical(verdicts["verdict"], VERDICTS, ordered=True)
    rows = verdicts.assign(order=order).sort_values("order", kind="stable")
    return pd.DataFrame(
        {
            "claim": rows["claim"],
            "verdict": rows["verdict"],
            "predicted": rows["predicted"],
            "effect": [effect(row) for _, row in rows.iterrows()],
            "on these tasks": [interval(*ends) for ends in zip(rows["low"], rows["high"], strict=True)],
            "on tasks like these": [interval(*ends) for ends in zip(rows["wide_low"], rows["wide_high"], strict=True)],
            "better runs": ["" if pd.isna(share) else f"{100 * share:.0f} %" for share in rows["improvement"]],
            "rests on": [size(row) for _, row in rows.iterrows()],
            "would decide": rows["needed"],
            "note": rows["note"],
        }
    ).set_index("claim")


def lines(verdicts: pd.DataFrame) -> list[str]:
    """Return verdicts as lines for a terminal, by family and verdict; what was not run stands last, by its reason."""
    told = []
    for family, claims in verdicts.groupby("family", sort=False):
        told += ["", family[0].upper() + family[1:]]
        for verdict in VERDICTS[:-1]:
            found = claims[claims["verdict"] == verdict]
            told += [f"  {verdict}: {len(found)}"] if len(found) else []
            for _, row in found.iterrows():
                told += [f"    {row['name']:<11} {row['claim']}", f"{'':<16}{_figures(row)}"]
                told += [f"{'':<16}{row['note']}"] if row["note"] else []
        told += [f"  {NOT_RUN}: {reason}" for reason in not_run(claims)]
    return told[1:]


def not_run(verdicts: pd.DataFrame) -> list[str]:
    """Return a line for each reason why claims were not run, with their names."""
    lacking = verdicts[verdicts["verdict"] == NOT_RUN]
    return [f"{reason} ({', '.join(names)})" for reason, names in lacking.groupby("note", sort=False)["name"]]


def counted(verdicts: Sequence[str] | pd.Series) -> str:
    """Return how many claims have each verdict, such as "3 hold, 1 does not hold, 2 are undecided, 4 were not run"."""
    words = (("holds", "hold"), ("does not hold", "do not hold"), ("is undecided", "are undecided"))
    words += (("was not run", "were not run"),)
    counts = [list(verdicts).count(verdict) for verdict in VERDICTS]
    return ", ".join(f"{n} {one if n == 1 else many}" for n, (one, many) in zip(counts, words, strict=True))


def against_predictions(verdicts: pd.DataFrame) -> str:
    """Return how many of the decided claims came out as predicted, such as "of 5 decided, 3 came out as predicted"."""
    decided = verdicts[verdicts["verdict"].isin([HOLDS, FAILS])]
    foreseen = decided[decided["predicted"] != OPEN]
    right = int((foreseen["verdict"] == foreseen["predicted"]).sum())
    without = f", {len(decided) - len(foreseen)} had no prediction" * (len(foreseen) < len(decided))
    return f"of {len(decided)} decided, {right} came out as predicted, {len(foreseen) - right} did not{without}"


def _figures(row: pd.Series) -> str:
    parts = [f"{effect(row)} {interval(row['low'], row['high'])}"]
    if not pd.isna(row["wide_low"]) and row["wide_low"] != row["low"]:
        parts.append(f"on tasks like these {interval(row['wide_low'], row['wide_high'])}")
    if not pd.isna(row["improvement"]):
        parts.append(f"better in {100 * row['improvement']:.0f} % of runs")
    parts.append(size(row))
    if row["needed"]:
        parts.append(f"{'' if row['needed'].startswith('more') else 'about '}{row['needed']} would decide it")
    return "; ".join(parts)
