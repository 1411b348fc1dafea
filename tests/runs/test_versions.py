"""Fingerprints of code and data: equal for equal things, different for different ones."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from scalearn_lib.evidence import load_results, table
from scalearn_lib.methods import METHODS
from scalearn_lib.runs import Run, execute, versions
from scalearn_lib.runs.data import encoded
from scalearn_lib.runs.versions import code_version, data_version, method_version
from scalearn_lib.tasks import get_task
from tests.stored import store


def test_code_is_what_is_computed_not_how_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for source in (
        'def f(x):\n    """Doc."""\n    return x + 1\n',
        "# comment\ndef f(x):\n    return (x +\n            1)\n",
        "def f(x):\n    return x + 2\n",
    ):
        monkeypatch.setattr(versions, "SOURCES", {"composition/one.py": source, "study/figures.py": str(len(found))})
        code_version.cache_clear()
        found.append(code_version())
    code_version.cache_clear()
    assert found[0] == found[1] != found[2]
    monkeypatch.setattr(versions, "SOURCES", {})
    nothing = code_version()
    code_version.cache_clear()
    assert nothing not in found


def test_a_method_is_its_own_modules_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> dict[str, str]:
        code_version.cache_clear()
        method_version.cache_clear()
        return {name: method_version(name) for name in ("scalearn", "adapter_fusion", "adapter", "propetl")}

    before, common = found(), code_version()
    changed = versions.SOURCES | {"methods/fusion.py": versions.SOURCES["methods/fusion.py"] + "\nX = 1\n"}
    monkeypatch.setattr(versions, "SOURCES", changed)
    after = found()
    assert {name for name in before if before[name] != after[name]} == {"scalearn", "adapter_fusion"}
    assert code_version() == common and len(set(before.values())) == 4
    monkeypatch.setitem(METHODS, "adapter", replace(METHODS["adapter"], title="another word", learning_rate=1.0))
    monkeypatch.setitem(METHODS, "propetl", replace(METHODS["propetl"], options={"sparsity": 0.4}))
    last = found()
    assert {name for name in after if after[name] != last[name]} == {"propetl"}
    monkeypatch.undo()
    assert found() == before


def test_every_pattern_names_sources_that_are_there() -> None:
    for pattern in versions.PROBING:
        assert any(fnmatch(name, pattern) for name in versions.SOURCES), pattern


def test_data_is_rows_in_their_order_however_they_are_stored() -> None:
    splits = encoded(get_task("toy", "toy_topic"), "tiny")
    rows = splits["train"]
    twice = rows.select(range(len(rows) - 1, -1, -1)).select(range(len(rows) - 1, -1, -1))
    fewer = rows.select(range(len(rows) - 1))
    turned = rows.select(range(len(rows) - 1, -1, -1))
    same, less, other = (data_version(type(splits)(splits | {"train": part})) for part in (twice, fewer, turned))
    assert data_version(splits) == same
    assert len({same, less, other}) == 3


def test_a_result_says_what_it_was_made_from(tmp_path: Path) -> None:
    source = execute(Run("toy", "toy_topic", "adapter", "tiny", budget="smoke"), tmp_path)
    again = execute(Run("toy", "toy_topic", "scalearn_pp", "tiny", budget="smoke"), tmp_path)
    assert source.code == again.code == code_version() and again.source_code == [code_version()]
    assert source.data == again.data == data_version(encoded(get_task("toy", "toy_topic"), "tiny"))
    assert source.source_code == [] and source.source_data is None and again.source_data
    results = load_results(tmp_path)
    assert set(results["code"]) == {code_version()} and results["data"].nunique() == 4


def test_one_version_needs_no_column_and_two_are_told_apart(tmp_path: Path) -> None:
    where = ("toy", "tiny", "smoke")
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    store(tmp_path, "toy_pair", "adapter", 0, 0.5)
    assert "versions" not in table(tmp_path, *where)
    store(tmp_path, "toy_topic", "adapter", 1, 0.6, made_from={"code": "aaaa", "data": "d1"})
    store(tmp_path, "toy_topic", "full", 0, 0.6, made_from={"code": "aaaa", "data": "d1"})
    assert dict(table(tmp_path, *where)["versions"]) == {
        "adapter": "aaaa data d1, code, code data data",
        "full fine-tuning": "aaaa data d1",
    }


def test_other_data_or_older_sources_are_another_version(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5, made_from={"code": "aaaa", "data": "d1"})
    store(tmp_path, "toy_pair", "adapter", 0, 0.5, made_from={"code": "aaaa", "data": "p1"})
    assert "versions" not in table(tmp_path, "toy", "tiny", "smoke")
    store(tmp_path, "toy_topic", "full", 0, 0.5, made_from={"code": "aaaa", "data": "d2"})
    store(tmp_path, "toy_pair", "full", 0, 0.5, made_from={"code": "aaaa", "data": "p1"})
    versions = table(tmp_path, "toy", "tiny", "smoke")["versions"]
    assert dict(versions) == {"adapter": "aaaa, aaaa data d1", "full fine-tuning": "aaaa, aaaa data d2"}
    source = {"code": "bbbb", "data": "d1", "source_code": ["aaaa"]}
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5, made_from=source)
    assert table(tmp_path, "toy", "tiny", "smoke")["versions"]["ScaLearn"] == "bbbb on aaaa data d1"


def test_other_data_of_the_sources_are_another_version(tmp_path: Path) -> None:
    for seed, data in enumerate(["s1", "s1"]):
        store(tmp_path, "toy_topic", "scalearn", seed, 0.5, made_from={"code": "aaaa", "source_data": data})
    assert "versions" not in table(tmp_path, "toy", "tiny", "smoke")
    store(tmp_path, "toy_topic", "scalearn", 2, 0.5, made_from={"code": "aaaa", "source_data": "s2"})
    versions = table(tmp_path, "toy", "tiny", "smoke")["versions"]
    assert dict(versions) == {"ScaLearn": "aaaa sources' data s1, aaaa sources' data s2"}


def test_a_task_has_one_version_of_its_data_in_all_suites(tmp_path: Path) -> None:
    store(tmp_path, "cola", "adapter", 0, 0.5, suite="glue", made_from={"code": "aaaa", "data": "d1"})
    store(tmp_path, "cola", "scalearn", 0, 0.5, suite="gsg", made_from={"code": "aaaa", "data": "d2"})
    versions = table(tmp_path, "gsg", "tiny", "smoke")["versions"]
    assert dict(versions) == {"adapter": "aaaa data d1", "ScaLearn": "aaaa data d2"}


def test_results_of_several_processes_are_told_apart_from_those_of_one(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, "toy_topic", "adapter", seed, 0.5, made_from={"code": "aaaa", "processes": 2})
    assert "versions" not in table(tmp_path, "toy", "tiny", "smoke")
    store(tmp_path, "toy_topic", "adapter", 2, 0.5, made_from={"code": "aaaa"})
    assert dict(table(tmp_path, "toy", "tiny", "smoke")["versions"]) == {"adapter": "aaaa, aaaa in 2 processes"}
