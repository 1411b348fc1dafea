"""The entropy of sources' shares: by hand, at the start, and in a run's history."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from adapters import Fuse

import scalearn_lib
from scalearn_lib import ScaLearn
from scalearn_lib.runs import Run, execute
from scalearn_lib.tasks.encoders import load_model
from scalearn_lib.training.history import ENTROPY, RANDOM
from scalearn_lib.training.shares import entropy, shares_of

BATCH = {
    "input_ids": torch.tensor([[5, 6, 7, 0], [8, 9, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]),
}


def prepared(setup: Fuse, config: str) -> torch.nn.Module:
    model = load_model("tiny")
    scalearn_lib.init(model)
    for name in setup.children:
        model.add_adapter(name, config="seq_bn")
    model.add_adapter_fusion(setup, config)
    model.add_classification_head("head", num_labels=2)
    model.train_adapter_fusion(setup)
    return model


def test_one_source_that_counts_alone_has_entropy_zero_and_equal_ones_have_one() -> None:
    setup = ScaLearn("a", "b", "c", "d")
    model = prepared(setup, "scalearn_uniform_pp")
    (omega,) = [p for name, p in model.named_parameters() if name.endswith("omega")]
    for values, expected in (
        ([1.0, 1.0, -1.0, 1.0], 1.0),  # a negative coefficient counts by its size
        ([0.0, 0.0, 0.7, 0.0], 0.0),
        ([3.0, 1.0, 0.0, 0.0], -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4)),
    ):
        with torch.no_grad():
            omega.copy_(torch.tensor(values).reshape(omega.shape))
        found = entropy(shares_of(model, BATCH))
        assert len(found) == model.config.num_hidden_layers
        assert found.values == pytest.approx([expected] * len(found), abs=1e-6)


def test_attention_is_averaged_over_tokens_and_padding_does_not_count() -> None:
    model = prepared(Fuse("a", "b", "c"), "dynamic")
    found = shares_of(model.train(), BATCH)
    assert found.sum("source").values == pytest.approx(1, abs=1e-5) and model.training
    longer = {key: torch.nn.functional.pad(value, (0, 3)) for key, value in BATCH.items()}
    assert shares_of(model, longer).values == pytest.approx(found.values, abs=1e-6)


def test_without_sources_there_is_nothing_to_tell() -> None:
    model = load_model("tiny")
    assert shares_of(model, BATCH) is None


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("method", ["scalearn", "scalearn_softmax", "adapter_fusion", "adapter"])
def test_a_run_tells_them_before_the_first_step_and_at_each_evaluation(
    method: str, precision: str, tmp_path: Path
) -> None:
    run = Run("toy", "toy_topic", method, "tiny", budget="smoke", overrides={"precision": precision})
    history = execute(run, tmp_path).history
    noted = {entry["step"]: entry for entry in history if any(key.startswith(ENTROPY) for key in entry)}
    if method == "adapter":
        assert not noted
        return
    assert list(noted) == [0, *[entry["step"] for entry in history if "eval_loss" in entry]]
    start = [value for key, value in noted[0].items() if key.startswith(ENTROPY)]
    assert len(start) == 2 and all(value > 0.9 for value in start)  # both start with all sources alike


def test_random_sources_are_told_apart(tmp_path: Path) -> None:
    run = Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke", overrides={"random_sources": 3})
    first, *_ = execute(run, tmp_path).history
    assert first[RANDOM] == pytest.approx(3 / (3 + len(run.sources())), abs=0.01)  # all start alike
