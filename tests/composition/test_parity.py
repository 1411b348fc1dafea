"""Agreement with the reference forward passes of the paper's official implementation (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapters import Fuse, RobertaAdapterModel, SeqBnConfig
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path

GOLDEN = Path(__file__).parents[1] / "golden"
META = json.loads((GOLDEN / "tiny_roberta.json").read_text())
TENSORS = load_file(GOLDEN / "tiny_roberta.safetensors")
SOURCES = META["adapters"]
LEARNED = ["scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "mean", "softmax"]
TOLERANCE = 1e-5


def part(prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in TENSORS.items() if key.startswith(prefix)}


def reference_model() -> nn.Module:
    model = RobertaAdapterModel(RobertaConfig(**META["config"]))
    scalearn_lib.init(model)
    for source in SOURCES:
        model.add_adapter(source, config=SeqBnConfig(reduction_factor=META["reduction_factor"]))
    model.add_classification_head("head", num_labels=META["num_labels"], layers=2)
    missing = model.load_state_dict(part("model/"), strict=False)
    assert not missing.unexpected_keys and all("prompt_tuning" in key for key in missing.missing_keys)
    return model


def forward(model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    model.active_head = "head"
    model.eval()
    out = model(
        **{name: TENSORS[f"inputs/{name}"] for name in ("input_ids", "attention_mask", "labels")},
        output_hidden_states=True,
    )
    return out.logits, out.loss, torch.stack(out.hidden_states)


def assert_agrees(case: str, results: tuple[Tensor, Tensor, Tensor]) -> None:
    for name, ours in zip(("logits", "loss", "hidden"), results, strict=True):
        difference = (ours - TENSORS[f"{case}/{name}"]).abs().max().item()
        assert difference <= TOLERANCE, f"{case}/{name} differs by {difference:.1e}"


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("case", LEARNED)
def test_learned_coefficients(case: str, fused: bool) -> None:
    model, setup = reference_model(), ScaLearn(*SOURCES)
    variant = case if case.startswith("scalearn") else f"scalearn_{case}"
    model.add_adapter_fusion(setup, ScaLearnConfig.load(variant, fused=fused))
    model.train_adapter_fusion(setup)
    parameters = {n: p for n, p in model.named_parameters() if n.endswith("omega")}
    references = part(f"{case}/omega/")
    assert len(parameters) == len(references) == (1 if "_pp" in case else 3)
    pairs = list(zip(parameters.values(), references.items(), strict=True))  # both in the order of the layers
    with torch.no_grad():
        for parameter, (_, value) in pairs:
            parameter.copy_(value)
    results = forward(model)
    assert_agrees(case, results)
    results[1].backward()
    for parameter, (name, _) in pairs:
        difference = (parameter.grad - TENSORS[f"{case}/omega_grad/{name}"]).abs().max().item()
        assert difference <= TOLERANCE
        assert parameter.grad.abs().max() > 1e-4  # and it is no comparison of zeros
    assert set(forward_path(model, setup).values()) == {"fused" if fused else "loop: switched on by the configuration"}


@pytest.mark.parametrize("fused", [True, False])
def test_fixed_coefficients(fused: bool) -> None:
    model, setup = reference_model(), ScaLearn(*SOURCES)
    grid = META["cases"]["omega_grid"]["grid"]
    model.add_adapter_fusion(setup, ScaLearnConfig(fixed=[grid[source] for source in SOURCES], fused=fused))
    model.train_adapter_fusion(setup)
    assert_agrees("omega_grid", forward(model))


@pytest.mark.parametrize("source", SOURCES)
def test_single_adapters(source: str) -> None:
    model = reference_model()
    model.set_active_adapters(source)
    assert_agrees(f"single_{source}", forward(model))
    block = ScaLearn(source)
    model.add_adapter_fusion(block, ScaLearnConfig(fixed=[1.0]), set_active=True)
    assert_agrees(f"single_{source}", forward(model))


def test_adapter_fusion_still_works_on_the_same_model() -> None:
    model, setup = reference_model(), Fuse(*SOURCES)
    model.add_adapter_fusion(setup, config="dynamic")
    assert not model.load_state_dict(part("adapterfusion/params/"), strict=False).unexpected_keys
    model.set_active_adapters(setup)
    # In double precision: the reference's own float32 rounding is 7e-6 here, and adapters' adds to it.
    assert_agrees("adapterfusion", forward(model.double()))
