"""SuperGLUE as the paper uses it: eight tasks, of which the official validation set is the test set."""

from __future__ import annotations

from ..errors import UserError
from .benchmark import HubTask
from .glue import ENTAILS
from .task import Suite

Batch = dict[str, list]
YES_NO = ("False", "True")


def wic_texts(batch: Batch) -> Batch:
    """Both sentences, each after the word."""
    pairs = [
        [f"{word}: {text}" for word, text in zip(batch["word"], batch[column], strict=True)]
        for column in ("sentence1", "sentence2")
    ]
    return {"text": pairs[0], "text_pair": pairs[1], "label": batch["label"]}


def wsc_texts(batch: Batch) -> Batch:
    """The text with its pronoun (word number `span2_index`) between asterisks, and the noun that it may stand for.

    Raises:
        UserError: the text has no such word.
    """
    texts = []
    for text, place in zip(batch["text"], batch["span2_index"], strict=True):
        words = text.split()
        if not 0 <= place < len(words):
            raise UserError(
                f"A row of task 'wsc' has {len(words)} words and its pronoun at {place}; run `scalearn prefetch` again."
            )
        words[place] = f"*{words[place]}*"
        texts.append(" ".join(words))
    return {"text": texts, "text_pair": batch["span1_text"], "label": batch["label"]}


COPA_JOINTS = {"cause": "because", "effect": "so"}


def copa_texts(batch: Batch) -> Batch:
    """The premise with "because" or "so", and the two choices."""
    texts = [
        f"{premise} {COPA_JOINTS[asked]}" for premise, asked in zip(batch["premise"], batch["question"], strict=True)
    ]
    return {"text": texts, "choice1": batch["choice1"], "choice2": batch["choice2"], "label": batch["label"]}


def multirc_texts(batch: Batch) -> Batch:
    """The paragraph, and the question with one candidate answer; questions are numbered within their paragraphs."""
    pairs = [f"{question} {answer}" for question, answer in zip(batch["question"], batch["answer"], strict=True)]
    numbers = [idx["paragraph"] * 10_000 + idx["question"] for idx in batch["idx"]]
    return {"text": batch["paragraph"], "text_pair": pairs, "question": numbers, "label": batch["label"]}


def record_texts(batch: Batch) -> Batch:
    """A row per question and entity: the passage, and the query with the entity in the place of the placeholder.

    The passage's highlights become items of a list.
    """
    rows: Batch = {name: [] for name in ("text", "text_pair", "question", "answer", "answers", "label")}
    columns = (batch[name] for name in ("passage", "query", "entities", "answers", "idx"))
    for passage, query, entities, answers, idx in zip(*columns, strict=True):
        for entity in entities:
            text = passage.replace("@highlight\n", "- ")
            values = (text, query.replace("@placeholder", entity), idx["query"], entity, answers, entity in answers)
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    return rows


def _superglue(
    name: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    about: str,
    *,
    kind: str = "classification",
    metric: str = "accuracy",
    **more: object,
) -> HubTask:
    settings = {"inputs": (*columns, "label"), "empty_texts": True} | more
    return HubTask(
        name, "superglue", kind, columns, labels, metric, about, repo="aps/super_glue", config=name, **settings
    )


RECORD = _superglue(
    "record",
    ("text", "text_pair"),
    ("wrong", "right"),
    "which entity of the passage fills the gap? Scored by question",
    metric="answer_f1",
    more_metrics=("exact_match",),
    extra=("question", "answer", "answers"),
    inputs=("passage", "query", "entities", "answers", "idx"),
    convert=record_texts,
    max_length=256,
    truncation="only_first",
    stratify=False,
    seeds=3,
)
MULTIRC = _superglue(
    "multirc",
    ("text", "text_pair"),
    YES_NO,
    "is it a right answer to the question about the paragraph? F1 over all answers (F1a)",
    metric="f1",
    more_metrics=("exact_match",),
    extra=("question",),
    inputs=("paragraph", "question", "answer", "idx", "label"),
    convert=multirc_texts,
    max_length=324,
    seeds=3,
)
BOOLQ = _superglue("boolq", ("question", "passage"), YES_NO, "does the passage answer the question with yes?")
WIC = _superglue(
    "wic",
    ("text", "text_pair"),
    YES_NO,
    "has a word the same meaning in two sentences?",
    inputs=("word", "sentence1", "sentence2", "label"),
    convert=wic_texts,
)
WSC = _superglue(
    "wsc",
    ("text", "text_pair"),
    YES_NO,
    "does the pronoun stand for the noun?",
    inputs=("text", "span1_text", "span2_index", "label"),
    convert=wsc_texts,
)
COPA = _superglue(
    "copa",
    ("text", "choice1", "choice2"),
    ("choice1", "choice2"),
    "which of two is the cause or the effect?",
    kind="multiple_choice",
    inputs=("premise", "choice1", "choice2", "question", "label"),
    convert=copa_texts,
)
CB = _superglue(
    "cb",
    ("premise", "hypothesis"),
    ("entailment", "contradiction", "neutral"),
    "is the speaker committed to the hypothesis?",
    stratify=False,
)
RTE = _superglue("rte", ("premise", "hypothesis"), ENTAILS, "does the premise entail the hypothesis?")

SUITE = Suite(
    "superglue",
    "SuperGLUE, eight tasks from the hub or a mirror",
    (RECORD, MULTIRC, BOOLQ, WIC, WSC, COPA, CB, RTE),
)
