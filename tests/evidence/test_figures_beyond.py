"""What figures of the questions beyond the paper leave out, and what their titles say."""

from __future__ import annotations

import pandas as pd

from scalearn_lib.evidence.figures_beyond import change, varied

RUNS = pd.DataFrame(
    [
        ("trec", "ScaLearn", 0, 0, 0.60),
        ("trec", "ScaLearn", 0, 1, 0.50),
        ("trec", "ScaLearn", 16, 0, 0.45),
        ("trec", "ScaLearn", 16, 1, 0.45),
        ("qtype", "ScaLearn", 0, 0, 0.50),
        ("qtype", "ScaLearn", 4, 0, 0.10),
        ("qtype", "ScaLearn", 16, 0, 0.51),
        ("trec", "AdapterFusion", 0, 0, 0.70),
        ("qtype", "AdapterFusion", 0, 0, 0.50),
        ("qtype", "AdapterFusion", 16, 0, 0.52),
    ],
    columns=["task", "method", "sources", "seed", "score"],
)


def test_lines_of_a_single_point_are_left_out() -> None:
    kept = varied(RUNS, "sources")
    assert len(kept) == len(RUNS) - 1
    assert not ((kept["task"] == "trec") & (kept["method"] == "AdapterFusion")).any()


def test_seeds_that_were_not_tried_everywhere_are_left_out() -> None:
    more = pd.concat([RUNS, RUNS[RUNS["sources"] == 0].assign(seed=7, score=0.0)], ignore_index=True)
    assert varied(more, "sources").reset_index(drop=True).equals(varied(RUNS, "sources").reset_index(drop=True))


def test_a_value_that_few_seeds_have_does_not_cost_the_others() -> None:
    three = pd.concat([RUNS[RUNS["method"] == "AdapterFusion"].assign(seed=seed) for seed in range(3)])
    one_more = three[three["sources"] == 16].head(1).assign(sources=56)
    assert varied(pd.concat([three, one_more]), "sources").equals(varied(three, "sources"))


def test_the_title_tells_the_mean_change_over_tasks_with_both_ends() -> None:
    assert change(RUNS, "sources") == "AdapterFusion +2.0 points, ScaLearn -4.5 points"
