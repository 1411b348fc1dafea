"""Where the scores of probed pairs lie, and reading them back."""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..errors import say_once
from ..paths import reference_dir
from ..runs.locks import locked
from ..runs.result import Result, source_versions
from ..runs.run import slug
from ..runs.versions import PROBING, code_label, code_version

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
    keys = [*pairs.columns[:2], "seed"]
    with locked(file.with_suffix(".lock")):
        every = [read_pairs(file), pairs]
        pairs = pd.concat([frame for frame in every if frame is not None]).drop_duplicates(keys, keep="last")
        temporary = file.with_suffix(".tmp")
        pairs.sort_values(keys).to_csv(temporary, index=False)
        temporary.replace(file)
    return file


def keep_pairs(file: Path, place: Path) -> Path:
    """Store a file of probes compressed as `place` and ".xz", and return that."""
    kept = place.with_suffix(".csv.xz")
    kept.parent.mkdir(parents=True, exist_ok=True)
    temporary = kept.with_suffix(".tmp")
    temporary.write_bytes(lzma.compress(file.read_bytes()))
    temporary.replace(kept)
    return kept


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
    """Where the probes of a pair of source adapters lie."""
    return output / "probing" / suite / slug(encoder) / budget / f"{target}+{partner}.csv"


def load_pairs(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored probes of pairs, those of the reference study included where one's own are not there.

    Columns: `target`, `partner`, `omega_target`, `omega_partner`, `seed`, `score` (on test), `validation`, and `code`
    and `data`, the versions that they were made by and from. Damaged files are named in a line and left out.
    """
    columns = ["target", "partner", "omega_target", "omega_partner", *TYPES]
    frames = [pd.DataFrame(columns=columns)]
    inside = Path("probing", suite, slug(encoder), budget)
    shipped = (reference_dir() or output).joinpath(inside).glob("*.csv.xz")
    files = {file.name.removesuffix(".csv.xz"): file for file in shipped}
    files |= {file.name.removesuffix(".csv"): file for file in (output / inside).glob("*.csv")}
    for _, file in sorted(files.items()):
        frame = read_pairs(file)
        if frame is None:
            continue
        target, partner = frame.columns[:2]
        names = {target: "omega_target", partner: "omega_partner"}
        frames.append(frame.rename(columns=names).assign(target=target, partner=partner)[columns])
    return pd.concat(frames[1:] or frames, ignore_index=True)
