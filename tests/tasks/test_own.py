"""A suite of one's own: what files mean, and one sentence for each mistake in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch.nn as nn
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scalearn_lib.errors import UserError, say_once
from scalearn_lib.tasks import get_suite, get_task, repositories
from scalearn_lib.tasks.check import check_suite
from scalearn_lib.tasks.labels import kind_of_labels
from scalearn_lib.tasks.names import TORCH
from scalearn_lib.tasks.splits import stratified

NOTES = [(f"note number {n} of the ward", ("high", "low", "none")[n % 3], n % 7 / 2) for n in range(120)]


def table(rows: list[tuple], names: str = "note urgency score") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=names.split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table(NOTES).to_csv(tmp_path / "triage.csv", index=False)
    return tmp_path


def write(folder: Path, name: str = "clinic", **changes: object) -> str:
    """Write a suite's file with one task; a change of `None` takes a key away."""
    task = {"data": "triage.csv", "text": "note", "label": "urgency"} | changes
    file = folder / "clinic.yaml"
    file.write_text(yaml.safe_dump({"name": name, "tasks": {"triage": {k: v for k, v in task.items() if v}}}))
    return str(file)


def load(folder: Path, **changes: object):
    return get_suite(write(folder, **changes)).tasks[0].load()


def test_a_csv_is_split_by_class_and_text(folder: Path) -> None:
    suite = get_suite(write(folder))
    task = suite.tasks[0]
    assert (suite.name, task.suite, task.kind, task.labels) == (
        "clinic",
        "clinic",
        "classification",
        ("high", "low", "none"),
    )
    assert get_task("clinic", "triage") == task, "once its file was read, the name will do"
    splits = task.load()
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 96, "validation": 12, "test": 12}
    assert np.bincount(splits["test"]["label"]).tolist() == [4, 4, 4]
    assert not set(splits["train"]["text"]) & set(splits["test"]["text"])


@pytest.mark.parametrize("ending", ["tsv", "jsonl", "parquet"])
def test_all_formats_give_the_same_rows(folder: Path, ending: str) -> None:
    frame, file = table(NOTES), folder / f"other.{ending}"
    if ending == "tsv":
        frame.to_csv(file, sep="\t", index=False)
    elif ending == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        frame.to_parquet(file)
    ours, theirs = load(folder, data=file.name), load(folder)
    assert all(ours[split].to_dict() == theirs[split].to_dict() for split in theirs)


def test_the_four_kinds(folder: Path) -> None:
    regression = get_suite(write(folder, label="score")).tasks[0]
    assert (regression.kind, regression.metric) == ("regression", "pearson")
    assert set(np.array(regression.load()["train"]["label"])) <= {0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0}

    rows = [{"note": f"text {n}", "wards": ["a", "b"][: n % 3]} for n in range(60)]
    (folder / "many.jsonl").write_text("\n".join(map(json.dumps, rows)))
    several = get_suite(write(folder, data="many.jsonl", label="wards")).tasks[0]
    assert (several.kind, several.labels, several.metric) == ("multi_label", ("a", "b"), "f1_macro")
    assert sorted(map(len, several.load()["test"]["label"])) == [0, 0, 1, 1, 2, 2]

    frame = pd.DataFrame([(f"why {n}?", f"yes {n}", f"no {n}", n % 2) for n in range(60)], columns=list("qabl"))
    frame.to_csv(folder / "choice.csv", index=False)
    choice = get_suite(write(folder, data="choice.csv", text=list("qab"), label="l", kind="multiple_choice")).tasks[0]
    assert (choice.labels, choice.columns) == (("a", "b"), ("text", "choice0", "choice1"))
    row = choice.load()["test"][0]
    number = int(row["text"][4:-1])
    assert (row["choice0"], row["choice1"], row["label"]) == (f"yes {number}", f"no {number}", number % 2)


def test_whole_numbers_are_classes_in_their_order(folder: Path) -> None:
    table([(f"text {n}", n % 11, 0) for n in range(220)]).to_csv(folder / "triage.csv", index=False)
    assert get_suite(write(folder)).tasks[0].labels == tuple(map(str, range(11)))


