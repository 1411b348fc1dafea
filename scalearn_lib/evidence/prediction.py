"""When to use ScaLearn: what predicts its gain over the single adapter (docs/claims.md, issue 20).

A *case* is a task with a number of training examples. The unit is the task: each weighs the same however many cases it
has, is left out as a whole, and intervals are over tasks.

What this cannot say. The own source's quality and the gain both come from the single adapter's runs: of adapters that
are weak by chance, ScaLearn gains more. Validation instead of test takes the chance of the scored rows out of that, not
that of the training; and a user with four examples has no validation split to learn the quality from. Quality also
grows with k, so each may predict for the other. Rows of `prediction` are not corrected for being several.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import bootstrap
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ..errors import say_once
from ..methods import get_method
from ..tasks import Task, get_suite, get_task
from ..tasks.metrics import baseline
from ..training import make_budget
from .tables import source_tasks_compared, with_source_tasks
from .verdicts.claim import SHOTS
from .verdicts.samples import rows_of_k, samples_of
from .verdicts.statistics import ALPHA, REPLICATES, ROUNDING, over_units

METHOD, OTHER = "scalearn", "adapter"

PREDICTORS = {
    "log_k": "training examples, per doubling",
    "own_source": "own source's quality, from 0 to 1",
    "classes": "classes, per doubling",
    "similarity": "similarity to the nearest source task",
}
"""Column of `gains_by_case`, and what it is in words with the unit of its coefficient."""

QUALITY = 0.5
"""Where `advice` parts good own sources from poor ones: half of the way from a constant guess to perfect."""

MIN_TASKS = 3
"""With fewer, a model that leaves one out has learned from one task."""

SENTENCES = 2_000
"""Texts per task that similarities are from, at most."""

CASE = ["task", "k", "gain", "seeds", *PREDICTORS]


def gains_by_case(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per task and number of training examples that both methods have with two seeds.

    Columns: `task`; `k` (NaN: all training rows); `gain` in points (score on test times 100: mean of ScaLearn minus
    mean of the single adapter; few-shot of equal seeds only); `seeds` (few-shot pairs; on full data of the method that
    has fewer); and the predictors: `log_k`, log2 of the training examples, on full data of the split's rows as far as
    the budget takes them; `own_source`, the single adapter's mean validation score, where 0 is the task's constant
    guess (majority class or mean, scored on test) and 1 perfect; `classes`, log2 of the number of classes, 0 for
    regression, which has one output; `similarity`, the largest cosine of the target's mean TF-IDF vector with that of
    another source task, from whole training splits. TF-IDF because the similarity of AdapterSoup needs the encoder.

    Runs with overrides, with adapters from elsewhere or with other source tasks than most stay out, as do rows without
    a score. Cases with one seed do too, and are named once.

    Args:
        results: as `suite_results` returns them, of one suite, encoder, budget and sampling.

    Raises:
        UserError: the data of a source task is not there.
    """
    results = results[(results["overrides"] == "{}") & (results["adapters"] == "")]
    results = results.dropna(subset=["score", "validation"])
    source_tasks = source_tasks_compared(results)
    results = with_source_tasks(results, source_tasks)
    rows = []
    for k, part in results.groupby("k", dropna=False):
        few = pd.notna(k)
        samples = samples_of(part, METHOD, OTHER, paired=few)
        for name in samples.left_out:
            say_once(f"Left out: the gain on {name} with {shots(k)} training examples; it needs two seeds of both.")
        for name, sample in samples.by_task.items():
            of_task = part[part["task"] == name]
            suite, budget = of_task.loc[of_task["method"] == METHOD, ["suite", "budget"]].iloc[0]
            task, own = get_task(suite, name), of_task.loc[of_task["method"] == OTHER, "validation"].mean()
            sources = source_tasks.split() or [each.name for each in get_suite(suite).tasks]
            gain = sample[0].mean() - (0 if few else sample[1].mean())
            log_k = np.log2(k if few else _training_rows(task, budget))
            constant, similarity = baseline(task), _nearest(suite, name, sources)
            quality = (own - constant) / (1 - constant) if constant < 1 else np.nan
            seeds, classes = min(map(len, sample)), np.log2(task.num_labels)
            rows.append([name, k, gain, seeds, log_k, quality, classes, similarity])
    return pd.DataFrame(rows, columns=CASE)


def prediction(cases: pd.DataFrame) -> pd.DataFrame:
    """Return how well each predictor alone, and all together, tell the gain on a task that they were not fitted to.

    Linear regression on one predictor, ridge regression on all (standardised, penalty 1: there are few tasks). R² is
    1 - squared error / squared error of the other tasks' mean gain, so 0 is no better than that, and it can be far
    below. Its interval is that of "on tasks like these" in docs/claims.md: tasks are drawn with replacement, and the
    ends lie Student's quantile for as many tasks from R², in bootstrap standard errors. In simulated studies without
    any relation, of 3 to 9 tasks, a row's interval lay above 0 in at most 6 %, any of the five in 3 (9 tasks) to 16 %.

    Columns: `predictor` in words with its unit, `r2`, `low`, `high`, `coefficient` (points of gain per unit, fitted
    to all cases; none for all together), `tasks`, `cases`, `says`. With fewer than three tasks `says` says so.

    Args:
        cases: as `gains_by_case` returns them; rows with a missing value are left out.
    """
    cases = cases.dropna(subset=["gain", *PREDICTORS])
    tasks = cases["task"].nunique()
    models = {title: ([name], LinearRegression()) for name, title in PREDICTORS.items()}
    models["all together"] = (list(PREDICTORS), Ridge(alpha=1.0))
    rows = []
    for title, (names, model) in models.items():
        row = {"predictor": title, "tasks": tasks, "cases": len(cases), "says": "needs three tasks"}
        rows.append(row | (_told(cases, names, model) if tasks >= MIN_TASKS else {}))
    columns = "predictor r2 low high coefficient tasks cases says".split()
    frame = pd.DataFrame(rows).reindex(columns=columns)
    shown = frame[(frame["low"] > ROUNDING) & (frame["predictor"] != "all together")]
    if len(shown):
        frame.loc[shown["r2"].idxmax(), "says"] = "predicts it best"
    return frame


