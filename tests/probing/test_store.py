"""Tables of probed pairs: what is one, and what several places have of the same pair."""

from __future__ import annotations

import lzma
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.errors import say_once
from scalearn_lib.probing.store import TYPES, load_pairs, read_pairs

PAIR = ("toy_topic", "toy_pair")


def rows(strengths: tuple[float, ...], heads: tuple[int, ...], score: float, code: str = "aaaa") -> pd.DataFrame:
    """A table as it is stored."""
    settings = [(a, b, seed) for a, b in product(strengths, repeat=2) for seed in heads]
    made = {"score": score, "validation": score, "code": code, "data": "dddd"}
    return pd.DataFrame(settings, columns=[*PAIR, "seed"]).assign(**made)


def write(pairs: pd.DataFrame, place: Path, ending: str = ".csv") -> Path:
    file = place / "probing" / "toy" / "tiny" / "smoke" / f"{'+'.join(PAIR)}{ending}"
    file.parent.mkdir(parents=True, exist_ok=True)
    pairs.to_csv(file, index=False)
    return file


def test_what_is_no_whole_table_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = write(rows((0.0, 1.0), (0, 1), 0.5), tmp_path)
    text = file.read_text()
    without = pd.read_csv(file).drop(columns="validation").to_csv(index=False)  # as once they were stored
    words = text.replace("0.5", "half")
    for damaged in ("", text.splitlines()[0], text[: text.rindex(",")], without, words, "half of a tab"):
        say_once.cache_clear()
        file.write_text(damaged)
        assert read_pairs(file) is None and load_pairs(tmp_path, "toy", "tiny", "smoke").empty
        assert capsys.readouterr().err == f"Left out: {file} is no table of probes; remove it and probe again.\n"
    assert read_pairs(tmp_path / "none.csv") is None and not capsys.readouterr().err


def test_a_compressed_table_that_was_cut_off_is_none(tmp_path: Path) -> None:
    file = write(rows((0.0, 1.0), (0, 1), 0.5), tmp_path, ".csv.xz")
    assert len(read_pairs(file)) == 8
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"no archive", lzma.compress(b"")):
        file.write_bytes(damaged)
        assert read_pairs(file) is None


def test_fingerprints_of_digits_are_texts_and_scores_may_be_missing(tmp_path: Path) -> None:
    code, data = "012345678901", "12345678e901"
    stored = rows((0.0, 1.0), (0,), 0.5, code).assign(data=data)
    stored.loc[0, ["score", "validation"]] = float("nan")  # a head whose outputs are not finite
    pairs = read_pairs(write(stored, tmp_path))
    assert set(pairs["code"]) == {code} and set(pairs["data"]) == {data}
    assert pairs["score"].isna().sum() == 1 and [*pairs.columns[2:]] == [*TYPES]
