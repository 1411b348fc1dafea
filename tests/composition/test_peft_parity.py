"""Agreement with PEFT's own forward passes (tests/golden/peft), and PEFT reading what `save_peft` wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import RobertaModel

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, fold, forward_path, load_peft, save_peft

GOLDEN = Path(__file__).parents[1] / "golden" / "peft"
EXPECTED = load_file(GOLDEN / "expected.safetensors")
META = json.loads((GOLDEN / "expected.json").read_text())
INPUTS = {name: EXPECTED[f"inputs/{name}"] for name in ("input_ids", "attention_mask")}
TOLERANCE = 1e-5


def model_of_peft(names: list[str]) -> nn.Module:
    model = RobertaModel.from_pretrained(GOLDEN / "base")
    scalearn_lib.init(model)
    for name in names:
        assert load_peft(model, GOLDEN / name) == name
    return model.eval()


def hidden(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(**INPUTS).last_hidden_state


def assert_agrees(case: str, ours: Tensor) -> None:
    real = INPUTS["attention_mask"] == 1
    difference = (ours - EXPECTED[f"{case}/hidden"])[real].abs().max().item()
    print(f"{case}: {difference:.1e}")
    assert difference <= TOLERANCE
    assert (ours - EXPECTED["base/hidden"])[real].abs().max() > 0.01 or case == "base"  # and the LoRA does something


def weighted(fused: bool = True) -> tuple[nn.Module, ScaLearn]:
    model, setup = model_of_peft(META["adapters"]), ScaLearn(*META["adapters"])
    model.add_adapter_fusion(setup, ScaLearnConfig(fixed=META["weights"], fused=fused), set_active=True)
    return model, setup


def test_the_base_model_is_untouched() -> None:
    assert_agrees("base", hidden(model_of_peft([])))


@pytest.mark.parametrize("name", META["adapters"])
def test_each_alone(name: str) -> None:
    model = model_of_peft(META["adapters"])
    model.set_active_adapters(name)
    assert_agrees(name, hidden(model))


@pytest.mark.parametrize("fused", [True, False])
def test_weighted_together(fused: bool) -> None:
    model, setup = weighted(fused)
    assert_agrees("weighted", hidden(model))
    assert set(forward_path(model, setup).values()) == {"fused" if fused else "loop: switched on by the configuration"}
    assert list(forward_path(model, setup)) == ["0.query", "0.value", "1.query", "1.value"]


@pytest.mark.parametrize("merged", [False, True])
def test_folded(merged: bool) -> None:
    model, setup = weighted()
    fold(model, setup, "folded")
    assert model.adapters_config.get("folded").r == 4 + 2 + 6
    model.set_active_adapters("folded")
    if merged:
        model.merge_adapter("folded")
    assert_agrees("weighted", hidden(model))


LOADER = """
import sys, torch, adapters
from transformers import RobertaModel
model = RobertaModel.from_pretrained(sys.argv[1])
adapters.init(model)
model.load_adapter(sys.argv[2] + "/folded", set_active=True, use_safetensors=True)
model.eval()
torch.save(model(**torch.load(sys.argv[2] + "/inputs.pt")).last_hidden_state.detach(), sys.argv[2] + "/hidden.pt")
assert "scalearn_lib" not in sys.modules
"""


def test_folded_and_loaded_by_adapters_alone(tmp_path: Path) -> None:
    model, setup = weighted()
    fold(model, setup, "folded")
    model.save_adapter(str(tmp_path / "folded"), "folded", use_safetensors=True)
    torch.save(INPUTS, tmp_path / "inputs.pt")
    (tmp_path / "load.py").write_text(LOADER)
    subprocess.run([sys.executable, str(tmp_path / "load.py"), str(GOLDEN / "base"), str(tmp_path)], check=True)
    assert_agrees("weighted", torch.load(tmp_path / "hidden.pt"))


@pytest.mark.parametrize("name", [*META["adapters"], "weighted"])
def test_what_save_peft_wrote_is_loaded_by_peft(name: str, tmp_path: Path) -> None:
    model, setup = weighted()
    fold(model, setup, "weighted")
    save_peft(model, name, tmp_path)
    theirs = PeftModel.from_pretrained(RobertaModel.from_pretrained(GOLDEN / "base"), tmp_path)
    assert_agrees(name, hidden(theirs.eval()))


@pytest.mark.parametrize("name", META["adapters"])
def test_a_lora_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    save_peft(model_of_peft([name]), name, tmp_path)
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (GOLDEN / name, tmp_path))
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("prefix", ["base_model.model.roberta.", "roberta.", ""])
def test_module_paths_with_and_without_prefixes(prefix: str, tmp_path: Path) -> None:
    tensors = load_file(GOLDEN / "alpha" / "adapter_model.safetensors")
    save_file(
        {key.replace("base_model.model.", prefix): value for key, value in tensors.items()},
        tmp_path / "adapter_model.safetensors",
    )
    (tmp_path / "adapter_config.json").write_text((GOLDEN / "alpha" / "adapter_config.json").read_text())
    model = model_of_peft([])
    load_peft(model, tmp_path, load_as="renamed", set_active=True)
    assert_agrees("alpha", hidden(model))
