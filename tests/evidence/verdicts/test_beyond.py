"""Claims beyond the paper follow from stored results, by numbers worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import t as student

from scalearn_lib.evidence.results import load_results
from scalearn_lib.evidence.verdicts.beyond import OWN_RATES
from scalearn_lib.evidence.verdicts.decided import claims
from scalearn_lib.probing.pruning_store import REPAIR_STEPS, pruned_file, write_pruned
from scalearn_lib.runs import Run
from scalearn_lib.tasks import Adapter
from tests.stored import store

TASK = "toy_topic"


def verdict(output: Path, name: str) -> pd.Series:
    return claims(output, "toy", "tiny", "smoke").set_index("name").loc[name]


def noted(first: float, last: float, random: float | None = None) -> dict[str, object]:
    """A history whose two layers have a mean entropy of `first` at the start and `last` at the end."""
    more = {} if random is None else {"random_share": random}
    return {
        "history": [
            {"step": 0, "entropy_0": first - 0.1, "entropy_1": first + 0.1},
            {"step": 2, "loss": 1.0},
            {"step": 4, "eval_loss": 1.0, "entropy_0": last - 0.05, "entropy_1": last + 0.05, **more},
        ]
    }


def test_random_sources_are_compared_with_the_same_seeds_without(tmp_path: Path) -> None:
    for seed, (without, with_some) in enumerate([(0.5, 0.48), (0.7, 0.69), (0.6, 0.58)]):
        store(tmp_path, TASK, "scalearn", seed, without, k=32)
        store(tmp_path, TASK, "scalearn", seed, with_some, k=32, overrides={"random_sources": 16})
    store(tmp_path, TASK, "scalearn", 3, 0.1, k=32, overrides={"random_sources": 16})  # nothing to compare it with
    row = verdict(tmp_path, "random-16-1")
    assert row["note"] == ""
    assert row["effect"] == pytest.approx(-5 / 3) and row["seeds"] == "3"
    assert verdict(tmp_path, "random-4-1")["verdict"] == "not run"
    assert verdict(tmp_path, "random-16-2")["note"] == "no runs with random sources"


def test_the_height_of_the_start_is_compared_among_runs_with_random_sources_and_with_those_without(
    tmp_path: Path,
) -> None:
    for seed, (without, low, high) in enumerate([(0.50, 0.40, 0.49), (0.60, 0.45, 0.58), (0.70, 0.50, 0.70)]):
        store(tmp_path, TASK, "scalearn", seed, without, k=32)
        store(tmp_path, TASK, "scalearn_init_4", seed, 0.9, k=32)  # says nothing about either
        store(tmp_path, TASK, "scalearn", seed, low, k=32, overrides={"random_sources": 9})
        store(tmp_path, TASK, "scalearn_init_4", seed, high, k=32, overrides={"random_sources": 9})
        store(tmp_path, TASK, "scalearn_init_4", seed, 0.1, k=32, overrides={"random_sources": 16})
    assert verdict(tmp_path, "height-32-1")["effect"] == pytest.approx((9 + 13 + 20) / 3)
    assert verdict(tmp_path, "height-32-2")["effect"] == pytest.approx(-1.0)
    assert verdict(tmp_path, "random-16-1")["verdict"] == "not run"


def test_a_verdict_beyond_the_paper_says_which_versions_it_mixes(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, TASK, "scalearn", seed, 0.5 + 0.01 * seed, k=32)
        more = {"overrides": {"random_sources": 16}, "made_from": {"code": "other"}}
        store(tmp_path, TASK, "scalearn", seed, 0.4, k=32, **more)
    assert verdict(tmp_path, "random-16-1")["note"] == "made by 2 versions of code or data"


def test_a_random_source_is_ignored_where_its_share_is_below_half_of_a_trained_ones(tmp_path: Path) -> None:
    # Toy has four sources: with a share of 16 random ones of 0.4, one has 0.025 and a trained one 0.15.
    trained = 4
    for seed, share in enumerate([0.40, 0.42, 0.38]):
        more = {"k": 32, "overrides": {"random_sources": 16}}
        store(tmp_path, TASK, "scalearn", seed, 0.5, made_from=noted(0.9, 0.8, share), **more)
    row = verdict(tmp_path, "ignored-16-1")
    ratios = [share / 16 / ((1 - share) / trained) for share in (0.40, 0.42, 0.38)]
    assert row["effect"] == pytest.approx(sum(50 - 100 * ratio for ratio in ratios) / 3)
    assert row["verdict"] == "holds"


def test_adapters_from_elsewhere_are_among_the_trained_sources(tmp_path: Path) -> None:
    extra = Adapter("extra", "/somewhere", "a" * 12)
    for seed in range(2):  # four of the suite, one more and four random ones, all with equal shares
        more = {"k": 32, "overrides": {"random_sources": 4}, "adapters": (extra,)}
        store(tmp_path, TASK, "scalearn", seed, 0.5, made_from=noted(0.9, 0.8, 4 / 9), **more)
    assert verdict(tmp_path, "ignored-4-1")["effect"] == pytest.approx(-50)


def test_entropy_is_compared_with_half_of_the_first(tmp_path: Path) -> None:
    for seed, last in enumerate([0.80, 0.82, 0.81]):
        store(tmp_path, TASK, "scalearn", seed, 0.5, made_from=noted(0.9, last))
        store(tmp_path, TASK, "adapter_fusion", seed, 0.5, made_from=noted(0.9, last - 0.6))
        store(tmp_path, TASK, "scalearn_softmax", seed, 0.5)  # nothing noted
    held, failed = verdict(tmp_path, "entropy-full-1"), verdict(tmp_path, "entropy-full-3")
    assert held["effect"] == pytest.approx(100 * 0.81 / 0.9 - 50) and held["verdict"] == "holds"
    assert failed["effect"] == pytest.approx(100 * 0.21 / 0.9 - 50) and failed["verdict"] == "does not hold"
    assert verdict(tmp_path, "entropy-full-2")["note"] == "no runs that tell entropies"
    assert load_results(tmp_path)["entropy_left"].isna().sum() == 3


def test_the_rate_of_omega_is_chosen_on_validation_where_all_were_tried(tmp_path: Path) -> None:
    for rate, (validation, tests) in {
        None: (0.5, (0.60, 0.62)),
        0.002: (0.4, (0.90, 0.91)),
        0.02: (0.6, (0.70, 0.71)),
    }.items():
        for seed, test in enumerate(tests):
            scores = {"validation": {"accuracy": validation, "loss": 1.0}}
            overrides = {} if rate is None else {"transfer_learning_rate": rate}
            store(tmp_path, TASK, "scalearn", seed, test, overrides=overrides, made_from=scores)
            if rate != 0.002:
                store(tmp_path, "toy_pair", "scalearn", seed, 0.3, overrides=overrides, made_from=scores)
    row = verdict(tmp_path, "rate-1")
    assert set(OWN_RATES) == {0.002, 0.02}
    assert row["effect"] == pytest.approx(70.5 - 61) and row["tasks"] == 1  # toy_pair lacks a rate
    assert row["high"] - row["effect"] == pytest.approx(student.ppf(0.975, 1) * 0.5)  # by seed: 10 and 9 points


def test_where_the_common_rate_is_chosen_nothing_differs(tmp_path: Path) -> None:
    for rate in (None, *OWN_RATES):
        for seed in range(3):
            scores = {"validation": {"accuracy": 0.6 if rate is None else 0.5, "loss": 1.0}}
            overrides = {} if rate is None else {"transfer_learning_rate": rate}
            store(tmp_path, TASK, "scalearn", seed, 0.6 + 0.1 * seed, overrides=overrides, made_from=scores)
    row = verdict(tmp_path, "rate-1")
    assert row["effect"] == row["low"] == row["high"] == 0


def test_fewer_sources_are_compared_with_all_of_the_same_run(tmp_path: Path) -> None:
    for seed, (every, two) in enumerate([(0.60, 0.55), (0.64, 0.58), (0.62, 0.56)]):
        run = Run("toy", TASK, "scalearn", "tiny", seed, 32, "smoke")
        write_pruned(
            pruned(run, {(4, False): every, (4, True): 0.9, (2, False): two, (2, True): every}),
            pruned_file(tmp_path, run),
        )
    other = Run("toy", TASK, "scalearn", "tiny", 3, 32, "smoke", source_tasks=("toy_pair", "toy_score"))
    write_pruned(pruned(other, {(2, False): 0.1, (2, True): 0.1}), pruned_file(tmp_path, other))  # other source tasks
    shorter = pruned(run, {(4, False): 0.1, (2, False): 0.9, (2, True): 0.9}).assign(repair_steps=3)
    write_pruned(shorter, pruned_file(tmp_path, run, 3))  # other repairs
    as_it_is, repaired = verdict(tmp_path, "kept-32-2"), verdict(tmp_path, "repaired-32-2")
    assert as_it_is["effect"] == pytest.approx(-17 / 3) and as_it_is["seeds"] == "3"
    assert repaired["effect"] == pytest.approx(0) and verdict(tmp_path, "kept-full-2")["verdict"] == "not run"


def pruned(run: Run, scores: dict[tuple[int, bool], float]) -> pd.DataFrame:
    """A table of a run whose scores by number of sources and repair are these."""
    about = {key: getattr(run, key) for key in "suite task method encoder seed k budget sampling".split()}
    about |= {"source_tasks": " ".join(run.source_tasks or ()), "adapters": "", "of": max(kept for kept, _ in scores)}
    about |= {"validation": 0.5, "steps": 4, "repair_steps": REPAIR_STEPS, "sources": "a b", "seconds": 1.0}
    about |= {"width": 8, "code": "code", "weights": "weights"}
    return pd.DataFrame([about | {"kept": k, "repaired": r, "score": score} for (k, r), score in scores.items()])