@given(st.lists(st.integers(-5, 5) | st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=1))
def test_kinds_are_guessed_alike_from_numbers_and_their_texts(numbers: list[float]) -> None:
    assert kind_of_labels(numbers) == kind_of_labels([f"{n}" if isinstance(n, int) else f"{n:.4f}" for n in numbers])
    assert kind_of_labels([*numbers[:9], "urgent"]) == "classification"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), st.integers(0, 2)), min_size=60, max_size=200))
def test_no_text_is_in_two_parts(rows: list[tuple[str, int]]) -> None:
    texts, strata = map(list, zip(*rows, strict=True))
    try:
        parts = stratified([texts], strata, 42, ["test", "validation"])
    except UserError:
        return  # too few texts or rows of a class
    assert sorted(number for part in parts.values() for number in part) == list(range(len(rows)))
    found = [{texts[number] for number in part} for part in parts.values()]
    assert not (found[0] & found[1] or found[0] & found[2] or found[1] & found[2])


def test_given_splits_stay_and_shared_texts_are_counted(folder: Path, capsys: pytest.CaptureFixture) -> None:
    say_once.cache_clear()
    table(NOTES).to_csv(folder / "train.csv", index=False)
    table([*NOTES[:3], ("another note", "low", 1)]).to_csv(folder / "test.csv", index=False)
    splits = load(folder, data={"train": "train.csv", "test": "test.csv"})
    assert (len(splits["test"]), len(splits["validation"]), len(splits["train"])) == (4, 12, 108)
    assert "rows of test have the same text as a row of train" in capsys.readouterr().err