def advice(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gain by training examples and quality of the own source, for whoever has to choose.

    Columns: `examples`, `own_source`, `gain` in points with its 95 % interval `low` to `high` (Student's, over tasks;
    none for a single one), `tasks`, `runs` that count (on all examples, of the method that has fewer), `says`.

    Args:
        cases: as `gains_by_case` returns them; rows with no gain or quality are left out.
    """
    cases = cases.dropna(subset=["gain", "own_source"])
    rows = []
    for k in [*sorted({*SHOTS, *cases["k"].dropna()}), None]:
        same = rows_of_k(cases, k)
        good = same["own_source"] >= QUALITY
        for words, part in ((f"below {QUALITY}", same[~good]), (f"{QUALITY} or more", same[good])):
            row = {"examples": shots(k), "own_source": words, "tasks": len(part), "runs": part["seeds"].sum()}
            row |= {"gain": part["gain"].mean(), "says": "one task only" if len(part) else "no data"}
            if len(part) > 1:
                effect = over_units(part["gain"].to_numpy())
                says = "gains" if effect.low > 0 else "loses" if effect.high < 0 else "undecided"
                row |= {"low": effect.low, "high": effect.high, "says": says}
            rows.append(row)
    return pd.DataFrame(rows).reindex(columns="examples own_source gain low high tasks runs says".split())


def shots(k: float | None) -> str:
    """A number of training examples in words; NaN and None are "all"."""
    return "all" if pd.isna(k) else f"{k:.0f}"


def _told(cases: pd.DataFrame, names: list[str], model: RegressorMixin) -> dict[str, object]:
    """R² on left-out tasks with its interval, the coefficient, and what it says."""
    values, gain, task = cases[names].to_numpy(), cases["gain"].to_numpy(), cases["task"]
    weight = 1 / task.groupby(task).transform("size").to_numpy()
    weights = {"fit__sample_weight": weight}  # not for the scaler, which then takes roots of rounding errors below 0

    def errors(model: RegressorMixin) -> np.ndarray:
        leave_out = {"groups": task, "cv": LeaveOneGroupOut()}
        predicted = cross_val_predict(_pipeline(model), values, gain, **leave_out, params=weights)
        return pd.Series((predicted - gain) ** 2).groupby(task.to_numpy()).mean().to_numpy()

    ours, constant = errors(model), errors(DummyRegressor())
    if constant.max() < ROUNDING:  # all gains are the same
        return {"says": "does not predict here"}
    how = {"paired": True, "n_resamples": REPLICATES, "method": "percentile", "random_state": 0}
    r2, spread = _r2(ours, constant), bootstrap((ours, constant), _r2, **how).standard_error
    half = stdtrit(len(ours) - 1, 1 - ALPHA) * spread
    fitted = _pipeline(model).fit(values, gain, **weights)
    slope = fitted["fit"].coef_[0] / fitted["scale"].scale_[0] if len(names) == 1 else np.nan
    says = "predicts" if r2 - half > ROUNDING else "does not predict here"
    return {"r2": r2, "low": r2 - half, "high": min(1.0, r2 + half), "coefficient": slope, "says": says}


def _r2(errors: np.ndarray, constant: np.ndarray, axis: int = -1) -> np.ndarray:
    return 1 - errors.sum(axis=axis) / constant.sum(axis=axis)


def _pipeline(model: RegressorMixin) -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("fit", model)])


def _training_rows(task: Task, budget: str) -> int:
    limit = make_budget(budget, get_method(METHOD), task, None, {}).max_train
    return min(len(task.load()["train"]), limit or np.inf)


def _nearest(suite: str, name: str, sources: Sequence[str]) -> float:
    """The largest cosine of a task with another source task; NaN if there is none."""
    return _cosines(suite, tuple(sorted({name, *sources})))[name].drop(name).max()


@functools.cache
def _cosines(suite: str, names: tuple[str, ...]) -> pd.DataFrame:
    """Cosines of the tasks' mean TF-IDF vectors; two seconds for the nine tasks of `offline`."""
    from ..methods.soup import draw_sentences  # here because it brings torch, which nothing else of this needs

    texts = [draw_sentences(get_task(suite, name), SENTENCES) for name in names]
    vectors = TfidfVectorizer().fit([text for of_task in texts for text in of_task])
    means = np.stack([np.asarray(vectors.transform(of_task).mean(axis=0))[0] for of_task in texts])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return pd.DataFrame(means @ means.T, names, names)
