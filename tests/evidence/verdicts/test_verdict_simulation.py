"""The rules of verdicts on synthetic results with known truth: a fast version, and the long one's figures as stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.verdicts import coverage, family, joint_coverage, probes, rates, summary, with_a_fourth_seed
from scalearn_lib.evidence.verdicts.claim import FAILS, HOLDS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("seeds", "paired"), [("2", False), ("3", True), ("3 or 10", False)])
def test_intervals_cover(generator: np.random.Generator, seeds: str, paired: bool) -> None:
    found = coverage(generator, 300, 5, seeds, 3.0, paired)
    assert 0.92 <= found["these tasks covered"] <= 0.99  # 0.95, give or take three standard errors, or a little more
    assert found["tasks like these covered"] >= 0.9
    assert found["tasks like these length"] > found["these tasks length"]


def test_percentiles_would_not_and_joint_runs_need_care(generator: np.random.Generator) -> None:
    assert coverage(generator, 300, 4, "5", 5.0)["percentiles covered"] < 0.92
    joint = joint_coverage(generator, 600, 9, 5)
    assert 0.92 <= joint["as joint"] <= 0.98 and joint["as independent"] < 0.85


@pytest.mark.parametrize(
    ("kind", "truth", "wrong"),
    [("above", 0.0, HOLDS), ("above", 0.5, FAILS), ("within", -1.0, HOLDS), ("never below", -1.0, HOLDS)],
)
def test_a_claim_at_its_bound_is_seldom_decided(generator, kind: str, truth: float, wrong: str) -> None:
    assert rates(generator, 300, 5, "3", kind, truth)[wrong] <= 0.05  # 0.025 and three standard errors


def test_clear_truths_are_found(generator: np.random.Generator) -> None:
    assert rates(generator, 60, 9, "5", "above", 2.0)[HOLDS] > 0.95
    assert rates(generator, 60, 9, "5", "above", -1.0)[FAILS] > 0.95
    assert rates(generator, 60, 9, "5", "within", -2.0)[FAILS] > 0.7
    assert rates(generator, 60, 9, "5", "within", 0.0)[HOLDS] > 0.5
    assert rates(generator, 60, 9, "5", "never below", -3.0)[FAILS] > 0.7


def test_holm_keeps_a_family_of_claims_right(generator: np.random.Generator) -> None:
    found = family(generator, 80, 9, "3", (0.0,) * 12 + (2.0,) * 4)
    assert found["any wrong"] <= 0.1 < found["any wrong without Holm"]
    assert found["shown"] > 0.5


def test_a_fourth_seed_where_three_do_not_decide_makes_wrong_verdicts_likelier(generator: np.random.Generator) -> None:
    found = with_a_fourth_seed(generator, 400, 4, 0.0)
    assert 0 < found["three"] < found["and a fourth"] < 0.07


def test_noise_decides_nothing_about_probes(generator: np.random.Generator) -> None:
    found = probes(generator, 20, 4, 0.0)
    assert max(found[about] for about in ("omega", "pair", "free", "sum")) <= 0.2  # a rule by counting held in all
    assert probes(generator, 3, 4, 50.0)["free"] == 1


def test_the_page_quotes_the_long_simulation() -> None:
    stored = json.loads((ROOT / "outputs" / "reference" / "verdict_simulation.json").read_text())
    page = (ROOT / "docs" / "claims.md").read_text().split("<!-- simulation -->")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| (.+?) \| ([\d.]+(?: to [\d.]+)?) \|$", page, re.M))
    assert rows == stored["summary"] == summary(stored)
    assert stored["repeats"] >= 500
