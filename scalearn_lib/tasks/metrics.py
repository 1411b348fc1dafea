"""Metrics from scikit-learn and SciPy, and the scores of a model's outputs on a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

if TYPE_CHECKING:
    from .task import Task


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
    "matthews": lambda predictions, labels: float(matthews_corrcoef(labels, predictions)),
    "pearson": _correlation(pearsonr),
    "spearman": _correlation(spearmanr),
}
"""Metrics of predictions and labels, both `(rows,)`: class ids or scores. Higher is better for all of them.

`f1` is that of class 1 of two. Correlations with a constant are 0.0 by definition.
"""


def score(task: Task, logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Score a model's outputs: the task's primary metric first, then what else is usual for its kind.

    Args:
        task: the task.
        logits: outputs `(rows, classes)`; for regression `(rows, 1)` or `(rows,)`.
        labels: class ids or scores `(rows,)`.

    Returns:
        Scores by metric: for classification also accuracy and macro F1 (over the classes that occur), for regression
        also Pearson and Spearman correlation. All NaN where an output is not finite, so that a diverged model never
        passes for one that predicts something.
    """
    kind = ("pearson", "spearman") if task.kind == "regression" else ("accuracy", "f1_macro")
    names = dict.fromkeys((task.metric, *kind))
    if not np.isfinite(logits).all():
        return dict.fromkeys(names, float("nan"))
    predictions = logits.reshape(-1) if task.kind == "regression" else logits.argmax(axis=-1)
    return {name: METRICS[name](predictions, labels) for name in names}
