"""Tables show what is stored, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.errors import UserError, say_once
from scalearn_lib.evidence import claims, commands, comparison, load_results, scores, table
from scalearn_lib.evidence.figures import method_colors
from scalearn_lib.evidence.paper import published
from scalearn_lib.evidence.tables import command, source_tasks_compared, suite_results, with_source_tasks
from scalearn_lib.methods import METHODS
from scalearn_lib.runs import Run
from scalearn_lib.runs.result import RESULT
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.adapters import Adapter
from tests.stored import store


def test_mean_and_standard_deviation_over_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate([0.5, 0.6, 0.7]):
        store(tmp_path, "toy_topic", "scalearn", seed, score)
    store(tmp_path, "toy_pair", "scalearn", 0, 0.9)
    shown = table(tmp_path, "toy", "tiny", "smoke")
    assert shown.loc["ScaLearn", "toy_topic"] == "60.0 ± 10.0"
    assert shown.loc["ScaLearn", "toy_pair"] == "90.0"
    assert shown.loc["ScaLearn", "average"] == "75.0"
    assert shown.loc["ScaLearn", "seeds"] == "1-3"
    assert shown.loc["ScaLearn", "parameters"] == "8"


def test_a_missing_run_is_blank_and_takes_the_average_with_it(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_pair", "scalearn", 0, 0.5)
    shown = table(tmp_path, "toy", "tiny", "smoke")
    assert shown.loc["adapter", "toy_pair"] == ""
    assert shown.loc["adapter", "average"] == ""
    assert list(shown.index) == ["adapter", "ScaLearn"]


def test_other_settings_stay_apart(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.9, k=4)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.1, overrides={"patience": 3})
    assert table(tmp_path, "toy", "tiny", "smoke").loc["ScaLearn", "toy_topic"] == "50.0"
    assert table(tmp_path, "toy", "tiny", "smoke", k=4).loc["ScaLearn", "toy_topic"] == "90.0"


def test_failed_damaged_and_unfinished_results_stay_out(tmp_path: Path, capsys) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 1, 0.9, status="failed")
    (store(tmp_path, "toy_topic", "scalearn", 2, 0.9) / RESULT).write_text('{"run"')
    unfinished = store(tmp_path, "toy_topic", "scalearn", 3, 0.9)
    unfinished.rename(unfinished.with_name(".seed3.tmp"))
    results = load_results(tmp_path)
    assert list(results["seed"]) == [0]
    assert "seed2" in capsys.readouterr().err


def test_scores_are_tidy(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    summary = scores(tmp_path, "toy")
    columns = "method source_tasks adapters task mean std seeds seed_values transfer_parameters versions"
    assert list(summary.columns) == columns.split()
    assert summary.loc[0, "mean"] == 50.0 and pd.isna(summary.loc[0, "std"])


def test_a_comparison_is_about_one_choice_of_source_tasks(tmp_path: Path) -> None:
    some = ("toy_pair", "toy_score")
    for seed in range(2):
        store(tmp_path, "toy_topic", "scalearn", seed, 0.5, source_tasks=some)
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    results = load_results(tmp_path)
    assert source_tasks_compared(results) == " ".join(some)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    results = load_results(tmp_path)
    assert source_tasks_compared(results) == "" == source_tasks_compared(results[:0])
    kept = with_source_tasks(results, "")
    assert list(zip(kept["method"], kept["source_tasks"], strict=True)) == [("adapter", ""), ("scalearn", "")]
    assert set(with_source_tasks(results, " ".join(some))["source_tasks"]) == {"", " ".join(some)}


def test_joint_runs_of_all_tasks_count_only_where_there_are_none_of_these(tmp_path: Path) -> None:
    some = ("toy_pair", "toy_score")
    store(tmp_path, "toy_pair", "adapter_m", 0, 0.5)
    store(tmp_path, "toy_pair", "full_m", 0, 0.6)
    store(tmp_path, "toy_pair", "full_m", 0, 0.9, source_tasks=some)
    kept = with_source_tasks(load_results(tmp_path), " ".join(some))
    assert dict(zip(kept["method"], kept["score"], strict=True)) == {"adapter_m": 0.5, "full_m": 0.9}


def test_a_result_that_vanishes_while_tables_are_made_is_left_out(tmp_path: Path, monkeypatch) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    monkeypatch.setattr("scalearn_lib.evidence.results.read_result", lambda folder: None)
    assert load_results(tmp_path).empty


def test_every_method_has_a_colour_of_its_own() -> None:
    colors = method_colors()
    assert set(colors) == {method.title for method in METHODS.values()} and len(set(colors.values())) == len(METHODS)


def test_no_results_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No results for suite 'toy'.*scalearn run toy"):
        table(tmp_path, "toy", "tiny", "smoke")


def test_the_paper_stands_beside_ours_and_a_missing_run_is_blank(tmp_path: Path) -> None:
    for seed, score in enumerate([0.78, 0.80]):
        store(tmp_path, "rte", "scalearn", seed, score, suite="glue", encoder="FacebookAI/roberta-base", budget="paper")
    shown = table(tmp_path, "glue", "FacebookAI/roberta-base", "paper", paper=True)
    rows = list(shown.index)
    ours = rows.index("ScaLearn")
    assert rows[ours : ours + 3] == ["ScaLearn", "  paper, roberta-base", "  ours - paper"]
    assert list(shown["rte"].iloc[ours : ours + 3]) == ["79.0 ± 1.4", "82.06", "-3.06"]
    assert (
        shown["mnli"].iloc[ours] == ""
        and shown["average"].iloc[ours] == ""
        and shown["average"].iloc[ours + 1] == "85.36"
    )
    assert (shown.loc["AdapterFusion"] == "").all()
    frame = comparison(tmp_path, "glue", "minilm", "paper")
    assert (frame["seeds"] == 0).all() and frame[["mean", "difference"]].isna().all(axis=None)


def test_another_encoder_gets_no_difference(tmp_path: Path) -> None:
    store(tmp_path, "rte", "scalearn", 0, 0.5, suite="glue")
    frame = comparison(tmp_path, "glue", "tiny", "smoke")
    assert frame["difference"].isna().all() and frame["paper"].notna().any()


def test_source_data_are_told_apart_only_where_there_are_sources(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5)
    store(tmp_path, "toy_topic", "adapter_m", 0, 0.5)
    for seed, data in enumerate("ab"):
        store(tmp_path, "toy_topic", "scalearn", seed, 0.5, made_from={"source_data": data})
    shown = table(tmp_path, "toy", "tiny", "smoke")["versions"].to_dict()
    assert shown == {"adapter": "code", "adapter-m": "code", "ScaLearn": "code sources' data a, code sources' data b"}
    assert len(claims(tmp_path, "toy", "tiny", "smoke"))


def test_results_of_other_settings_are_counted_in_their_suite(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    say_once.cache_clear()
    for suite, task in (("toy", "toy_topic"), ("glue", "rte"), ("glue", "cola")):
        settings = replace(Run(suite, task, "scalearn", "tiny", budget="smoke").settings(), max_steps=3)
        store(tmp_path, task, "scalearn", 0, 0.5, suite=suite, made_from={"settings": settings})
    assert suite_results(tmp_path, "toy").empty
    assert capsys.readouterr().err.startswith("1 results of 'toy' are left out")


def test_adapters_from_elsewhere_are_shown_and_compared_apart(tmp_path: Path) -> None:
    extra, other = (Adapter(name, "/somewhere", sha * 12) for name, sha in (("extra", "a"), ("other", "b")))
    for seed in range(2):
        store(tmp_path, "toy_topic", "scalearn", seed, 0.9, adapters=(extra,))
    results = suite_results(tmp_path, "toy")
    assert set(with_source_tasks(results, "")["score"]) == {0.9}  # there are no others
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 1, 0.7, adapters=(extra, other))
    shown = table(tmp_path, "toy", "tiny", "smoke")["toy_topic"].to_dict()
    assert shown == {
        "ScaLearn": "50.0",
        "ScaLearn [with extra]": "90.0 ± 0.0",
        "ScaLearn [with extra other]": "70.0",
    }
    assert list(with_source_tasks(suite_results(tmp_path, "toy"), "")["score"]) == [0.5]
    line = commands(comparison(tmp_path, "toy", "tiny", "smoke"))["ScaLearn [with extra]"].split("; ")[0]
    assert line.endswith("toy_topic --encoder tiny --budget smoke --source extra=FOLDER --seed 0 1")


def test_a_command_leaves_out_the_adapters_that_its_row_did_without(tmp_path: Path, monkeypatch) -> None:
    suite = replace(get_suite("toy"), adapters=(Adapter("extra", "/somewhere", "a" * 12),))
    monkeypatch.setattr("scalearn_lib.evidence.tables.get_suite", lambda name: suite)
    plain, given = (command("toy", "scalearn", ["toy_pair"], "tiny", "smoke", adapters=a) for a in ("", "extra@aa"))
    assert "--no-adapters" in plain and "--no-adapters" not in given and "--source" not in given
    assert "--no-adapters" not in command("toy", "adapter", ["toy_pair"], "tiny", "smoke")


def test_a_row_without_a_run_has_the_papers_seeds(tmp_path: Path) -> None:
    store(tmp_path, "toy_pair", "adapter_m", 0, 0.5)
    store(tmp_path, "toy_pair", "scalearn", 0, 0.5, k=4)
    joint, few = (comparison(tmp_path, "toy", "tiny", "smoke", k).query("seeds == 0")["command"] for k in (None, 4))
    assert all(line.endswith("--seed 0 1 2") for line in joint)
    assert all(line.endswith("--seed 0 1 2 3 4") for line in few) and len(joint) and len(few)


def test_fewer_source_tasks_are_shown_apart(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    store(tmp_path, "toy_topic", "scalearn", 0, 0.9, source_tasks=("toy_topic", "toy_pair"))
    shown = table(tmp_path, "toy", "tiny", "smoke")
    assert shown["toy_topic"].to_dict() == {"ScaLearn": "50.0", "ScaLearn [2 of 4 sources]": "90.0"}


def test_gsg_shows_the_single_task_results_of_its_parts_only(tmp_path: Path) -> None:
    store(tmp_path, "copa", "adapter", 0, 0.5, suite="superglue")
    store(tmp_path, "copa", "scalearn", 0, 0.6, suite="superglue")
    store(tmp_path, "copa", "scalearn", 0, 0.7, suite="gsg")
    shown = table(tmp_path, "gsg", "tiny", "smoke")
    assert shown["copa"].to_dict() == {"adapter": "50.0", "ScaLearn": "70.0"}


def test_every_row_has_the_command_that_makes_it(tmp_path: Path) -> None:
    store(tmp_path, "toy_topic", "scalearn", 2, 0.5, source_tasks=("toy_topic", "toy_pair"))
    lines = commands(comparison(tmp_path, "toy", "tiny", "smoke"))["ScaLearn [2 sources]"].split("; ")
    start, tail = "scalearn run toy scalearn", "--encoder tiny --budget smoke --sources toy_topic toy_pair --seed"
    assert lines == [
        f"{start} toy_topic {tail} 2",
        f"{start} toy_pair toy_score toy_polarity {tail} 0 1 2 3 4 5 6 7 8 9",
    ]


def test_published_scores_are_the_paper_s() -> None:
    frame = published("glue").set_index(["method", "task"])["score"]
    assert frame["scalearn", "rte"] == 82.06 and frame["adapter_fusion", "average"] == 85.01
    assert len(published()) == 14 * (9 + 9 + 6) + 3
    for (benchmark, method), rows in published().query("source == 'paper'").groupby(["benchmark", "method"]):
        scores = rows.set_index("task")["score"]
        assert scores.drop("average").mean() == pytest.approx(scores["average"], abs=0.04), (benchmark, method)
    assert published("gsg").empty
