"""GLUE as the paper uses it: eight tasks, of which the official validation set is the test set."""

from __future__ import annotations

from .benchmark import HubTask
from .task import Suite

ENTAILS = ("entailment", "not_entailment")


def _glue(
    name: str,
    columns: tuple[str, ...],
    labels: tuple[str, ...],
    about: str,
    *,
    metric: str = "accuracy",
    large: bool = False,
    **more: object,
) -> HubTask:
    """A task of GLUE; the paper has three seeds for the large ones and ten for the others."""
    kind = "classification" if labels else "regression"
    return HubTask(
        name,
        "glue",
        kind,
        columns,
        labels,
        metric,
        about,
        repo="nyu-mll/glue",
        config=name,
        inputs=(*columns, "label"),
        stratify=bool(labels),
        seeds=3 if large else 10,
        empty_texts=True,
        **more,
    )


MNLI = _glue(
    "mnli",
    ("premise", "hypothesis"),
    ("entailment", "neutral", "contradiction"),
    "does the premise entail the hypothesis? Tested on matched and on mismatched genres",
    large=True,
    splits={"train": "train", "validation_matched": "test", "validation_mismatched": "test_mismatched"},
)
QQP = _glue(
    "qqp",
    ("question1", "question2"),
    ("not_duplicate", "duplicate"),
    "do two questions ask the same?",
    large=True,
    more_metrics=("f1",),
)
QNLI = _glue("qnli", ("question", "sentence"), ENTAILS, "does the sentence answer the question?", large=True)
SST2 = _glue("sst2", ("sentence",), ("negative", "positive"), "sentiment of film reviews", large=True)
STSB = _glue("stsb", ("sentence1", "sentence2"), (), "how similar are two sentences, from 0 to 5?", metric="pearson")
MRPC = _glue(
    "mrpc",
    ("sentence1", "sentence2"),
    ("not_equivalent", "equivalent"),
    "is the second sentence a paraphrase?",
    more_metrics=("f1",),
)
RTE = _glue("rte", ("sentence1", "sentence2"), ENTAILS, "does the first text entail the second?")
COLA = _glue("cola", ("sentence",), ("unacceptable", "acceptable"), "is it grammatical English?", metric="matthews")

SUITE = Suite("glue", "GLUE, eight tasks from the hub or a mirror", (MNLI, QQP, QNLI, SST2, STSB, MRPC, RTE, COLA))
