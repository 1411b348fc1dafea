"""Two processes that train one run together, against one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import RobertaConfig, RobertaModel

from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method
from scalearn_lib.runs import Run, execute
from scalearn_lib.tasks.encoders import encoder_dir, load_tokenizer
from scalearn_lib.training.joint import train_jointly
from scalearn_lib.training.parallel import agreed

MORE = {"max_steps": 24, "max_train": 61}
"""61 rows have no equal parts of 8: the last batch of each pass has five."""


@pytest.fixture(scope="module")
def without_dropout(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny encoder without dropout, whose masks cannot be the same in parts of a batch as in a whole one."""
    folder = tmp_path_factory.mktemp("encoder")
    load_tokenizer("tiny").save_pretrained(folder)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    RobertaModel(RobertaConfig.from_pretrained(encoder_dir("tiny"), **none)).save_pretrained(folder)
    return str(folder)


def test_two_processes_give_what_one_gives(without_dropout: str, tmp_path: Path) -> None:
    run = Run("toy", "toy_topic", "scalearn_uniform_pp", without_dropout, budget="smoke", overrides=MORE)
    command = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command += ["-m", "scalearn_lib.cli", "run", "toy", run.method, run.task, "--encoder", run.encoder]
    command += ["--budget", "smoke", "--output", str(tmp_path / "two")]
    command += [word for key, value in MORE.items() for word in ("--set", f"{key}={value}")]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    alone |= {"ACCELERATE_USE_CPU": "true"}  # processes without GPUs talk by gloo
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, env=alone)
    assert done.returncode == 0, done.stderr
    two, one = execute(run, tmp_path / "two"), execute(run, tmp_path / "one")
    assert two.processes == 2 and one.processes == 1
    for split in ("test", "validation"):
        assert getattr(two, split) == pytest.approx(getattr(one, split), abs=1e-6)
    assert [log["step"] for log in two.history] == [log["step"] for log in one.history]
    for ours, theirs in zip(two.history, one.history, strict=True):  # rounded to four digits
        assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-4)
    for file in run.weights(tmp_path / "one").glob("*.safetensors"):
        ours, theirs = load_file(run.weights(tmp_path / "two") / file.name), load_file(file)
        for name, tensor in theirs.items():
            torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-6)
    assert (two.selected_step, two.steps, two.sizes) == (one.selected_step, one.steps, one.sizes)
    assert {path.suffix for path in tmp_path.rglob(".seed*")} <= {".lock"}  # nothing half-written


def test_what_cannot_be_done_by_several_processes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreed(lambda: 3) == 3
    monkeypatch.setenv("WORLD_SIZE", "3")
    run = Run("toy", "toy_pair", "adapter_m", "tiny", budget="smoke")
    with pytest.raises(UserError, match="adapter-m cannot be trained by several processes"):
        train_jointly(None, get_method(run.method), run.tasks(), {}, None, run.settings(), 0, "")
