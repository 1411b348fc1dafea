"""The command line: the same functions, errors in one sentence without a traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scalearn_lib.cli import main
from tests.stored import store

SMALL = ["--encoder", "tiny", "--budget", "smoke"]


def test_tasks_and_methods_are_listed(capsys: pytest.CaptureFixture) -> None:
    assert main(["tasks"]) == 0
    shown = capsys.readouterr().out
    assert "toy_topic" in shown and "trec_fine" in shown
    assert main(["tasks", "toy"]) == 0
    assert "trec_fine" not in capsys.readouterr().out
    assert main(["methods"]) == 0
    assert "scalearn_uniform_pp" in capsys.readouterr().out


def test_run_then_table(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    output = ["--output", str(tmp_path)]
    assert main(["run", "toy", "scalearn_uniform_pp", "toy_topic", *SMALL, *output]) == 0
    shown = capsys.readouterr().out
    assert "4 transfer parameters" in shown and "result.json" in shown
    settings = ["--set", "max_steps=2", "--set", "official=true"]
    assert main(["run", "toy", "adapter", "toy_topic", *SMALL, *output, *settings]) == 0
    assert "smoke-max_steps=2-official=True" in capsys.readouterr().out
    assert main(["table", "toy", *SMALL, *output]) == 0
    table = capsys.readouterr().out
    assert "ScaLearnUniform++" in table and "toy_topic" in table


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["run", "toi", "scalearn", "toy_topic"], "Unknown suite 'toi' (did you mean 'toy'?)"),
        (["run", "toy", "scalern", "toy_topic"], "Unknown method 'scalern' (did you mean 'scalearn'?)"),
        (["run", "toy", "scalearn", "rte"], "Unknown task 'rte'"),
        (["run", "toy", "scalearn", "toy_topic", "--budget", "quik"], "Unknown budget 'quik' (did you mean 'quick'?)"),
        (["run", "toy", "adapter", "toy_topic", "--set", "max_step=3"], "Unknown setting 'max_step' (did you mean"),
        (["run", "toy", "adapter", "toy_topic", "--set", "max_steps=many"], "max_steps must be a whole number"),
        (["run", "toy", "adapter", "toy_topic", "--set", "official=yes"], "official must be true or false, got 'yes'"),
        (["run", "toy", "adapter", "toy_topic", "--k", "0"], "k is a whole number of at least 1"),
        (["run", "toy", "adapter", "toy_topic", "--seed", "20261126120000"], "below 2**32, got 20261126120000"),
        (
            ["run", "toy", "adapter", "toy_topic", "--set", "learning_rate=true"],
            "learning_rate must be positive, got T",
        ),
        (["run", "toy", "adapter", "toy_topic", "--set", "max_steps={[]:1}"], "max_steps must be a whole number"),
        (["show", "toy", "scalearn", "all", "--to", "x"], "Unknown task 'all'"),
        (["export", "toy", "scalearn", "all", "--to", "x"], "Unknown task 'all'"),
        (["run", "toy", "adapter", "toy_topic", "--k", "9999", *SMALL], "9999"),
        (["run", "toy", "adapter", "toy_topic", "--encoder", "no-such-folder/x/y"], "no-such-folder"),
        (["run", "offline", "adapter", "movie"], "scalearn fetch"),
        (["table", "toy"], "No results for suite 'toy'"),
        (["table", "gleu"], "Unknown suite 'gleu'"),
    ],
)
def test_errors_are_one_sentence(command: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(command) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.strip().count("\n") == 0 and "Traceback" not in captured.err


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scalearn_lib.runs.execute", interrupted)
    assert main(["run", "toy", "adapter", "toy_topic", *SMALL]) == 130
    assert "goes on from there" in capsys.readouterr().err


def test_claims_say_where_results_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    store(tmp_path, "toy_topic", "adapter", 0, 0.5, budget="quick")
    assert main(["claims", "toy", "--encoder", "tiny", "--output", str(tmp_path)]) == 0
    assert "No results in the budget converged, but 1 in quick: name one with --budget." in capsys.readouterr().out
    assert main(["claims", "toy", "--encoder", "tiny", "--budget", "quick", "--output", str(tmp_path)]) == 0
    assert "--budget" not in capsys.readouterr().out


LIGHT = (
    *("methods", "tasks", "table toy", "claims toy", "findings", "status studies/offline.yaml", "costs", "--help"),
    "run toy x y",
)


def test_what_trains_nothing_imports_nothing_heavy() -> None:
    code = f"""
import sys
from scalearn_lib.cli import main
for command in {LIGHT!r}:
    try:
        main(command.split())
    except SystemExit:
        pass
    heavy = [name for name in ("torch", "transformers", "adapters", "sklearn") if name in sys.modules]
    assert not heavy, (command, heavy)
"""
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=root)
    assert done.returncode == 0, done.stderr
