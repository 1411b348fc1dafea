"""Where the scores of probed pairs lie, and reading them back."""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from ..errors import say_once
from ..paths import reference_dir, written_whole
from ..runs.locks import locked
from ..runs.result import Result, fingerprint, source_versions
from ..runs.run import slug
from ..runs.versions import PROBING, code_label, code_version, equal_label
from ..tasks import get_suite

TYPES = {"seed": int, "score": float, "validation": float, "code": str, "data": str}
"""Columns of a table after those of the two strengths. A fingerprint may have digits alone; scores of a head whose
outputs are not finite are NaN."""


def store_pairs(
    pairs: pd.DataFrame, made: Mapping[str, Result], output: Path, suite: str, encoder: str, budget: str
) -> Path:
    """Add probes of pairs of source adapters, the target's own and a partner's, to those stored for `load_pairs`.

    Stored probes with the same strengths and head are replaced, others stay. The versions of the code and of the source
    adapters' data are stored with them.

    Args:
        pairs: what `probe` returned for two sources, the target's own first.
        made: the results of the source adapters' runs by task.
    """
    file = pairs_file(output, suite, encoder, budget, *pairs.columns[:2])
    about = source_versions(made)
    pairs = pairs.assign(code=code_label(code_version(PROBING), about["source_code"]), data=about["source_data"])
    with locked(file.with_suffix(".lock")), written_whole(file) as temporary:
        united([read_pairs(file), pairs]).to_csv(temporary, index=False)
    return file


def keep_pairs(file: Path, place: Path) -> Path | None:
    """Add a file of probes to the compressed one `place` and ".xz", and return that; `None` where there is none."""
    pairs, kept = read_pairs(file), _kept(place)
    if pairs is None:
        return None
    with written_whole(kept) as temporary:
        temporary.write_bytes(lzma.compress(united([read_pairs(kept), pairs]).to_csv(index=False).encode()))
    return kept


def _kept(file: Path) -> Path:
    """What a file of probes is called in a reference study."""
    return file.with_suffix(".csv.xz")


def united(tables: Iterable[pd.DataFrame | None]) -> pd.DataFrame | None:
    """The rows of all tables of a pair, of those with the same strengths and head the last; `None` of no table."""
    there = [table for table in tables if table is not None]
    if not there:
        return None
    keys = [*there[0].columns[:2], "seed"]
    return pd.concat(there).drop_duplicates(keys, keep="last").sort_values(keys, ignore_index=True)


def read_pairs(file: Path) -> pd.DataFrame | None:
    """A file of `store_pairs`, compressed or not; `None` where there is none, or a damaged one, which is named once."""
    try:
        pairs = pd.read_csv(file, dtype=TYPES)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError, lzma.LZMAError):  # pandas' errors of parsing are ValueErrors
        pairs = pd.DataFrame()
    whole = not pairs.empty and set(TYPES) <= set(pairs.columns[2:])
    if not whole or pairs.drop(columns=["score", "validation"]).isna().any(axis=None):  # a row was cut off
        say_once(f"Left out: {file} is no table of probes; remove it and probe again.")
        return None
    return pairs


def pairs_file(output: Path, suite: str, encoder: str, budget: str, target: str, partner: str) -> Path:
    """Where the probes of a pair of source adapters lie; of a user's own data the name tells the content, as of runs.

    Raises:
        UserError: the suite is unknown.
    """
    contents = [task.content for task in get_suite(suite).tasks if task.name in (target, partner)]
    content = f"@{fingerprint(contents)[:8]}" if any(contents) else ""
    return output / "probing" / suite / slug(encoder) / budget / f"{target}+{partner}{content}.csv"


def stored_pairs(output: Path, suite: str, encoder: str, budget: str, target: str, partner: str) -> pd.DataFrame | None:
    """The probes of a pair, those of the reference study included where one's own are not there; `None` of none."""
    names = (suite, encoder, budget, target, partner)
    files = [_kept(pairs_file(reference_dir() or output, *names)), pairs_file(output, *names)]
    return united(map(read_pairs, files))


def load_pairs(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored probes of pairs, those of the reference study included where one's own are not there.

    Columns: `target`, `partner`, `omega_target`, `omega_partner`, `seed`, `score` (on test), `validation`, and `code`
    and `data`, the versions that they were made by and from. Damaged files are named in a line and left out, and so
    are those made from other data of a user than now.

    Raises:
        UserError: the suite is unknown.
    """
    columns = ["target", "partner", "omega_target", "omega_partner", *TYPES]
    frames, old = [pd.DataFrame(columns=columns)], 0
    inside = Path("probing", suite, slug(encoder), budget)
    files = [*(reference_dir() or output).joinpath(inside).glob("*+*.csv.xz"), *(output / inside).glob("*+*.csv")]
    for name in sorted({file.name.partition(".")[0] for file in files}):
        target, _, partner = name.partition("@")[0].partition("+")
        if pairs_file(output, suite, encoder, budget, target, partner).stem != name:
            old += 1
            continue
        frame = stored_pairs(output, suite, encoder, budget, target, partner)
        if frame is not None:
            names = dict(zip(frame.columns, ("omega_target", "omega_partner"), strict=False))
            frames.append(frame.rename(columns=names).assign(target=target, partner=partner)[columns])
    if old:
        say_once(f"{old} probed pairs of '{suite}' are left out: they were made from other data.")
    found = pd.concat(frames[1:] or frames, ignore_index=True)
    return found.assign(code=found["code"].map(equal_label))
