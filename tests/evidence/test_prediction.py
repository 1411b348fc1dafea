"""What predicts the gain: synthetic results whose truth is known."""

from __future__ import annotations

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from scalearn_lib.evidence.figures_beyond import gain_against_predictors
from scalearn_lib.evidence.prediction import PREDICTORS, advice, gains_by_case, prediction
from scalearn_lib.evidence.shown import alternative_text
from scalearn_lib.evidence.verdicts.statistics import over_units
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.metrics import baseline

OWN = PREDICTORS["own_source"]


def runs(method: str, task: str, k: float, scores: list[float], **more: object) -> list[dict[str, object]]:
    """Rows as `suite_results` has them; validation is a tenth below test."""
    plain = {"suite": "toy", "budget": "smoke", "overrides": "{}", "adapters": "", "source_tasks": ""}
    return [
        plain | {"method": method, "task": task, "k": k, "seed": seed, "score": score, "validation": score - 0.1} | more
        for seed, score in enumerate(scores)
    ]


def cases_of(tasks: int, slope: float, noise: float, seed: int = 0) -> pd.DataFrame:
    """Five cases per task, whose gain falls by `slope` points per unit of the own source's quality."""
    random, rows = np.random.default_rng(seed), []
    for task in range(tasks):
        classes, similarity, good = random.integers(6), random.uniform(0.4, 1), random.normal(0, 0.15)
        for place, k in enumerate((4, 16, 32, 100, np.nan)):
            own = 0.2 + 0.18 * place + good + random.normal(0, 0.05)
            log_k = np.log2(4000 if np.isnan(k) else k) + random.normal(0, 3)
            row = {"task": f"t{task}", "k": k, "gain": 5 - slope * own + random.normal(0, noise), "seeds": 3}
            rows.append(row | dict(zip(PREDICTORS, (log_k, own, float(classes), similarity), strict=True)))
    return pd.DataFrame(rows)


def test_a_case_has_its_gain_and_what_may_predict_it() -> None:
    rows = runs("adapter", "toy_topic", 4, [0.4, 0.5, 0.9]) + runs("scalearn", "toy_topic", 4, [0.5, 0.8])
    rows += runs("adapter", "toy_score", np.nan, [0.8, 0.9]) + runs("scalearn", "toy_score", np.nan, [0.9, 0.9, 0.6])
    few, full = gains_by_case(pd.DataFrame(rows)).to_dict("records")
    assert (few["task"], few["k"], few["seeds"]) == ("toy_topic", 4, 2)
    assert few["gain"] == pytest.approx((10 + 30) / 2)  # seeds 0 and 1: the adapter's third has no partner
    assert (few["log_k"], few["classes"]) == (2, pytest.approx(np.log2(3)))
    guess = baseline(get_task("toy", "toy_topic"))
    assert few["own_source"] == pytest.approx((0.5 - guess) / (1 - guess)) and guess > 0.2
    assert 0 < few["similarity"] < 1
    assert (full["task"], full["seeds"], full["classes"]) == ("toy_score", 2, 0)
    assert np.isnan(full["k"]) and full["log_k"] == 6  # the budget takes 64 rows
    assert full["gain"] == pytest.approx(80 - 85)
    assert full["own_source"] == pytest.approx(0.75)  # a constant has no correlation


def test_similarity_is_to_source_tasks_only() -> None:
    rows = runs("adapter", "toy_topic", 4, [0.4, 0.5]) + runs("scalearn", "toy_topic", 4, [0.5, 0.6])
    of_all = gains_by_case(pd.DataFrame(rows))["similarity"].item()
    found = {}
    for other in ("toy_pair", "toy_score", "toy_polarity"):
        limited = [row | {"source_tasks": f"toy_topic {other}"} if row["method"] == "scalearn" else row for row in rows]
        found[other] = gains_by_case(pd.DataFrame(limited))["similarity"].item()
    assert len(set(found.values())) == 3 and max(found.values()) == pytest.approx(of_all, abs=0.1)
    alone = [row | {"source_tasks": "toy_topic"} if row["method"] == "scalearn" else row for row in rows]
    assert gains_by_case(pd.DataFrame(alone))["similarity"].isna().all()


def test_what_is_no_case_stays_out(capsys: pytest.CaptureFixture[str]) -> None:
    adapter = runs("adapter", "toy_topic", 4, [0.4, 0.5])
    for rows in (
        adapter,  # no ScaLearn
        adapter + runs("scalearn", "toy_pair", 4, [0.5, 0.6]),
        adapter + runs("scalearn", "toy_topic", 16, [0.5, 0.6]),
        adapter + runs("scalearn", "toy_topic", 4, [0.5, 0.6], overrides='{"patience": 1}'),
        adapter + runs("scalearn", "toy_topic", 4, [0.5, 0.6], adapters="more@123"),
        adapter + runs("scalearn", "toy_topic", 4, [0.5, np.nan]),
    ):
        cases = gains_by_case(pd.DataFrame(rows))
        assert cases.empty and list(cases) == ["task", "k", "gain", "seeds", *PREDICTORS]
        assert set(prediction(cases)["says"]) == {"needs three tasks"} and set(advice(cases)["says"]) == {"no data"}
    assert "the gain on toy_topic with 4 training examples" in capsys.readouterr().err


