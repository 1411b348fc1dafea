"""Metrics from scikit-learn and SciPy, and the scores of a model's outputs on a task."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from .task import KIND_METRICS, Task


def _correlation(function: Callable) -> Callable[[np.ndarray, np.ndarray], float]:
    def of(predictions: np.ndarray, labels: np.ndarray) -> float:
        if np.ptp(predictions) == 0 or np.ptp(labels) == 0:
            return 0.0  # a constant predicts nothing; SciPy would say NaN
        return float(function(predictions, labels).statistic)

    return of


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda predictions, labels: float(accuracy_score(labels, predictions)),
    "f1": lambda predictions, labels: float(f1_score(labels, predictions, zero_division=0.0)),
    "f1_macro": lambda predictions, labels: float(f1_score(labels, predictions, average="macro", zero_division=0.0)),
    "f1_micro": lambda predictions, labels: float(f1_score(labels, predictions, average="micro", zero_division=0.0)),
    "matthews": lambda predictions, labels: float(matthews_corrcoef(labels, predictions)),
    "pearson": _correlation(pearsonr),
    "spearman": _correlation(spearmanr),
}
"""Metrics of predictions and labels, both `(rows,)`: class ids or scores. Higher is better for all of them.

`f1` is that of class 1 of two. The F1 averages also take 0/1 matrices `(rows, classes)`. Correlations with a constant
are 0.0 by definition.
"""

QUESTION_METRICS = ("exact_match", "answer_f1")
"""Metrics over questions instead of rows; see `question_scores`."""


def predictions_of(kind: str, logits: np.ndarray) -> np.ndarray:
    """Return class ids, scores, or for multi-label tasks 0/1 per class (probability above 0.5) from logits."""
    if kind == "regression":
        return logits.reshape(-1)
    return (logits > 0).astype(np.int64) if kind == "multi_label" else logits.argmax(axis=-1)


def score(task: Task, logits: np.ndarray, labels: np.ndarray, rows: Dataset | None = None) -> dict[str, float]:
    """Score a model's outputs: the task's primary metric first, then its others and what is usual for its kind.

    Args:
        task: the task.
        logits: outputs `(rows, classes)`, `(rows, choices)`; for regression `(rows, 1)` or `(rows,)`.
        labels: class ids or scores `(rows,)`; for multi-label tasks 0/1 `(rows, classes)`.
        rows: the same rows with the task's `extra` columns, where it has metrics over questions.

    Returns:
        Scores by metric. All NaN where an output is not finite, so that a diverged model never passes for one that
        predicts something.
    """
    names = dict.fromkeys((task.metric, *task.more_metrics, *KIND_METRICS[task.kind]))
    if not np.isfinite(logits).all():
        return dict.fromkeys(names, float("nan"))
    predictions = predictions_of(task.kind, logits)
    scores = {name: METRICS[name](predictions, labels) for name in names if name not in QUESTION_METRICS}
    if task.extra:
        scores |= question_scores(rows, logits, labels)
    return {name: scores[name] for name in names}


def question_scores(rows: Dataset, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score rows that are candidate answers to questions, question by question.

    With a column `answers` (ReCoRD) the candidate with the highest logit of class 1 is the answer, whatever that of
    class 0, as in the official runs. Its text is compared with every right answer as in SQuAD: `exact_match` and
    `answer_f1`. Without (MultiRC), `exact_match` is the share of questions with all candidates judged rightly.

    Args:
        rows: columns `question` (its number), and for ReCoRD `answer` (the candidate's text) and `answers`.
        logits: `(rows, 2)`.
        labels: `(rows,)`, 1 for a right candidate.
    """
    frame = pd.DataFrame({"question": rows["question"][:], "right": logits[:, 1]})
    if "answers" not in rows.column_names:
        right = pd.Series(logits.argmax(axis=-1) == labels)
        return {"exact_match": float(right.groupby(frame["question"]).all().mean())}
    best = rows.select(frame.groupby("question", sort=False)["right"].idxmax())
    pairs = list(zip(best["answer"], best["answers"], strict=True))
    f1 = [max(token_f1(answer, gold) for gold in golds) for answer, golds in pairs]
    exact = [normalised_answer(answer) in map(normalised_answer, golds) for answer, golds in pairs]
    return {"answer_f1": float(np.mean(f1)), "exact_match": float(np.mean(exact))}


def normalised_answer(text: str) -> str:
    """`text` as SQuAD and ReCoRD compare answers: lower case, no punctuation, no articles, single blanks."""
    plain = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())


def token_f1(answer: str, gold: str) -> float:
    """F1 of the words that two normalised answers share, counted with multiplicity."""
    words: list[Sequence[str]] = [normalised_answer(text).split() for text in (answer, gold)]
    common = sum((Counter(words[0]) & Counter(words[1])).values())
    return 2 * common / (len(words[0]) + len(words[1])) if common else 0.0


def baseline(task: Task) -> float:
    """Return the primary metric on test of always predicting what is most common in training (regression: the mean).

    Of multi-label tasks, each class that more than half of the training rows have. Pearson and Matthews correlation
    of a constant are 0.0 by definition here; where candidates answer a question, the first one is taken.
    """
    splits = task.load()
    seen, wanted = (task.targets(splits[split]) for split in ("train", "test"))
    if task.kind == "regression":
        constant = seen.mean(keepdims=True)
    elif task.kind == "multi_label":
        constant = seen.mean(axis=0) - 0.5
    else:
        constant = np.bincount(seen, minlength=task.num_labels) / len(seen)
    return score(task, np.tile(constant, (len(wanted), 1)), wanted, splits["test"])[task.metric]
