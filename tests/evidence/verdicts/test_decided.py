"""Verdicts on the paper's claims follow from stored results, by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp, ttest_ind

from scalearn_lib.evidence.equal_budgets import EQUAL_PATIENCE, FEW_STEPS, PATIENCE, RATES
from scalearn_lib.evidence.verdicts.beyond_list import BEYOND_CLAIMS
from scalearn_lib.evidence.verdicts.decided import claims, made_by, mixed
from scalearn_lib.probing.store import load_pairs, store_pairs
from scalearn_lib.runs import Run
from scalearn_lib.runs.versions import PROBING, code_version
from tests.stored import result_of, store

TASKS = ("toy_topic", "toy_pair")


def verdicts(output: Path, source_tasks: str = "") -> pd.DataFrame:
    return claims(output, "toy", "tiny", "smoke", source_tasks).set_index("name")


def test_nothing_stored_is_nothing_run(tmp_path: Path) -> None:
    frame = verdicts(tmp_path)
    assert (frame["verdict"] == "not run").all() and frame["effect"].isna().all() and frame["note"].all()
    assert len(frame) == 29 + 24 + len(BEYOND_CLAIMS)


def test_full_data_is_compared_without_pairs_by_all_seeds_of_each_task(tmp_path: Path) -> None:
    ours = {"toy_topic": [0.70, 0.74, 0.78], "toy_pair": [0.60, 0.61, 0.62, 0.63, 0.64]}
    theirs = {"toy_topic": [0.65, 0.66], "toy_pair": [0.58, 0.60, 0.59]}
    for task in TASKS:
        for method, scores in (("scalearn", ours), ("adapter", theirs)):
            for seed, score in enumerate(scores[task]):
                store(tmp_path, task, method, seed, score)
    row = verdicts(tmp_path).loc["full-1"]
    assert row["effect"] == pytest.approx((74 - 65.5 + 62 - 59) / 2)
    variance = sum(np.var(scores[t], ddof=1) / len(scores[t]) for scores in (ours, theirs) for t in TASKS) * 1e4 / 4
    assert (row["high"] - row["low"]) / 2 > 1.96 * np.sqrt(variance)
    assert (row["seeds"], row["tasks"], row["verdict"]) == ("2-5", 2, "holds")
    assert row["low"] > 0 and row["wide_low"] < row["low"]  # two tasks say little about others
    assert row["improvement"] == pytest.approx((1 + 29 / 30) / 2)  # one tie in fifteen pairs of runs


def test_few_shot_is_paired_by_the_draw(tmp_path: Path) -> None:
    draws, gains = np.array([0.2, 0.5, 0.8]), np.array([0.09, 0.10, 0.12])
    for seed in range(3):
        store(tmp_path, "toy_topic", "adapter", seed, draws[seed], k=4)
        store(tmp_path, "toy_topic", "scalearn", seed, draws[seed] + gains[seed], k=4)
        store(tmp_path, "toy_topic", "adapter", seed, draws[seed])
        store(tmp_path, "toy_topic", "scalearn", seed, draws[seed] + gains[seed])
    store(tmp_path, "toy_topic", "scalearn", 7, 0.0, k=4)  # a draw that the other does not have
    frame = verdicts(tmp_path)
    few, full = frame.loc["few-4-1"], frame.loc["full-1"]
    assert (few["low"], few["high"]) == pytest.approx(ttest_1samp(100 * gains, 0).confidence_interval())
    welch = ttest_ind(100 * (draws + gains), 100 * draws, equal_var=False)
    assert (full["low"], full["high"]) == pytest.approx(welch.confidence_interval())
    assert (few["verdict"], full["verdict"]) == ("holds", "undecided") and few["seeds"] == "3"
    assert full["needed"].endswith(" seeds") and few["needed"] == ""
    assert frame.loc["few-16-1", "verdict"] == "not run"


def test_the_four_words(tmp_path: Path) -> None:
    for seed, task in product(range(4), TASKS):
        jitter = 0.004 * seed
        store(tmp_path, task, "scalearn", seed, 0.7 + jitter)
        store(tmp_path, task, "adapter", seed, 0.6 + jitter)
        store(tmp_path, task, "adapter_fusion", seed, 0.8 + jitter)
        store(tmp_path, task, "scalearn_pp", seed, 0.7 + jitter + (0.05 * seed if task == "toy_pair" else 0))
        store(tmp_path, task, "scalearn_uniform", seed, 0.5 + jitter)
        store(tmp_path, task, "scalearn_uniform_pp", seed, 0.7 + jitter / 9)
    frame = verdicts(tmp_path)
    words = ["full-1", "full-2", "variant-1", "joint-1", "variant-2", "each-1", "each-2"]
    told = ["holds", "does not hold", "undecided", "not run", "does not hold", "holds", "does not hold"]
    assert list(frame.loc[words, "verdict"]) == told
    assert frame.loc["full-2", "note"] == "a loss is shown"
    assert frame.loc["variant-2", "note"] == "a loss of more than the margin"
    assert frame.loc["each-1", "note"].endswith("gain shown on 2, loss on 0 of 2 tasks")
    assert frame.loc["joint-1", "note"] == "no results of full-m"


def test_what_was_stopped_too_early_is_no_loser(tmp_path: Path) -> None:
    finished = {"steps": 4, "selected_step": 2}
    for seed, task in product(range(4), TASKS):
        store(tmp_path, task, "scalearn", seed, 0.7 + 0.004 * seed, made_from=finished)
        store(tmp_path, task, "adapter", seed, 0.6 + 0.004 * seed)  # best at the fourth step of four
        store(tmp_path, task, "adapter_fusion", seed, 0.8 + 0.004 * seed)
        store(tmp_path, task, "scalearn_pp", seed, 0.7 + 0.0001 * seed)
        store(tmp_path, task, "scalearn_mean", seed, 0.6 + 0.004 * seed, made_from=finished)
    frame = verdicts(tmp_path)
    words = ["full-1", "full-2", "variant-1", "each-1", "each-2", "free-1"]
    told = ["undecided", "does not hold", "undecided", "undecided", "does not hold", "holds"]
    assert list(frame.loc[words, "verdict"]) == told
    assert frame.loc["full-1", "low"] > 0 and frame.loc["full-1", "needed"] == "more steps"
    assert frame.loc["full-1", "note"] == "the single adapter was stopped too early"


def test_one_seed_is_not_run_and_tasks_with_one_are_named(tmp_path: Path) -> None:
    for method in ("adapter", "scalearn"):
        store(tmp_path, "toy_topic", method, 0, 0.5)
    row = verdicts(tmp_path).loc["full-1"]
    assert row["verdict"] == "not run" and row["note"] == "needs two seeds of both methods on a task"
    for seed, method in product(range(3), ("adapter", "scalearn")):
        store(tmp_path, "toy_pair", method, seed, 0.5 + 0.01 * seed)
    row = verdicts(tmp_path).loc["full-1"]
    assert row["tasks"] == 1 and row["note"].endswith("left out, with one seed: toy_topic") and row["low"] < row["high"]


def test_scores_that_never_vary_decide_nothing(tmp_path: Path) -> None:
    for seed, method in product(range(2), ("adapter", "scalearn")):
        store(tmp_path, "toy_topic", method, seed, 0.9 if method == "scalearn" else 0.5)
    row = verdicts(tmp_path).loc["full-1"]
    assert (row["verdict"], row["low"], row["high"]) == ("undecided", pytest.approx(40), pytest.approx(40))
    assert row["note"] == "scores do not vary with the seed" and row["needed"] == ""


def test_tasks_without_a_seed_in_common_are_named(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, "toy_topic", "adapter", seed, 0.5, k=32)
        store(tmp_path, "toy_topic", "scalearn", seed + 2, 0.6, k=32)
    row = verdicts(tmp_path).loc["few-32-1"]
    assert row["verdict"] == "not run" and row["note"] == "needs two seeds of both methods on a task"
    for seed, method in product(range(3), ("adapter", "scalearn")):
        store(tmp_path, "toy_pair", method, seed, 0.5 + 0.01 * seed**2 * (method == "scalearn"), k=32)
    assert verdicts(tmp_path).loc["few-32-1", "note"].endswith("left out, with one seed: toy_topic")


def test_other_source_tasks_are_another_method(tmp_path: Path) -> None:
    for seed in range(2):
        store(tmp_path, "toy_topic", "adapter", seed, 0.5 + 0.001 * seed)
        store(tmp_path, "toy_topic", "scalearn", seed, 0.9, source_tasks=TASKS)
    assert verdicts(tmp_path).loc["full-1", "verdict"] == "not run"
    assert verdicts(tmp_path, " ".join(TASKS)).loc["full-1", "verdict"] == "holds"


def test_other_settings_and_draws_stay_out(tmp_path: Path) -> None:
    for seed in range(3):
        for method, score in (("adapter", 0.5), ("scalearn", 0.7)):
            store(tmp_path, "toy_topic", method, seed, score + 0.01 * seed, k=4)
            store(tmp_path, "toy_topic", method, seed, 0.1, k=4, sampling="official")
            store(tmp_path, "toy_topic", method, seed, 0.2, k=4, overrides={"patience": 3})
    assert verdicts(tmp_path).loc["few-4-1", "effect"] == pytest.approx(20)


def test_equal_budgets_take_the_rate_that_validation_chose(tmp_path: Path) -> None:
    for method, best in (("scalearn", RATES[3]), ("adapter_fusion", RATES[1])):
        for rate, seed in product(RATES, range(3)):
            score = 0.6 + 0.01 * seed + 0.1 * (method == "scalearn") if rate == best else 0.9
            made = {"validation": {"accuracy": 0.8 if rate == best else 0.3, "loss": 1.0}}
            overrides = {"learning_rate": rate, "patience": PATIENCE}
            store(tmp_path, "toy_topic", method, seed, score, overrides=overrides, made_from=made)
            if rate == best:
                store(tmp_path, "toy_pair", method, seed, score, overrides=overrides)  # one rate is no search
    row = verdicts(tmp_path).loc["equal-1"]
    assert (row["effect"], row["tasks"], row["verdict"]) == (pytest.approx(10), 1, "holds")
    assert verdicts(tmp_path).loc["full-2", "verdict"] == "not run"


def test_equal_patience_is_that_of_the_single_adapter(tmp_path: Path) -> None:
    adapter = Run("offline", "trec", "adapter", "minilm", budget="converged").settings()
    run = Run("offline", "trec", "scalearn", "minilm", budget="converged")
    equal = replace(run, overrides=EQUAL_PATIENCE).settings()
    assert equal.patience * equal.eval_steps == adapter.patience * adapter.eval_steps
    assert (equal.learning_rate, equal.max_steps) == (run.settings().learning_rate, run.settings().max_steps)
    paper = Run("offline", "trec", "scalearn", "minilm", k=32, budget="paper").settings()
    assert {name: getattr(paper, name) for name in FEW_STEPS} == FEW_STEPS
    for seed in range(3):
        store(tmp_path, "toy_topic", "adapter", seed, 0.60 + 0.01 * seed)
        store(tmp_path, "toy_topic", "scalearn", seed, 0.55 + 0.01 * seed)
        store(tmp_path, "toy_topic", "scalearn", seed, 0.699 + 0.011 * seed, overrides=EQUAL_PATIENCE)
        store(tmp_path, "toy_topic", "adapter", seed, 0.90, overrides=EQUAL_PATIENCE)  # has them anyway
        store(tmp_path, "toy_topic", "scalearn", seed, 0.95, overrides={"patience": 10})
        for method, score in (("adapter", 0.5 + 0.1 * seed), ("scalearn", 0.58 + 0.1 * seed)):
            store(tmp_path, "toy_topic", method, seed, score, k=32, overrides=FEW_STEPS)
            store(tmp_path, "toy_topic", method, seed, 0.1, k=32)
    found = verdicts(tmp_path)
    assert found.loc["equal-4", "effect"] == pytest.approx(8) and found.loc["equal-4", "seeds"] == "3"
    assert found.loc[["equal-2", "equal-3"], "effect"].tolist() == pytest.approx([10, 15])
    assert found.loc["equal-3", "verdict"] == "holds" and found.loc["equal-2", "tasks"] == 1
    half = student.ppf(0.975, 2) * 0.1 / 3**0.5  # one method, so by seed: 14.9, 15.0 and 15.1 points
    assert found.loc["equal-3", ["low", "high"]].tolist() == pytest.approx([15 - half, 15 + half])


def test_heads_are_counted(tmp_path: Path) -> None:
    for task, parameters in zip(TASKS, (100, 120), strict=True):
        store(tmp_path, task, "scalearn_uniform_pp", 0, 0.5, made_from={"trainable_parameters": parameters})
        store(tmp_path, task, "adapter", 0, 0.5, made_from={"trainable_parameters": 250})
    row = verdicts(tmp_path).loc["heads-1"]
    assert (row["verdict"], row["low"], row["high"], row["tasks"]) == ("holds", 40, 48, 2)


def test_a_verdict_says_which_versions_it_mixes(tmp_path: Path) -> None:
    for seed, method in product(range(2), ("adapter", "scalearn", "adapter_fusion")):
        code, score = "bbbb" if method == "adapter_fusion" else "aaaa", 0.5 + 0.1 * (method == "scalearn")
        store(tmp_path, "toy_topic", method, seed, score + 0.001 * seed, made_from={"code": code})
    frame = verdicts(tmp_path)
    assert frame.loc["full-1", "note"] == ""
    assert frame.loc["full-2", "note"] == "made by 2 versions of code or data"


MADE = {
    task: result_of(Run("toy", task, "adapter", "tiny", budget="smoke"), 0.5, code="aaaa", data=task)
    for task in ("toy_topic", "toy_pair")
}
"""Results of source adapters."""
OF_PROBES = ("omega-1", "pair-1", "pair-2", "pair-3")


def probed(output: Path, best: tuple[float, float], targets: int, **column: object) -> pd.DataFrame:
    """Verdicts on SuperGLUE's probes: each target has two partners and ten to twelve points at its best pair."""
    names = ("cb", "copa", "wsc", "rte", "wic", "boolq", "multirc", "record")
    for number, target in enumerate(names[:targets]):
        for partner in ("mnli", "qqp"):
            rows = [
                (a, b, seed, (0.10 + 0.003 * (number % 5)) * ((a, b) == best))
                for a, b in product((0.0, 0.5, 1.0), repeat=2)
                for seed in range(4)
            ]
            frame = pd.DataFrame(rows, columns=[target, partner, "seed", "score"])
            frame = frame.assign(validation=frame["score"]).assign(**column)
            store_pairs(frame, MADE, output, "superglue", "tiny", "smoke")
    return claims(output, "superglue", "tiny", "smoke").set_index("name").loc[list(OF_PROBES)]


