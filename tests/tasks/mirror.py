"""A mirror folder with a handful of rows of every benchmark, in the exact schema of the hub's datasets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, List, Value

from scalearn_lib.tasks.humset import LABELS

TEXT, INT, FLAGS = Value("string"), Value("int32"), ("False", "True")
ENTAILS = ("entailment", "not_entailment")
GLUE = {
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "qnli": (("question", "sentence"), ENTAILS),
    "sst2": (("sentence",), ("negative", "positive")),
    "stsb": (("sentence1", "sentence2"), None),
    "mrpc": (("sentence1", "sentence2"), ("not_equivalent", "equivalent")),
    "rte": (("sentence1", "sentence2"), ENTAILS),
    "cola": (("sentence",), ("unacceptable", "acceptable")),
}
IDX = {"idx": INT}
SUPERGLUE: dict[str, tuple[dict[str, object], tuple[str, ...] | None, Callable[[int], dict[str, object]]]] = {
    "boolq": (
        {"question": TEXT, "passage": TEXT} | IDX,
        FLAGS,
        lambda i: {"question": f"is {i} odd", "passage": f"no {i}."},
    ),
    "cb": (
        {"premise": TEXT, "hypothesis": TEXT} | IDX,
        ("entailment", "contradiction", "neutral"),
        lambda i: {"premise": f"he knew {i}.", "hypothesis": f"{i} was so"},
    ),
    "copa": (
        {"premise": TEXT, "choice1": TEXT, "choice2": TEXT, "question": TEXT} | IDX,
        ("choice1", "choice2"),
        lambda i: {
            "premise": f"The sea rose {i}.",
            "choice1": "it rained.",
            "choice2": "it snowed for a long time.",
            "question": ("cause", "effect")[i % 2],
        },
    ),
    "multirc": (
        {
            "paragraph": TEXT,
            "question": TEXT,
            "answer": TEXT,
            "idx": {"paragraph": INT, "question": INT, "answer": INT},
        },
        FLAGS,
        lambda i: {
            "paragraph": f"About {i // 4}.",
            "question": f"What is {i // 2 % 2}?",
            "answer": f"answer {i}",
            "idx": {"paragraph": i // 4, "question": i // 2 % 2, "answer": i},
        },
    ),
    "record": (
        {
            "passage": TEXT,
            "query": TEXT,
            "entities": List(TEXT),
            "entity_spans": List({"text": TEXT, "start": INT, "end": INT}),
            "answers": List(TEXT),
            "idx": {"passage": INT, "query": INT},
        },
        None,
        lambda i: {
            "passage": "The Queen met Anna and Bob.\n@highlight\nAnna left.",
            "query": f"@placeholder left at {i}",
            "entities": ["Anna", "Bob", "The Queen"],
            "entity_spans": [{"text": "Anna", "start": 14, "end": 18}],
            "answers": [("Anna", "Bob", "The Queen")[i % 3]],
            "idx": {"passage": 0, "query": i},
        },
    ),
    "rte": (
        {"premise": TEXT, "hypothesis": TEXT} | IDX,
        ENTAILS,
        lambda i: {"premise": f"no weapons {i}.", "hypothesis": f"weapons {i}."},
    ),
    "wic": (
        {"word": TEXT, "sentence1": TEXT, "sentence2": TEXT, "start1": INT, "start2": INT, "end1": INT, "end2": INT}
        | IDX,
        FLAGS,
        lambda i: {
            "word": "place",
            "sentence1": f"Do you come to my place {i}?",
            "sentence2": "A political system with no place.",
            **dict.fromkeys(("start1", "start2", "end1", "end2"), 0),
        },
    ),
    "wsc": (
        {"text": TEXT, "span1_index": INT, "span2_index": INT, "span1_text": TEXT, "span2_text": TEXT} | IDX,
        FLAGS,
        lambda i: {
            "text": f"Mark told Pete many lies {i}, which he believed.",
            "span1_index": 0,
            "span2_index": 7,
            "span1_text": "Mark",
            "span2_text": "he",
        },
    ),
}
TRAIN, TEST = 40, 8
"""Rows of each split, or questions where several rows make one."""


def write_split(folder: Path, split: str, rows: list[dict[str, object]], features: dict[str, object]) -> Path:
    """Write one split as the hub does: one Parquet file with its features in the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {name: [row[name] for row in rows] for name in features}
    file = folder / f"{split}-00000-of-00001.parquet"
    Dataset.from_dict(columns, features=Features(features)).to_parquet(file)
    return file


def glue_rows(task: str, count: int, first: int = 0) -> tuple[list[dict[str, object]], dict[str, object]]:
    columns, labels = GLUE[task]
    rows = [
        {column: f"{column} {i} of {task}" for column in columns}
        | {"label": float(i % 6) if labels is None else i % len(labels), "idx": i}
        for i in range(first, first + count)
    ]
    label = Value("float32") if labels is None else ClassLabel(names=list(labels))
    return rows, dict.fromkeys(columns, TEXT) | {"label": label, "idx": INT}


def write_glue(mirror: Path, task: str) -> None:
    tests = ("validation_matched", "validation_mismatched") if task == "mnli" else ("validation",)
    for number, split in enumerate(("train", *tests)):
        rows, features = glue_rows(task, TEST if number else TRAIN, 100 * number)
        write_split(mirror / "nyu-mll/glue" / task, split, rows, features)


def write_superglue(mirror: Path, task: str) -> None:
    features, labels, row = SUPERGLUE[task]
    if labels is not None:
        features = features | {"label": ClassLabel(names=list(labels))}
    for split, count in (("train", TRAIN), ("validation", TEST)):
        rows = [row(i) for i in range(count)]
        for i, one in enumerate(rows):
            one.setdefault("idx", i)
            if labels is not None:
                one["label"] = i % len(labels)
        write_split(mirror / "aps/super_glue" / task, split, rows, features)


def write_humset(mirror: Path, count: int = TEST) -> Path:
    """Write the three JSONL files: labels as lists in some lines, as the text of a list in others, or none."""
    folder = mirror / "nlp-thedeep/humset/data"
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        lines = []
        for i in range(count):
            entry = {"entry_id": str(i), "lang": ("en", "fr", "es")[i % 3], "excerpt": f"{split} excerpt {i}"}
            for task, names in LABELS.items():
                names = names.split("|")
                chosen = [] if i == 1 else [names[i % len(names)], names[(i + 3) % len(names)]]
                entry[task] = str(chosen) if i % 2 else chosen
            lines.append(json.dumps(entry))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_mirror(mirror: Path) -> Path:
    """Write every task of every benchmark."""
    for task in GLUE:
        write_glue(mirror, task)
    for task in SUPERGLUE:
        write_superglue(mirror, task)
    write_humset(mirror)
    return mirror
