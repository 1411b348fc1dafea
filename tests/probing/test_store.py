"""Tables of probed pairs: what is one, and what several places have of the same pair."""

from __future__ import annotations

import lzma
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.errors import say_once
from scalearn_lib.probing.pairs import Probe
from scalearn_lib.probing.store import TYPES, keep_pairs, load_pairs, pairs_file, read_pairs, store_pairs, united
from scalearn_lib.runs import Run, versions
from scalearn_lib.tasks import get_suite
from tests.runs.test_own_runs import suite_file
from tests.stored import result_of

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


def test_rows_of_the_reference_study_and_ones_own_are_united(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, own = tmp_path / "reference", tmp_path / "own"
    write(rows((0.0, 1.0), (0, 1), 0.5), reference, ".csv.xz")
    write(rows((0.0, 0.5), (1, 2), 0.75, "bbbb"), own)
    monkeypatch.setenv("SCALEARN_REFERENCE", str(reference))
    pairs = load_pairs(own, "toy", "tiny", "smoke")
    scores = pairs.set_index(["omega_target", "omega_partner", "seed"])["score"]
    assert scores.index.is_unique and len(scores) == 8 + 8 - 1
    assert scores[0, 0, 1] == 0.75 and scores[0, 0, 0] == scores[1, 1, 1] == 0.5, "one's own of equal ones"
    assert pairs["code"].value_counts().to_dict() == {"aaaa": 7, "bbbb": 8}
    for strengths, heads, there in [
        ((0.0, 1.0), (0, 1), True),
        ((0.0, 0.5), (1, 2), True),
        ((0.0, 0.5, 1.0), (1,), False),  # no 0.5 with 1.0 anywhere
        ((0.0,), (0, 1, 2), True),  # neither place has all three
        ((0.0,), (3,), False),
    ]:
        assert Probe("toy", *PAIR, "tiny", "smoke", strengths, heads).is_stored(own) == there, (strengths, heads)
    assert united([None, None]) is None


def test_a_smaller_table_takes_nothing_from_the_reference_study(tmp_path: Path) -> None:
    place = tmp_path / "reference" / f"{'+'.join(PAIR)}.csv"
    large, small = rows((0.0, 0.5, 1.0), (0, 1), 0.5), rows((0.5,), (1,), 0.75, "bbbb")
    kept = keep_pairs(write(large, tmp_path), place)
    before = kept.read_bytes()
    assert kept.name == f"{place.name}.xz" and keep_pairs(write(large, tmp_path), place).read_bytes() == before
    keep_pairs(write(small, tmp_path), place)
    scores = read_pairs(kept).set_index([*PAIR, "seed"])["score"]
    assert len(scores) == len(large) and scores[0.5, 0.5, 1] == 0.75 and scores[0.5, 0.5, 0] == 0.5
    file = write(small, tmp_path)
    file.write_text("half of a tab")
    assert keep_pairs(file, place) is None and len(read_pairs(kept)) == len(large)


def test_probes_of_a_users_earlier_data_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def probe_of(words: str) -> Probe:
        """Of the suite as it is once the data has these words."""
        return Probe(get_suite(suite_file(tmp_path, words)).name, "first", "second", "tiny", "smoke", (0.0, 1.0), (0,))

    def store(score: float, strengths: tuple[float, ...]) -> Path:
        made = {
            name: result_of(Run("notes", name, "adapter", "tiny", budget="smoke"), 0.5) for name in columns.values()
        }
        pairs = rows(strengths, (0,), score).rename(columns=columns).drop(columns=["code", "data"])
        return store_pairs(pairs, made, tmp_path, "notes", "tiny", "smoke")

    columns = dict(zip(PAIR, ("first", "second"), strict=True))
    say_once.cache_clear()
    wanted = probe_of("ward")
    old = store(0.5, (0.0, 1.0))
    assert wanted.is_stored(tmp_path) and old == wanted.file(tmp_path)
    wanted = probe_of("other")
    assert not wanted.is_stored(tmp_path) and load_pairs(tmp_path, "notes", "tiny", "smoke").empty
    assert "1 probed pairs of 'notes' are left out: they were made from other data." in capsys.readouterr().err
    new = store(0.75, (0.0, 0.5))
    assert new != old and new.name.startswith("first+second@") and not wanted.is_stored(tmp_path)
    assert set(load_pairs(tmp_path, "notes", "tiny", "smoke")["score"]) == {0.75}
    probe_of("ward")
    pairs = load_pairs(tmp_path, "notes", "tiny", "smoke")
    assert set(pairs["score"]) == {0.5} and set(pairs["target"] + pairs["partner"]) == {"firstsecond"}


def test_probes_of_code_that_gives_the_same_numbers_are_of_one_version(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(versions, "EQUAL", {"a" * 12: "b" * 12, "b" * 12: "c" * 12, "d" * 12: "e" * 12})
    labels = [f"{'a' * 12} on {'d' * 12}", f"{'c' * 12} on {'e' * 12}", f"{'f' * 12} on {'e' * 12}"]
    file = pairs_file(tmp_path, "toy", "tiny", "smoke", "toy_topic", "toy_pair")
    file.parent.mkdir(parents=True)
    rows = [{"toy_topic": 0.5, "toy_pair": 1.0, "seed": n, "score": 0.5, "validation": 0.5} for n in range(3)]
    pd.DataFrame(rows).assign(code=labels, data="0").to_csv(file, index=False)
    found = load_pairs(tmp_path, "toy", "tiny", "smoke")
    assert found["code"].tolist() == [labels[1], labels[1], labels[2]]