def test_probes_whose_best_pair_does_not_sum_to_one(tmp_path: Path) -> None:
    frame = probed(tmp_path, (1.0, 0.5), 8)
    assert list(frame["verdict"]) == ["undecided", "holds", "undecided", "holds"]  # eight of eight by chance: 4 %
    assert frame.loc["omega-1", "effect"] == 0 and frame.loc["omega-1", "note"] == "targets do not differ"
    assert frame.loc["pair-2", "effect"] == 0 and frame.loc["pair-2", "note"] == "33% by chance"
    assert frame.loc["pair-2", "needed"].endswith(" targets") and frame.loc["pair-2", "high"] == pytest.approx(
        36.9, abs=0.1
    )
    assert (frame["tasks"] == 8).all() and (frame["seeds"] == "").all()


def test_probes_whose_best_pair_sums_to_one(tmp_path: Path) -> None:
    frame = probed(tmp_path, (0.5, 0.5), 8)
    assert frame.loc["pair-2", "verdict"] == "does not hold" and frame.loc["pair-2", "effect"] == 100
    assert frame.loc["pair-2", "note"].startswith("more often than by chance; 33% by chance")
    assert frame.loc["pair-3", "verdict"] == "undecided"  # the same pair is chosen everywhere: no spread


def test_one_target_or_no_validation_is_not_run(tmp_path: Path) -> None:
    frame = probed(tmp_path / "one", (0.5, 0.5), 1)
    assert (frame["verdict"] == "not run").all() and set(frame["note"]) == {"needs two targets"}
    frame = probed(tmp_path / "old", (0.5, 0.5), 8, validation=np.nan)
    assert (frame["verdict"] == "not run").all() and frame["note"].str.contains("probe again").all()


