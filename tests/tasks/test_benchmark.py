"""Every task of every benchmark, through the code path that reads the hub, from rows in the hub's exact schema."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import ClassLabel, Value

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import SUITES, get_suite, get_task
from scalearn_lib.tasks.encoders import load_tokenizer
from scalearn_lib.tasks.encoding import encode
from scalearn_lib.tasks.humset import LABELS
from scalearn_lib.tasks.metrics import baseline

from .mirror import GLUE, TEST, TRAIN, glue_rows, write_glue, write_humset, write_mirror, write_split

TASKS = {
    f"{task.suite}/{task.name}": task for suite in ("glue", "superglue", "humset") for task in get_suite(suite).tasks
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirror(tmp_path_factory.mktemp("mirror"))


@pytest.fixture(autouse=True)
def use_mirror(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    monkeypatch.setattr("scalearn_lib.tasks.hub.unreachable", lambda: "the hub cannot be reached")


FIRST_TEST_ROW = {
    "glue/mnli": "<s>premise 100 of mnli</s></s>hypothesis 100 of mnli</s>",
    "glue/qqp": "<s>question1 100 of qqp</s></s>question2 100 of qqp</s>",
    "glue/qnli": "<s>question 100 of qnli</s></s>sentence 100 of qnli</s>",
    "glue/sst2": "<s>sentence 100 of sst2</s>",
    "glue/stsb": "<s>sentence1 100 of stsb</s></s>sentence2 100 of stsb</s>",
    "glue/mrpc": "<s>sentence1 100 of mrpc</s></s>sentence2 100 of mrpc</s>",
    "glue/rte": "<s>sentence1 100 of rte</s></s>sentence2 100 of rte</s>",
    "glue/cola": "<s>sentence 100 of cola</s>",
    "superglue/record": "<s>The Queen met Anna and Bob.\n- Anna left.</s></s>Anna left at 0</s>",
    "superglue/multirc": "<s>About 0.</s></s>What is 0? answer 0</s>",
    "superglue/boolq": "<s>is 0 odd</s></s>no 0.</s>",
    "superglue/wic": "<s>place: Do you come to my place 0?</s></s>place: A political system with no place.</s>",
    "superglue/wsc": "<s>Mark told Pete many lies 0, which *he* believed.</s></s>Mark</s>",
    "superglue/copa": [
        "<s>The sea rose 0. because</s></s>it rained.</s>",
        "<s>The sea rose 0. because</s></s>it snowed for a long time.</s>",
    ],
    "superglue/cb": "<s>he knew 0.</s></s>0 was so</s>",
    "superglue/rte": "<s>no weapons 0.</s></s>weapons 0.</s>",
} | {f"humset/{task}": "<s>test excerpt 0</s>" for task in LABELS}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_loads_and_its_first_test_row_reads_as_the_paper_has_it(name: str) -> None:
    task, tokenizer = TASKS[name], load_tokenizer("tiny")
    splits = task.load()
    held_out = task.suite != "humset"
    per = 3 if task.name == "record" else 1  # rows that a question makes
    assert len(splits["test"]) == TEST * per
    assert len(splits["train"]) + held_out * len(splits["validation"]) == (TRAIN if held_out else TEST) * per
    encoded = encode(splits["test"], task, tokenizer)
    ids = encoded[0]["input_ids"]
    decoded = tokenizer.batch_decode(ids) if task.kind == "multiple_choice" else tokenizer.decode(ids)
    assert decoded == FIRST_TEST_ROW[name]
    assert encoded.features["labels"] in (Value("int64"), Value("float32")) or task.kind == "multi_label"
    assert 0 <= baseline(task) < 1


def test_the_published_order_of_suites_sizes_and_seeds() -> None:
    assert [t.name for t in get_suite("glue").tasks] == "mnli qqp qnli sst2 stsb mrpc rte cola".split()
    assert [t.name for t in get_suite("superglue").tasks] == "record multirc boolq wic wsc copa cb rte".split()
    gsg = get_suite("gsg").tasks
    assert len(gsg) == len({task.name for task in gsg}) == 15
    assert [t.num_labels for t in get_suite("humset").tasks] == [11, 7, 33, 6, 18]
    three = {t.name for name in ("glue", "superglue") for t in get_suite(name).tasks if t.seeds == 3}
    assert three == {"mnli", "qqp", "qnli", "sst2", "multirc", "record"}
    lengths = {t.name: t.max_length for t in gsg if t.max_length != 128}
    assert lengths == {"record": 256, "multirc": 324}
    assert {t.select for t in get_suite("humset").tasks} == {"metric"} and {t.select for t in gsg} == {"loss"}
    assert set(FIRST_TEST_ROW) == set(TASKS)


@pytest.mark.parametrize("name", ["glue/rte", "superglue/copa", "glue/mnli"])
def test_validation_is_a_tenth_of_train_in_proportion_to_the_labels(name: str) -> None:
    splits = TASKS[name].load()
    assert len(splits["validation"]) == TRAIN // 10
    counts = np.bincount(splits["validation"]["label"][:], minlength=TASKS[name].num_labels)
    assert counts.max() - counts.min() <= 1
    texts = {split: set(splits[split][TASKS[name].columns[0]]) for split in splits}
    assert not texts["train"] & texts["validation"]


def test_record_keeps_questions_whole_and_mnli_has_a_second_test_split() -> None:
    splits = TASKS["superglue/record"].load()
    assert not set(splits["train"]["question"]) & set(splits["validation"]["question"])
    assert len(splits["validation"]) == 3 * TRAIN // 10
    assert splits["test"]["label"][:3] == [1, 0, 0] and splits["test"]["answers"][1] == ["Anna"]
    mnli = TASKS["glue/mnli"].load()
    assert list(mnli) == ["train", "validation", "test", "test_mismatched"]
    assert mnli["test_mismatched"]["premise"][0] == "premise 200 of mnli"


def test_record_cuts_the_passage_only() -> None:
    task = TASKS["superglue/record"]
    rows = task.load()["test"].select([0])
    long = rows.map(lambda row: {"text": "the sea and " * 400})
    ids = encode(long, task, load_tokenizer("tiny"))[0]["input_ids"]
    assert len(ids) == 256
    assert load_tokenizer("tiny").decode(ids).endswith("</s></s>Anna left at 0</s>")


def test_humset_reads_lists_texts_of_lists_and_none_alike() -> None:
    task = TASKS["humset/sectors"]
    rows = task.load()["validation"]
    assert rows["label"][:4] == [[0, 3], [], [2, 5], [3, 6]]
    encoded = encode(rows, task, load_tokenizer("tiny"))
    assert encoded["labels"][2] == [float(i in (2, 5)) for i in range(11)]


def test_a_task_of_gsg_is_that_of_its_home_suite() -> None:
    assert get_task("gsg", "rte") is TASKS["glue/rte"] and get_task("gsg", "copa") is TASKS["superglue/copa"]


# Bad input. Each spoils one file of a fresh mirror and has one sentence for an answer.


def spoiled(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_glue(mirror, "rte")
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    return mirror / "nyu-mll/glue/rte"


def without_a_split(folder: Path) -> str:
    (folder / "validation-00000-of-00001.parquet").unlink()
    return r"Task 'rte' needs rte/validation-\*.parquet of 'nyu-mll/glue', but the mirror folder .* lacks .*prefetch"


def wrong_columns(folder: Path) -> str:
    rows, features = glue_rows("qnli", 40)
    write_split(folder, "train", rows, features)
    return r"train-.*of task 'rte' has the columns question, sentence, label, idx, but no 'sentence1'; run `scalearn"


def unknown_classes(folder: Path) -> str:
    rows, features = glue_rows("rte", 40)
    write_split(folder, "train", rows, features | {"label": ClassLabel(names=["yes", "no"])})
    return r"train-.*of task 'rte' has the classes \['yes', 'no'\], expected \['entailment', 'not_entailment'\]"


def unknown_label_texts(folder: Path) -> str:
    rows, features = glue_rows("rte", 40)
    rows = [row | {"label": "maybe"} for row in rows]
    write_split(folder, "train", rows, features | {"label": Value("string")})
    return "has the unknown label 'maybe', expected one of entailment, not_entailment"


def ids_out_of_range(folder: Path) -> str:
    rows, features = glue_rows("rte", 40)
    rows[7]["label"] = 5
    write_split(folder, "train", rows, features | {"label": Value("int64")})
    return "Row 7 of .*train-.* of task 'rte' has the label 5, expected 0 to 1"


def hidden_labels(folder: Path) -> str:
    rows, features = glue_rows("rte", 8)
    rows[3]["label"] = -1
    write_split(folder, "validation", rows, features)
    return "Row 3 of task 'rte' in .*validation-.* has no label; use labelled splits"


def empty_file(folder: Path) -> str:
    (folder / "train-00000-of-00001.parquet").write_bytes(b"")
    return "train-.* of task 'rte' is no readable Parquet file; run `scalearn prefetch` or copy it again"


def no_rows(folder: Path) -> str:
    write_split(folder, "train", *map(lambda part: part, ([], glue_rows("rte", 1)[1])))
    return "train-.* of task 'rte' has no rows"


def corrupt_file(folder: Path) -> str:
    file = folder / "train-00000-of-00001.parquet"
    data = bytearray(file.read_bytes())
    data[4:200] = bytes(196)
    file.write_bytes(data)
    return "train-.* of task 'rte' is no readable Parquet file"


def too_few_rows(folder: Path) -> str:
    write_split(folder, "train", *glue_rows("rte", 5))
    return "The 5 training rows of task 'rte' are too few to hold out 10 % for validation with every class"


SPOILERS = (
    without_a_split,
    wrong_columns,
    unknown_classes,
    unknown_label_texts,
    ids_out_of_range,
    hidden_labels,
    empty_file,
    no_rows,
    corrupt_file,
    too_few_rows,
)


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_bad_files_are_answered_in_one_sentence(spoil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = spoil(spoiled(tmp_path, monkeypatch))
    with pytest.raises(UserError, match=message) as error:
        get_task("glue", "rte").load()
    assert "\n" not in str(error.value)


def test_labels_as_plain_numbers_or_names_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = spoiled(tmp_path, monkeypatch)
    rows, features = glue_rows("rte", TRAIN)
    write_split(folder, "train", rows, features | {"label": Value("int64")})
    names = [row | {"label": GLUE["rte"][1][row["label"]]} for row in rows[:TEST]]
    write_split(folder, "validation", names, features | {"label": Value("string")})
    splits = get_task("glue", "rte").load()
    assert splits["test"]["label"][:3] == [0, 1, 0] and sorted(set(splits["train"]["label"])) == [0, 1]


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            '"sectors": ["Agriculture"',
            '"sectors": ["Fishing"',
            "Line 1 of .*train.jsonl has the unknown label 'Fishing'",
        ),
        ('"sectors": ["Agriculture"', '"sectors": [3', "Line 1 of .*train.jsonl has the unknown label '3'"),
        ('"excerpt"', '"text"', "Line 1 of .*train.jsonl has no field 'excerpt'"),
        ('{"entry_id": "0"', '{"entry_id" "0"', "Line 1 of .*train.jsonl is no JSON"),
        ('"[]"', '"[unclosed"', "Line 2 of .*train.jsonl has labels of task 'sectors' that are no list"),
    ],
)
def test_bad_humset_lines(old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_humset(tmp_path) / "train.jsonl"
    monkeypatch.setenv("SCALEARN_HUB", str(tmp_path))
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        get_task("humset", "sectors").load()
    file.write_text("")
    with pytest.raises(UserError, match="train.jsonl of task 'sectors' has no rows"):
        get_task("humset", "sectors").load()


def test_a_regression_task_cannot_be_stratified() -> None:
    with pytest.raises(UserError, match="Task 'stsb' is regression: it has no single class by which to stratify"):
        replace(TASKS["glue/stsb"], stratify=True)


def test_every_suite_is_listed() -> None:
    assert list(SUITES) == ["offline", "glue", "superglue", "gsg", "humset", "toy"]
