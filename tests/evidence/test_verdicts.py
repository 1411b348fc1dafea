"""Verdicts on the paper's claims follow from stored results, by numbers worked out by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.evidence.verdicts import claims, largest_published_loss, pairs_seldom_sum_to_one
from scalearn_lib.probing.store import load_pairs, store_pairs
from scalearn_lib.runs import Run
from scalearn_lib.runs.versions import PROBING, code_version
from tests.stored import result_of, store

TASKS = ("toy_topic", "toy_pair")


def verdicts(output: Path, source_tasks: str = "") -> pd.DataFrame:
    return claims(output, "toy", "tiny", "smoke", source_tasks).set_index("claim")


def test_nothing_stored_is_nothing_run(tmp_path: Path) -> None:
    frame = verdicts(tmp_path)
    assert (frame["verdict"] == "not run").all() and frame["effect"].isna().all()
    assert len(frame) == 2 + 3 + 2 * 4 + 2 + 1


def test_a_paired_difference_and_its_interval(tmp_path: Path) -> None:
    # Differences per seed, averaged over two tasks: 1, 2 and 3 points, so 2 ± 4.30 · 1/√3.
    for seed, task in product(range(3), TASKS):
        sign = 1 if task == "toy_topic" else -1
        store(tmp_path, task, "adapter", seed, 0.5 + 0.1 * seed)
        store(tmp_path, task, "scalearn", seed, 0.5 + 0.1 * seed + 0.01 * (seed + 1) + 0.05 * sign)
        store(tmp_path, task, "scalearn_uniform_pp", seed, 0.5 + 0.1 * seed + 0.01 * (seed + 1) + 0.05 * sign)
        store(tmp_path, task, "scalearn_pp", seed, 0.3 + 0.1 * seed)
    frame = verdicts(tmp_path)
    beats = frame.loc["ScaLearn beats single adapters on average"]
    assert (beats["effect"], beats["seeds"], beats["tasks"]) == (pytest.approx(2.0), 3, 2)
    assert beats["low"] == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-4)
    assert beats["verdict"] == "does not" and beats["note"].startswith("undecided")
    keeps = frame.loc["ScaLearnUniform++ keeps within 1.35 points of ScaLearn with 8 parameters"]
    assert (keeps["verdict"], keeps["effect"]) == ("holds", 0.0)
    loses = frame.loc["ScaLearn++ keeps within 1.35 points of ScaLearn with 8 parameters"]
    assert (loses["verdict"], loses["note"]) == ("does not", "the opposite is seen")
    assert frame.loc["ScaLearn beats AdapterFusion on average", "note"] == "no results of AdapterFusion"


def test_a_clear_difference_holds_and_few_shot_is_kept_apart(tmp_path: Path) -> None:
    for seed, k in product(range(2), (None, 4)):
        store(tmp_path, "toy_topic", "adapter", seed, 0.5, k=k)
        store(tmp_path, "toy_topic", "scalearn", seed, 0.7 + 0.001 * seed if k is None else 0.3, k=k)
    frame = verdicts(tmp_path)
    assert frame.loc["ScaLearn beats single adapters on average", "verdict"] == "holds"
    assert frame.loc["ScaLearn beats adapter at k = 4", "note"] == "the opposite is seen"
    assert frame.loc["ScaLearn beats adapter at k = 16", "verdict"] == "not run"


def test_one_seed_decides_nothing(tmp_path: Path) -> None:
    for method in ("adapter", "scalearn"):
        store(tmp_path, "toy_topic", method, 0, 0.5)
    assert "two seeds" in verdicts(tmp_path).loc["ScaLearn beats single adapters on average", "note"]


def test_other_source_tasks_are_another_method(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, "toy_topic", "adapter", seed, 0.5)
        store(tmp_path, "toy_topic", "scalearn", seed, 0.9, source_tasks=TASKS)
    claim = "ScaLearn beats single adapters on average"
    assert verdicts(tmp_path).loc[claim, "verdict"] == "not run"
    assert verdicts(tmp_path, " ".join(TASKS)).loc[claim, "verdict"] == "holds"


def test_the_margin_is_the_paper_s_own_largest_loss() -> None:
    assert largest_published_loss() == pytest.approx(75.55 - 74.20)


MADE = {
    task: result_of(Run("toy", task, "adapter", "tiny", budget="smoke"), 0.5, code="aaaa", data=task)
    for task in ("toy_topic", "toy_pair")
}
"""Results of source adapters."""


def test_a_verdict_says_which_versions_it_mixes(tmp_path: Path) -> None:
    for seed, method in product(range(2), ("adapter", "scalearn", "adapter_fusion")):
        code = "bbbb" if method == "adapter_fusion" else "aaaa"
        store(tmp_path, "toy_topic", method, seed, 0.5 + 0.1 * (method == "scalearn"), made_from={"code": code})
    frame = verdicts(tmp_path)
    assert frame.loc["ScaLearn beats single adapters on average", "note"] == ""
    assert frame.loc["ScaLearn beats AdapterFusion on average", "note"] == "mixes versions: aaaa, bbbb"


def test_pairs_tell_which_code_made_them(tmp_path: Path) -> None:
    for partner in ("toy_pair", "toy_score"):
        rows = [(a, b, 0, a + b) for a, b in product((0.0, 1.0), repeat=2)]
        stored = pd.DataFrame(rows, columns=["toy_topic", partner, "seed", "score"])
        file = store_pairs(stored, MADE, tmp_path, "toy", "tiny", "smoke")
    pairs = load_pairs(tmp_path, "toy", "tiny", "smoke")
    ours = f"{code_version(PROBING)} on aaaa"
    assert set(pairs["code"]) == {ours} and code_version(PROBING) != code_version()
    assert "versions" not in pairs_seldom_sum_to_one(pairs).note
    pd.read_csv(file).assign(code="zzzz").to_csv(file, index=False)
    note = pairs_seldom_sum_to_one(load_pairs(tmp_path, "toy", "tiny", "smoke")).note
    assert note.endswith(f"mixes versions: {ours}, zzzz")


def test_probes_are_added_to_those_that_are_stored(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def stored(strengths: tuple[float, ...], heads: tuple[int, ...], score: float, data: str) -> pd.DataFrame:
        rows = [(a, b, seed, score) for a, b in product(strengths, repeat=2) for seed in heads]
        made = {"toy_topic": MADE["toy_topic"].model_copy(update={"data": data}), "toy_pair": MADE["toy_pair"]}
        frame = pd.DataFrame(rows, columns=["toy_topic", "toy_pair", "seed", "score"])
        file = store_pairs(frame, made, tmp_path, "toy", "tiny", "smoke")
        return file, load_pairs(tmp_path, "toy", "tiny", "smoke")

    file, _ = stored((0.0, 1.0), (0, 1), 0.5, "d1")
    _, pairs = stored((0.0, 0.5), (1,), 0.75, "d1")
    assert len(pairs) == 4 * 2 + 3 and not pairs.duplicated(["omega_target", "omega_partner", "seed"]).any()
    both = pairs.set_index(["omega_target", "omega_partner", "seed"])["score"]
    assert both[0, 0, 0] == 0.5 and both[0, 0, 1] == both[0.5, 0.5, 1] == 0.75 and both[1, 1, 1] == 0.5
    _, pairs = stored((0.0, 0.5), (1,), 0.75, "d2")
    assert "mixes versions" in pairs_seldom_sum_to_one(pairs).note
    file.write_text("half of a tab")
    assert load_pairs(tmp_path, "toy", "tiny", "smoke").empty
    assert f"Left out: {file} is no table of probes" in capsys.readouterr().err
    assert len(stored((0.0,), (0,), 0.5, "d1")[1]) == 1


def test_ties_speak_against_the_claim_on_pairs(tmp_path: Path) -> None:
    rows = [(a, b, seed, 0.5) for a, b in product((0.0, 0.5, 1.0), repeat=2) for seed in range(4)]
    frame = pd.DataFrame(rows, columns=["cb", "mnli", "seed", "score"])
    store_pairs(frame, MADE, tmp_path, "superglue", "tiny", "smoke")
    verdict = pairs_seldom_sum_to_one(load_pairs(tmp_path, "superglue", "tiny", "smoke"))
    assert (verdict.effect, verdict.verdict) == (1.0, "does not") and verdict.note.endswith("33% by chance")


def test_best_pairs(tmp_path: Path) -> None:
    def stored(partner: str, best: tuple[float, float]) -> None:
        rows = [(a, b, seed, float((a, b) == best)) for a, b in product((0.0, 0.5, 1.0), repeat=2) for seed in range(4)]
        store_pairs(
            pd.DataFrame(rows, columns=["cb", partner, "seed", "score"]), MADE, tmp_path, "superglue", "tiny", "smoke"
        )

    stored("mnli", (1.0, 0.5))
    pairs = load_pairs(tmp_path, "superglue", "tiny", "smoke")
    assert len(pairs) == 36 and set(pairs["target"]) == {"cb"}
    few = pairs_seldom_sum_to_one(pairs)
    assert (few.effect, few.verdict) == (0.0, "does not") and few.note.startswith("undecided")  # four cases say little
    for partner in ("rte", "boolq"):
        stored(partner, (1.0, 1.0))
    assert pairs_seldom_sum_to_one(load_pairs(tmp_path, "superglue", "tiny", "smoke")).verdict == "holds"
    stored("mnli", (0.5, 0.5))
    assert pairs_seldom_sum_to_one(load_pairs(tmp_path, "superglue", "tiny", "smoke")).effect == pytest.approx(1 / 3)
    assert load_pairs(tmp_path, "toy", "tiny", "smoke").empty
