"""The suite `toy`: four small tasks made in code, for tests and first steps without any download.

Even the random encoder `tiny` learns them: one word or phrase decides. Every text occurs once.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import lazy_loader
import numpy as np

from .splits import split
from .task import Suite, Task

if TYPE_CHECKING:
    from datasets import DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without

TOPICS = {
    "weather": ("storm", "rain", "fog", "snow", "thunder", "sunshine"),
    "sport": ("striker", "goalkeeper", "referee", "coach", "sprinter", "boxer"),
    "music": ("violin", "choir", "drummer", "piano", "trumpet", "orchestra"),
}
PLACES = ("the sea", "the valley", "the old town", "the harbour", "the hills", "the stadium", "the park", "the bridge")
VERBS = ("was seen near", "came back to", "was the talk of", "stayed close to", "was missed at", "is known in")
THINGS = ("soup", "film", "hotel", "bicycle", "novel", "garden", "concert", "phone", "coat", "journey")
SCORES = {"awful": -2, "bad": -1, "ordinary": 0, "good": 1, "wonderful": 2}
DEGREES = {"slightly": 0.5, "": 1.0, "really": 1.5}
REPLIES = {
    "disagrees": ("no, i doubt that", "never, not at all", "wrong, i saw nothing", "no way, not once"),
    "agrees": ("yes, i know that", "indeed, quite right", "sure, i saw it too", "yes, of course"),
}


def _sentences(*parts: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` different sentences, each made of one phrase of every part."""
    every = [" ".join(" ".join(phrases).split()) for phrases in itertools.product(*parts)]
    return [every[i] for i in np.random.RandomState(seed).permutation(len(every))[:count]]


def _topic() -> DatasetDict:
    rows = {"text": [], "label": []}
    for label, words in enumerate(TOPICS.values()):
        couples = [f"the {a} and the {b} near" for a, b in itertools.permutations(words, 2)]
        texts = _sentences(couples, PLACES, count=120, seed=label)
        rows["text"] += texts
        rows["label"] += [label] * len(texts)
    return _split(TOPIC, rows)


def _polarity() -> DatasetDict:
    rows = {"text": [], "label": []}
    for label, sign in enumerate((-1, 1)):
        words = [word for word, value in SCORES.items() if value * sign > 0]
        texts = _sentences(["the"], THINGS, ["near"], PLACES, ["was"], words, count=(110, 150)[label], seed=label)
        rows["text"] += texts
        rows["label"] += [label] * len(texts)
    return _split(POLARITY, rows)


def _score() -> DatasetDict:
    texts = _sentences(["the"], THINGS, ["was"], DEGREES, SCORES, ["in", "for"], ["may", "june"], count=360, seed=0)
    labels = []
    for text in texts:
        words = text.split()
        value = next(SCORES[word] for word in words if word in SCORES)
        labels.append(value * next((DEGREES[word] for word in words if word in DEGREES), 1.0))
    return _split(SCORE, {"text": texts, "label": labels})


def _pair() -> DatasetDict:
    words = [f"the {word}" for topic in TOPICS.values() for word in topic]
    statements = _sentences(["they say"], words, VERBS, PLACES, count=320, seed=1)
    rows = {"text": statements, "text_pair": [], "label": []}
    for label, phrases in enumerate(REPLIES.values()):
        replies = _sentences(phrases, ["with the"], THINGS, ["at"], PLACES, count=160, seed=label)
        rows["text_pair"] += replies
        rows["label"] += [label] * len(replies)
    return _split(PAIR, rows)


def _split(task: Task, rows: dict[str, list]) -> DatasetDict:
    return split(datasets.Dataset.from_dict(rows, features=task.features), task.columns, seed=0, share=0.2)


TOPIC = Task(
    "toy_topic", "toy", "classification", ("text",), tuple(TOPICS), "accuracy", "weather, sport or music?", _topic
)
PAIR = Task(
    "toy_pair", "toy", "classification", ("text", "text_pair"), tuple(REPLIES), "accuracy", "a reply: agrees?", _pair
)
SCORE = Task("toy_score", "toy", "regression", ("text",), (), "pearson", "how good is it, from -3 to 3?", _score)
POLARITY = Task(
    "toy_polarity", "toy", "classification", ("text",), ("bad", "good"), "matthews", "good or bad?", _polarity
)
SUITE = Suite("toy", "four tasks made in code, for tests and first steps", (TOPIC, PAIR, SCORE, POLARITY))


def texts() -> list[str]:
    """All training texts of the suite, in a fixed order: what the `tiny` encoder's tokenizer is trained on."""
    return [text for task in SUITE.tasks for column in task.columns for text in task.load()["train"][column][:]]
