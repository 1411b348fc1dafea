"""Two processes that train one run together, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import RobertaConfig, RobertaModel

from scalearn_lib.errors import UserError
from scalearn_lib.study import Run, execute
from scalearn_lib.study.joint import train_jointly
from scalearn_lib.study.parallel import agreed, parallel_settings
from scalearn_lib.tasks.encoders import encoder_dir, load_tokenizer


@pytest.fixture(scope="module")
def without_dropout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny encoder without dropout, whose masks cannot be the same in parts of a batch as in a whole one."""
    folder = tmp_path_factory.mktemp("encoder")
    load_tokenizer("tiny").save_pretrained(folder)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    RobertaModel(RobertaConfig.from_pretrained(encoder_dir("tiny"), **none)).save_pretrained(folder)
    return str(folder)


def test_two_processes_give_what_one_gives(without_dropout: str, tmp_path: Path) -> None:
    run = Run("toy", "toy_score", "scalearn_uniform_pp", without_dropout, budget="smoke", overrides={"max_steps": 24})
    command = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "scalearn_lib.cli", "run", "toy", run.method, run.task, "--encoder", run.encoder]
    command += ["--budget", "smoke", "--set", "max_steps=24", "--output", str(tmp_path / "two")]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, env=alone)
    assert done.returncode == 0, done.stderr
    two, one = execute(run, tmp_path / "two"), execute(run, tmp_path / "one")
    assert two["processes"] == 2 and "processes" not in one
    for split in ("test", "validation"):
        assert two[split] == pytest.approx(one[split], rel=1e-4, abs=1e-5)
    assert [log["step"] for log in two["history"]] == [log["step"] for log in one["history"]]
    for ours, theirs in zip(two["history"], one["history"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-4)
    assert (two["selected_step"], two["steps"], two["sizes"]) == (one["selected_step"], one["steps"], one["sizes"])
    assert not list(tmp_path.rglob(".seed*"))


def test_what_cannot_be_done_by_several_processes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parallel_settings(32) == {} and agreed(lambda: 3) == 3
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="32 cannot be cut into 3 equal parts"):
        parallel_settings(32)
    run = replace(Run("toy", "toy_pair", "adapter_m", "tiny", budget="smoke"))
    from scalearn_lib.methods import get_method

    with pytest.raises(UserError, match="adapter-m cannot be trained by several processes"):
        train_jointly(None, get_method(run.method), run.tasks(), {}, None, run.settings(), 0, "")
