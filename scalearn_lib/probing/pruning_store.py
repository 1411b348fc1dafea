"""Where the scores of runs that keep fewer sources lie, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..errors import UserError, say_once
from ..paths import reference_dir, written_whole
from ..runs.run import Run, slug
from ..runs.versions import equal_label

FOLDER = "pruning"

REPAIR_STEPS = 60
"""Steps of a repair at most, in what claims are about."""

TYPES = {
    **{"suite": str, "task": str, "method": str, "encoder": str, "seed": int, "k": float, "budget": str},
    **{"sampling": str, "source_tasks": str, "adapters": str},
    **{"kept": int, "of": int, "repaired": bool, "score": float, "validation": float, "width": int},
    **{"steps": int, "repair_steps": int, "sources": str, "seconds": float, "code": str, "weights": str},
}
"""Columns of a table: the run's fields (`k` is NaN on all training rows; `source_tasks` and `adapters` are names with
blanks between, empty for those of the suite); how many sources are `kept` `of` all; whether the rest was `repaired`;
`score` on test and `validation`, in the task's primary metric; `width` of the folded adapter (of its widest place);
`steps` of the repair, and how many were allowed; the kept `sources` with blanks between, the largest first; `seconds`
for the row; the version of the `code`; and a fingerprint of the run's `weights`."""


def pruned_file(output: Path, run: Run, repair_steps: int = REPAIR_STEPS) -> Path:
    """Where the scores of a run with fewer sources lie: below `output`, in the folder that the run has, and ".csv".

    Scores after repairs of another number of steps than usual have a file of their own.
    """
    folder = run.folder(output / FOLDER)
    other = "" if repair_steps == REPAIR_STEPS else f"-repair{repair_steps}"
    return folder.parent / f"{folder.name}{other}.csv"


def read_pruned(file: Path, repair_steps: int = REPAIR_STEPS) -> pd.DataFrame | None:
    """Return a table with the columns of `TYPES`.

    `None` where there is none, one with repairs of another number of steps (which all lay in one file once), or a
    damaged one, which is named once.
    """
    try:
        # Texts only where they are meant: a task may be called "NA", and a fingerprint have digits alone.
        missing = {"k": [""], "weights": [""]}  # the latter is the last column: a row was cut off
        table = pd.read_csv(file, dtype=TYPES, keep_default_na=False, na_values=missing)
    except FileNotFoundError:
        return None
    except (ValueError, OSError):  # pandas' errors of parsing are ValueErrors
        table = pd.DataFrame()
    if table.empty or [*table.columns] != [*TYPES] or table.drop(columns="k").isna().any(axis=None):
        say_once(f"Left out: {file} is no table of scores with fewer sources; remove it and prune again.")
        return None
    return table if (table["repair_steps"] == repair_steps).all() else None


def write_pruned(table: pd.DataFrame, file: Path) -> None:
    """Write a table in one piece: what lies there is always whole."""
    with written_whole(file) as temporary:
        table.sort_values(["kept", "repaired"])[[*TYPES]].to_csv(temporary, index=False)


def keep_pruned(runs: Iterable[Run], output: Path, reference: Path) -> list[str]:
    """Add the tables of these runs to a reference study; return a line per file that was written.

    Rows that are there of the same weights stay, but for those that are made again.

    Args:
        runs: what may have a table.
        output, reference: folders.
    """
    lines = []
    for run in runs:
        table = read_pruned(pruned_file(output, run))
        if table is not None:
            kept = read_pruned(pruned_file(reference, run))
            if kept is not None:
                kept = kept[kept["weights"].isin(table["weights"])]
                table = pd.concat([kept, table]).drop_duplicates(["kept", "repaired"], keep="last")
            write_pruned(table, pruned_file(reference, run))
            lines.append(f"{run} with fewer sources: {pruned_file(reference, run)}")
    return lines


def load_pruned(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored scores with fewer sources, those of the reference study where one's own are not there.

    Columns: those of `TYPES`. Damaged files are named in a line and left out, and so are those made from other data of
    a user than now. Runs with overrides are left out, and repairs of another number of steps than usual.
    """
    inside = Path(FOLDER, suite, slug(encoder), budget)
    tables, old = {}, 0
    for place in filter(None, (reference_dir(), output)):
        for file in sorted((place / inside).glob("*/*/seed*.csv")):
            table = read_pruned(file)
            if table is not None and _is_of_now(table, file):
                tables[file.relative_to(place)] = table
            elif table is not None:
                old += 1
    if old:
        say_once(f"{old} tables of '{suite}' with fewer sources are left out: they were made from other data.")
    every = [table for _, table in sorted(tables.items())]
    found = pd.concat(every or [pd.DataFrame(columns=[*TYPES]).astype(TYPES)], ignore_index=True)
    return found.assign(code=found["code"].map(equal_label))


def _is_of_now(table: pd.DataFrame, file: Path) -> bool:
    """Whether a table was made from a user's data as they are now; published data stay what they are."""
    suite, task, method, sources = table.loc[0, ["suite", "task", "method", "source_tasks"]]
    try:
        run = Run(suite, task, method, source_tasks=tuple(sources.split()) or None, adapters=())
    except UserError:  # the suite has the task no more
        return False
    return not run.content or file.parent.name.endswith(f"@{run.content[:8]}")
