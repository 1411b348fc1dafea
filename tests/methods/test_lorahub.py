"""LoraHub: the mixed LoRA's factors, and a search that finds what it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters.methods.lora import LoRA
from torch import nn

from scalearn_lib.methods import get_method
from scalearn_lib.methods.base import transfer_parameters
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model

METHOD = get_method("lorahub").learner()
NAMES = ("toy_topic", "toy_pair", "toy_score")


@pytest.fixture
def model(tmp_path: Path) -> nn.Module:
    other = load_model("tiny")
    torch.manual_seed(0)
    for name in NAMES:
        other.add_adapter(name, config=get_method("lora").learner().config)
    for module in other.modules():
        if isinstance(module, LoRA):
            nn.init.normal_(module.lora_B)
    for name in NAMES:
        other.save_adapter(str(tmp_path / name), name, use_safetensors=True)
    prepared = load_model("tiny")
    METHOD.prepare(prepared, [get_task("toy", "toy_topic")], {name: tmp_path / name for name in NAMES})
    return prepared


def mixed(model: nn.Module) -> list[nn.ModuleDict]:
    return [module.loras for module in model.modules() if hasattr(module, "loras") and "lorahub" in module.loras]


def test_both_factors_are_sums_by_the_weights(model: nn.Module) -> None:
    with torch.no_grad():
        model.source_weights.copy_(torch.tensor([0.5, -1.0, 0.25]))
    METHOD.mix(model)
    assert len(mixed(model)) == 4  # query and value of two layers
    for loras in mixed(model):
        for factor in ("lora_A", "lora_B"):
            first, second, third = (getattr(loras[name], factor) for name in NAMES)
            torch.testing.assert_close(getattr(loras["lorahub"], factor), 0.5 * first - second + 0.25 * third)
    assert transfer_parameters(model) == 3


def test_the_search_starts_at_nothing_and_finds_the_least_loss(model: nn.Module) -> None:
    assert torch.equal(model.source_weights, torch.zeros(3))
    tried = []

    def loss() -> float:
        tried.append(model.source_weights.detach().clone())
        return float((model.source_weights - torch.tensor([1.0, -1.0, 0.0])).square().sum())

    METHOD.search(model, loss, seed=0)
    assert len(tried) == 40 and torch.stack(tried).abs().max() <= 1.5
    assert (model.source_weights - torch.tensor([1.0, -1.0, 0.0])).abs().max() < 0.4
    for loras in mixed(model):
        total = sum(w * loras[n].lora_B for w, n in zip(model.source_weights, NAMES, strict=True))
        torch.testing.assert_close(loras["lorahub"].lora_B, total)
