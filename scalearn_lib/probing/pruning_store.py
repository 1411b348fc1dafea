"""Where the scores of runs that keep fewer sources lie, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..errors import say_once
from ..paths import reference_dir
from ..runs.run import Run, slug

FOLDER = "pruning"

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


def pruned_file(output: Path, run: Run) -> Path:
    """Where the scores of a run with fewer sources lie: below `output`, in the folder that the run has, and ".csv"."""
    folder = run.folder(output / FOLDER)
    return folder.parent / f"{folder.name}.csv"


def read_pruned(file: Path) -> pd.DataFrame | None:
    """Return a table with the columns of `TYPES`; `None` where there is none, or a damaged one, which is named once."""
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
    return table


def write_pruned(table: pd.DataFrame, file: Path) -> None:
    """Write a table in one piece: what lies there is always whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    table.sort_values(["kept", "repaired"])[[*TYPES]].to_csv(temporary, index=False)
    temporary.replace(file)


def keep_pruned(runs: Iterable[Run], output: Path, reference: Path) -> list[str]:
    """Add the tables of these runs to a reference study; return a line per file that was written.

    Args:
        runs: what may have a table.
        output, reference: folders.
    """
    lines = []
    for run in runs:
        table = read_pruned(pruned_file(output, run))
        if table is not None:
            write_pruned(table, pruned_file(reference, run))
            lines.append(f"{run} with fewer sources: {pruned_file(reference, run)}")
    return lines


def load_pruned(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored scores with fewer sources, those of the reference study where one's own are not there.

    Columns: those of `TYPES`. Damaged files are named in a line and left out, and so are runs with overrides.
    """
    inside = Path(FOLDER, suite, slug(encoder), budget)
    files = {}
    for place in (reference_dir(), output):
        found = (place / inside).glob("*/*/seed*.csv") if place else ()
        files |= {file.relative_to(place): file for file in found}
    tables = [read_pruned(file) for _, file in sorted(files.items())]
    tables = [table for table in tables if table is not None]
    return pd.concat(tables or [pd.DataFrame(columns=[*TYPES]).astype(TYPES)], ignore_index=True)