def test_pairs_tell_which_code_made_them(tmp_path: Path) -> None:
    assert "versions" not in probed(tmp_path, (1.0, 0.5), 2).loc["pair-1", "note"]
    ours = f"{code_version(PROBING)} on aaaa"
    assert set(load_pairs(tmp_path, "superglue", "tiny", "smoke")["code"]) == {ours}
    file = next((tmp_path / "probing").rglob("cb+mnli.csv"))
    pd.read_csv(file).assign(code="zzzz").to_csv(file, index=False)
    note = claims(tmp_path, "superglue", "tiny", "smoke").set_index("name").loc["pair-1", "note"]
    assert note.endswith("made by 2 versions of code or data")


def test_probes_are_added_to_those_that_are_stored(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def stored(strengths: tuple[float, ...], heads: tuple[int, ...], score: float, data: str) -> pd.DataFrame:
        rows = [(a, b, seed, score) for a, b in product(strengths, repeat=2) for seed in heads]
        made = {"toy_topic": MADE["toy_topic"].model_copy(update={"data": data}), "toy_pair": MADE["toy_pair"]}
        frame = pd.DataFrame(rows, columns=["toy_topic", "toy_pair", "seed", "score"]).assign(validation=score)
        file = store_pairs(frame, made, tmp_path, "toy", "tiny", "smoke")
        return file, load_pairs(tmp_path, "toy", "tiny", "smoke")

    file, _ = stored((0.0, 1.0), (0, 1), 0.5, "d1")
    _, pairs = stored((0.0, 0.5), (1,), 0.75, "d1")
    assert len(pairs) == 4 * 2 + 3 and not pairs.duplicated(["omega_target", "omega_partner", "seed"]).any()
    both = pairs.set_index(["omega_target", "omega_partner", "seed"])["score"]
    assert both[0, 0, 0] == 0.5 and both[0, 0, 1] == both[0.5, 0.5, 1] == 0.75 and both[1, 1, 1] == 0.5
    _, pairs = stored((0.0, 0.5), (1,), 0.75, "d2")
    assert [text.startswith("made by 2 versions") for text in mixed(made_by(pairs))] == [True]
    file.write_text("half of a tab")
    assert load_pairs(tmp_path, "toy", "tiny", "smoke").empty
    assert f"Left out: {file} is no table of probes" in capsys.readouterr().err
    assert len(stored((0.0,), (0,), 0.5, "d1")[1]) == 1
