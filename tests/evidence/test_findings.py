"""docs/findings.md as a page, and verdicts as lines: from whatever results there are."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from scalearn_lib.cli import main
from scalearn_lib.errors import UserError
from scalearn_lib.evidence import counted, findings_page
from scalearn_lib.tasks import get_suite
from tests.stored import store

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "findings.md"
SMALL = ["--encoder", "tiny", "--budget", "smoke"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Results of two suites: on the one a gain holds, on the other a method is lacking."""
    for seed, task in product(range(3), ("toy_topic", "toy_pair")):
        store(tmp_path, task, "adapter", seed, 0.5 + 0.01 * seed)
        store(tmp_path, task, "scalearn", seed, 0.7 + 0.01 * seed)
        store(tmp_path, task, "adapter_fusion", seed, 0.71 - 0.01 * seed)
    store(tmp_path, "rte", "scalearn", 0, 0.5, suite="glue", source_tasks=("rte", "cola"))
    return tmp_path


def section(page: str, title: str) -> str:
    return page.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_page(output: Path) -> None:
    page = findings_page(output, "tiny", "smoke")
    assert "- On `toy`, of the paper's 29 claims 2 hold, 0 do not hold, 2 are undecided, 25 were not run." in page
    assert "| toy | ScaLearn is above the single adapter | +20.0 points |" in section(page, "What holds")
    assert section(page, "What does not hold").strip() == "None."
    undecided = section(page, "What is undecided")
    assert "| toy | ScaLearn is above AdapterFusion | +1.0 points |" in undecided and " seeds |" in undecided
    lacking = section(page, "What was not run")
    assert lacking.count("\n- ") == 2 and "no results of full-m (joint-1)" in lacking
    scores = section(page, "Scores on all examples")
    assert "`toy`:" in scores and "| ScaLearn [2 of 8 sources] | 8 | 50.0 |  | 1 |" in scores
    assert "| ScaLearn | 8 | 71.0 ± 1.0 | 71.0 ± 1.0 |" in scores
    assert "| toy | all examples | 18 runs, 0.0 h |" in section(page, "What it took")
    differs = section(page, "What differs from the paper's setting")
    assert "- `toy`: runs that this rests on, by where they were made: 18 on cpu." in differs
    assert "- `glue`: 1 of 8 tasks (rte)." in differs and "2 source tasks instead of 8" in differs
    assert "the encoder is tiny, the paper's roberta-base" in differs and "- `toy`: 3 seeds for a score." in differs
    assert "nan" not in page.lower().replace("finance", "")


def test_equal_budgets_have_a_section_where_they_were_run(output: Path) -> None:
    assert "## Under equal budgets" not in findings_page(output, "tiny", "smoke")
    for rate in (6e-3, 1e-3, 3e-4):
        store(output, "toy_topic", "scalearn", 0, 0.6, overrides={"learning_rate": rate, "patience": 10})
    assert "## Under equal budgets" not in findings_page(output, "tiny", "smoke")  # a rate is missing
    store(output, "toy_topic", "scalearn", 0, 0.6, overrides={"learning_rate": 5e-5, "patience": 10})
    equal = section(findings_page(output, "tiny", "smoke"), "Under equal budgets")
    assert "5e-05, 0.0003, 0.001, 0.006 with patience 10" in equal
    assert "| toy | ScaLearn | toy_topic | 71.0 | 60.0 | 5e-05 | 1 |" in equal


def test_runs_that_their_limit_of_steps_stopped_are_counted(tmp_path: Path) -> None:
    for seed, selected in enumerate((4, 4, 2)):  # of 4 steps
        store(tmp_path, "toy_topic", "adapter", seed, 0.5, made_from={"selected_step": selected})
    store(tmp_path, "toy_topic", "scalearn", 0, 0.5, made_from={"selected_step": 2})
    scores = {"accuracy": 0.5, "loss": 1.0}
    of_task = {"metric": "accuracy", "test": scores, "validation": scores, "sizes": {"train": 10}, "data": "data"}
    made = dict.fromkeys((task.name for task in get_suite("toy").tasks), of_task)
    store(
        tmp_path,
        "toy_topic",
        "adapter_m",
        0,
        0.5,
        source_tasks=tuple(made),
        made_from={"tasks": made, "steps": 16, "selected_step": 16},
    )
    differs = section(findings_page(tmp_path, "tiny", "smoke"), "What differs from the paper's setting")
    assert "might have gained by more: adapter 2 of 3, adapter-m 1 of 1." in differs


def test_without_results_there_is_no_page(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UserError, match="make some first"):
        findings_page(tmp_path, "tiny", "smoke")
    assert main(["findings", *SMALL, "--output", str(tmp_path)]) == 1
    assert "No results of two-stage methods" in capsys.readouterr().err


def test_a_suite_with_few_shot_results_alone_has_a_page(tmp_path: Path) -> None:
    for seed, method in product(range(2), ("adapter", "scalearn")):
        store(tmp_path, "toy_topic", method, seed, 0.5 + 0.1 * seed, k=32)
    page = findings_page(tmp_path, "tiny", "smoke")
    assert "| few-shot |" in page and "`toy`:" not in section(page, "Scores on all examples")


def test_the_commands(output: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["claims", "toy", *SMALL, "--output", str(output)]) == 0
    told = capsys.readouterr().out
    assert "  holds: 2\n    full-1      ScaLearn is above the single adapter\n" in told
    assert "+20.0 points [" in told and "better in 100 % of runs; 3 seeds, 2 tasks" in told
    assert "seeds would decide it" in told and "not run: no results of full-m (joint-1)" in told
    assert main(["findings", *SMALL, "--output", str(output)]) == 0
    assert capsys.readouterr().out == findings_page(output, "tiny", "smoke")


def test_counted() -> None:
    verdicts = ["holds", "undecided", "undecided"]
    assert counted(verdicts) == "1 holds, 0 do not hold, 2 are undecided, 0 were not run"


def test_the_page_in_docs_is_what_the_stored_results_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_REFERENCE", str(ROOT / "outputs" / "reference"))
    encoder, budget = re.search(r"`scalearn findings --encoder (\S+) --budget (\S+)`", PAGE.read_text()).groups()
    assert PAGE.read_text() == findings_page(ROOT / "outputs" / "reference", encoder, budget)