def test_a_gain_that_the_own_source_predicts_is_found() -> None:
    found = prediction(cases_of(tasks=8, slope=20, noise=1)).set_index("predictor")
    own = found.loc[OWN]
    assert own["says"] == "predicts it best" and 0.5 < own["low"] < own["r2"] <= own["high"] <= 1
    assert own["coefficient"] == pytest.approx(-20, abs=2)
    assert found.loc["all together", "says"] == "predicts" and np.isnan(found.loc["all together", "coefficient"])
    assert set(found.loc[[PREDICTORS["classes"], PREDICTORS["similarity"]], "says"]) == {"does not predict here"}
    assert set(found["tasks"]) == {8} and set(found["cases"]) == {40}


def test_noise_predicts_nothing() -> None:
    said = [prediction(cases_of(tasks=8, slope=0, noise=3, seed=seed))["says"] for seed in range(5)]
    assert set(pd.concat(said)) == {"does not predict here"}


def test_each_task_weighs_the_same() -> None:
    cases = cases_of(tasks=5, slope=10, noise=2)
    more = pd.concat([cases, cases[cases["task"] == "t0"], cases[cases["task"] == "t0"]])
    once, thrice = (prediction(each).drop(columns="cases")[: len(PREDICTORS)] for each in (cases, more))
    pd.testing.assert_frame_equal(once, thrice)  # all together: the scale of its penalty goes by cases


@pytest.mark.parametrize("tasks", [0, 1, 2])
def test_fewer_than_three_tasks_are_too_few(tasks: int) -> None:
    found = prediction(cases_of(8, 20, 1).query(f"task in {[f't{number}' for number in range(tasks)]}"))
    assert set(found["says"]) == {"needs three tasks"} and found["r2"].isna().all() and set(found["tasks"]) == {tasks}


def test_gaps_and_constants_do_no_harm() -> None:
    cases = cases_of(tasks=4, slope=20, noise=1)
    gaps = cases.assign(similarity=cases["similarity"].where(cases["task"] != "t0"))
    assert set(prediction(gaps)["tasks"]) == {3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        constant = prediction(cases.assign(classes=1.0)).set_index("predictor").loc[PREDICTORS["classes"]]
        assert constant["r2"] == pytest.approx(0) and constant["says"] == "does not predict here"
        same = prediction(cases.assign(gain=1.0))
    assert set(same["says"]) == {"does not predict here"} and same["r2"].isna().all()


def test_advice_by_examples_and_quality() -> None:
    rows = [("a", 4.0, 10.0, 0.1), ("b", 4.0, 12.0, 0.2), ("c", 4.0, 11.0, 0.3), ("a", 8.0, 1.0, 0.5)]
    rows += [("a", np.nan, -5.0, 0.9), ("b", np.nan, 5.0, 0.8), ("c", np.nan, np.nan, 0.8)]
    cases = pd.DataFrame(rows, columns=["task", "k", "gain", "own_source"]).assign(seeds=3)
    table = advice(cases).set_index(["examples", "own_source"])
    assert list(table.index.unique("examples")) == ["4", "8", "16", "32", "100", "all"]
    poor, effect = table.loc[("4", "below 0.5")], over_units(np.array([10.0, 12.0, 11.0]))
    assert tuple(poor[["gain", "tasks", "runs", "says"]]) == (11.0, 3, 9, "gains")
    assert (poor["low"], poor["high"]) == (effect.low, effect.high)
    single = table.loc[("8", "0.5 or more")]
    assert single["says"] == "one task only" and np.isnan(single["low"])
    assert tuple(table.loc[("all", "0.5 or more"), ["gain", "says"]]) == (0.0, "undecided")
    empty = table.loc[("100", "below 0.5")]
    assert empty["says"] == "no data" and empty["tasks"] == 0 and np.isnan(empty["gain"])


def test_the_figure_says_what_it_shows() -> None:
    figure = gain_against_predictors(cases_of(tasks=9, slope=20, noise=1), "Poor sources gain most")
    text = alternative_text(figure)
    assert "Poor sources gain most" in text and "legend: t0, t1" in text
    by_examples, by_quality = figure.axes
    assert [label.get_text() for label in by_examples.get_xticklabels()] == ["4", "16", "32", "100", "all"]
    assert all([0, 0] in [list(line.get_ydata()) for line in axes.lines] for axes in (by_examples, by_quality))
    plt.close(figure)