def test_of_the_hub_or_its_mirror(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = folder / "mirror"
    (mirror / "me" / "notes" / "ward").mkdir(parents=True)
    table(NOTES).to_parquet(mirror / "me/notes/ward/train-00000-of-00001.parquet")
    table(NOTES[:30]).to_parquet(mirror / "me/notes/ward/dev-00000-of-00001.parquet")
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    data = {"hub": "me/notes", "config": "ward", "test": "dev"}
    assert {split: len(rows) for split, rows in load(folder, data=data).items()}["test"] == 30
    assert repositories(write(folder, data=data)) == [("me/notes", "dataset", ["ward/train*", "ward/dev*"])]


def test_the_content_is_known_by_its_fingerprint(folder: Path) -> None:
    before = get_suite(write(folder)).tasks[0].content
    assert get_suite(write(folder)).tasks[0].content == before
    assert get_suite(write(folder, about="other words")).tasks[0].content == before
    assert get_suite(write(folder, max_length=64)).tasks[0].content != before
    assert get_suite(write(folder, metric="accuracy")).tasks[0].content == before  # the default
    assert get_suite(write(folder, metric="f1_macro")).tasks[0].content != before
    table([("a changed note", "low", 0), *NOTES[1:]]).to_csv(folder / "triage.csv", index=False)
    assert get_suite(write(folder)).tasks[0].content != before
    assert "a changed note" in {text for rows in get_task("clinic", "triage").load().values() for text in rows["text"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "nots"}, "triage.csv: Unknown column 'nots' (did you mean 'note'?)"),
        ({"label": "urgncy"}, "Unknown column 'urgncy' (did you mean 'urgency'?)"),
        ({"data": "triag.csv"}, "triag.csv is not there"),
        ({"data": "triage.xlsx"}, "triage.xlsx is not there"),
        ({"metric": "f1"}, "Unknown metric for it 'f1'"),
        ({"metric": "pearson"}, "is classification: Unknown metric for it 'pearson'"),
        ({"kind": "regression"}, "'urgency' is 'high', expected a finite number"),
        ({"kind": "sorting"}, "Unknown kind of task 'sorting'"),
        ({"text": ["note", "note"]}, "name a column twice"),
        ({"text": ["note", "score", "urgency"], "label": "x"}, "names one column or two"),
        ({"label": None}, "needs the key 'label'"),
        ({"txt": "note"}, "did you mean 'text'?"),
        ({"data": {"config": "x"}}, "goes with 'hub' only"),
        ({"data": {"test": "triage.csv"}}, "needs the key 'train' with a file"),
        ({"max_length": "long"}, "'max_length' should be a valid integer"),
        ({"name": "glue"}, "is that of a published suite"),
        ({"name": "../x"}, "is not of letters, digits and _"),
    ],
)
def test_mistakes_in_the_file(folder: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(folder, **changes)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("note,urgency\nfine,low\n,high\n", "triage.csv, row 2: 'note' is empty"),
        ("note,urgency\nfine,low\nill,\n", "triage.csv, row 2: 'urgency' is empty"),
        ("note,urgency\nfine,low\nill,low\n", "has only the label 'low'"),
        ("note,urgency\nfine,low,extra\nill,high\n", "triage.csv is no table"),
        ("note,urgency\nfine,low\nill,high,extra\n", "triage.csv is no table"),
        ('note,urgency\n"Fine, low\nill,high\n"Better,low\n', "triage.csv is no table (in or before line 4: "),
        ('note,urgency\nfine,low\n"ill,high\n', "and double those inside"),
        ("note,note,urgency\na,b,c\n", "has the column 'note' twice"),
        ("note,urgency\n", "has no rows"),
        ("", "is no table"),
        (
            "note,urgency\n" + "".join(f"note {n},{'rare' if n < 3 else 'usual'}\n" for n in range(90)),
            "3 rows have the label",
        ),
        ("note,urgency\n" + "".join(f"one of {n % 2},{'ab'[n % 2]}\n" for n in range(40)), "40 rows are too few"),
    ],
)
def test_mistakes_in_the_rows(folder: Path, text: str, message: str) -> None:
    (folder / "triage.csv").write_text(text)
    with pytest.raises(UserError) as error:
        load(folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_mistakes_of_other_formats_and_splits(folder: Path) -> None:
    def fails(message: str, **changes: object) -> None:
        with pytest.raises(UserError) as error:
            load(folder, **changes)
        assert message in str(error.value) and "\n" not in str(error.value)

    (folder / "triage.csv").write_bytes("note,urgency\nfine,low\nkränk,high\n".encode("latin-1"))
    fails("triage.csv is not UTF-8 (byte 0xe4 in line 3)")
    (folder / "x.jsonl").write_text('{"note": "fine", "urgency": "low"}\n{"note": 7, "urgency": "high"}\n')
    fails("x.jsonl, row 2: 'note' is 7, expected a text", data="x.jsonl")
    (folder / "x.jsonl").write_text('{"note": "fine", "urgency": "low"}\n{"note": \n')
    fails("x.jsonl, line 2 is no JSON", data="x.jsonl")
    (folder / "x.jsonl").write_text("[1]\n")
    fails("x.jsonl, line 1 is no object", data="x.jsonl")
    (folder / "x.parquet").write_bytes(b"PAR1 not at all")
    fails("x.parquet is no readable Parquet file", data="x.parquet")
    (folder / "x.json").write_text("{}")
    fails("has an ending that is not known", data="x.json")
    table(NOTES).to_csv(folder / "train.csv", index=False)
    table([("new", "urgent", 1)]).to_csv(folder / "test.csv", index=False)
    fails(
        "test.csv, row 1: 'urgency' is 'urgent', which is no label of train",
        data={"train": "train.csv", "test": "test.csv"},
    )
    fails(
        "'score' is 'inf', expected a finite number", data=_with_score(folder, "inf"), label="score", kind="regression"
    )
    fails("'score' is 1.0 in every row", data=_with_score(folder, "1", 60), label="score", kind="regression")


def _with_score(folder: Path, score: str, rows: int = 2) -> str:
    table([(f"note {n}", "low", score) for n in range(rows)]).to_csv(folder / "scores.csv", index=False)
    return "scores.csv"


def test_one_that_is_none_among_decimal_numbers_is_a_mistake(folder: Path) -> None:
    rows = [(f"note {n}", "low", "n/a" if n == 30 else n / 4) for n in range(60)]
    table(rows).to_csv(folder / "scores.csv", index=False)
    with pytest.raises(UserError, match=r"scores.csv, row 31: 'score' is 'n/a', expected a finite number"):
        load(folder, data="scores.csv", label="score")


def test_a_json_text_keeps_its_line_separators(folder: Path) -> None:
    rows = [{"note": f"text {n}\u2028goes on", "urgency": "ab"[n % 2]} for n in range(40)]
    (folder / "x.jsonl").write_text("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    texts = {text for part in load(folder, data="x.jsonl").values() for text in part["text"]}
    assert texts == {row["note"] for row in rows}


def test_splits_of_the_hub_that_are_not_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = folder / "mirror" / "me" / "notes"
    files.mkdir(parents=True)
    monkeypatch.setenv("SCALEARN_HUB", str(folder / "mirror"))
    table(NOTES).to_parquet(files / "train.parquet")
    assert len(load(folder, data={"hub": "me/notes"})["train"]) == 96, "both others are drawn"
    table(NOTES[:21]).to_csv(files / "test.csv", index=False)
    table(NOTES[:24]).to_csv(files / "validation.csv", index=False)
    found = load(folder, data={"hub": "me/notes"})
    assert {split: len(rows) for split, rows in found.items()} == {"train": 120, "validation": 24, "test": 21}
    assert repositories(write(folder, data={"hub": "me/notes"})) == [("me/notes", "dataset", ["train*", "[tv]*"])]
    (files / "unlabelled.txt").write_text("no rows")
    with pytest.raises(UserError, match=r"has no file unlabelled\* that ends in .csv"):
        load(folder, data={"hub": "me/notes", "test": "unlabelled"})
    with pytest.raises(UserError, match=r"needs nothing\* of 'me/notes'"):
        load(folder, data={"hub": "me/notes", "test": "nothing"})


def test_a_file_that_changes_meanwhile_is_not_read(folder: Path) -> None:
    task = get_suite(write(folder, max_length=77)).tasks[0]  # not read before by this process
    table([("a changed note", "low", 0), *NOTES[1:]]).to_csv(folder / "triage.csv", index=False)
    with pytest.raises(UserError, match="triage.csv has changed since this process began"):
        task.load()


def test_names_that_are_taken(folder: Path) -> None:
    for key, name, message in (
        ("tasks", "record", "is the name of a task of the suite 'superglue'"),
        ("tasks", "average", "means something else in tables"),
        ("tasks", "two-words", "is not of letters, digits and _"),
        ("tasks", "type", "is taken by torch"),
        ("adapters", "all", "means something else in tables"),
        ("adapters", "float", "is taken by torch"),
        ("adapters", "triage", "which is a task's"),
    ):
        task = {"data": "triage.csv", "text": "note", "label": "urgency"}
        content = {"name": "clinic", "tasks": {"triage": task}}
        content |= {"tasks": {name: task}} if key == "tasks" else {"adapters": {name: "somewhere"}}
        (folder / "clinic.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(UserError, match=message):
            get_suite(str(folder / "clinic.yaml"))


def test_names_that_no_adapter_can_have() -> None:
    words = {*dir(nn.ModuleDict()), *dir(nn.ParameterDict())} - {"smart_apply"}  # which transformers adds for a while
    words = {word for word in words if not word.startswith(("_", "register_"))}
    assert words <= set(TORCH)


def test_check_tells_all(folder: Path) -> None:
    table([*NOTES, *(("of no use", "rare", 0),) * 12]).to_csv(folder / "triage.csv", index=False)
    lines = list(check_suite(get_suite(write(folder, max_length=6)), "tiny"))
    shown = "\n".join(line for line, _ in lines)
    assert not any(problem for _, problem in lines)
    for part in (
        "classification, 4 classes",
        "rows: ",
        "labels: ",
        "max_length 6 cuts 100.0% of the rows of train; raise it (the encoder takes ",
        "baseline",
        "example: ",
    ):
        assert part in shown
    assert "note: validation has no row of 1 of 4 classes, such as rare" in shown, "they share one text"
    lines = list(check_suite(get_suite(write(folder, max_length=100_000)), "tiny"))
    assert [line for line, problem in lines if problem][0].startswith("  cannot be run: Task 'triage' has up to 100000")
    (folder / "triage.csv").write_text("note,urgency\nfine,low\n,high\n")
    assert [problem for _, problem in check_suite(get_suite(write(folder)), "tiny")].count(True) == 1


def test_every_published_suite_passes_the_check_of_toy() -> None:
    assert not any(problem for _, problem in check_suite(get_suite("toy"), "tiny"))
