"""Saving, loading, renaming, deleting and folding: what comes back is what was there."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import Fuse, RobertaAdapterModel, SeqBnConfig, Stack
from safetensors import safe_open
from torch import nn
from transformers import RobertaConfig, RobertaModel

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, scaling_coefficients
from scalearn_lib.composition.folding import reduction_factor

from .helpers import SHAPE, activate, batch, logits, omegas, roberta

ALL = sorted(scalearn_lib.VARIANTS)


def same_but_for_omega() -> nn.Module:
    """The model of `roberta()`, to load a block into."""
    model = roberta()
    model.active_head = "head"
    return model


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("variant", ALL)
def test_a_block_comes_back_exactly(variant: str, safe: bool, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, variant)
    model.save_adapter_fusion(str(tmp_path / "block"), setup, use_safetensors=safe)
    fresh = same_but_for_omega()
    fresh.load_adapter_fusion(str(tmp_path / "block"), set_active=True, use_safetensors=safe)
    assert fresh.active_adapters == setup
    assert (scaling_coefficients(fresh, setup) == scaling_coefficients(model, setup)).all()
    torch.testing.assert_close(logits(fresh), logits(model), rtol=0, atol=0)


def test_shared_omega_is_stored_once(tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, "scalearn_pp")
    assert len([name for name in model.state_dict() if "omega" in name]) == 1
    model.save_adapter_fusion(str(tmp_path / "block"), setup, use_safetensors=True)
    with safe_open(tmp_path / "block" / "model_adapter_fusion.safetensors", "pt") as stored:
        (key,) = stored.keys()
        assert torch.equal(stored.get_tensor(key), next(iter(omegas(model).values())))


def test_a_block_can_be_renamed_beside_one_of_a_longer_name(tmp_path: Path) -> None:
    model = roberta()
    short, long = ScaLearn(*"abc", name="pp"), ScaLearn(*"abc", name="pp_long")
    activate(model, short, "scalearn_pp", seed=1)
    activate(model, long, "scalearn_pp", seed=2)
    kept = scaling_coefficients(model, long)
    model.save_adapter_fusion(str(tmp_path / "pp"), short)
    with torch.no_grad():
        for parameter in omegas(model).values():
            parameter.zero_()
    model.load_adapter_fusion(str(tmp_path / "pp"), load_as="renamed")
    assert (scaling_coefficients(model, "renamed") == scaling_coefficients(model, short)).all()
    assert not (
        scaling_coefficients(model, long) == kept
    ).all()  # zeroed above, and not brought back by the other's file
    assert float(abs(scaling_coefficients(model, long)).max()) == 0


@pytest.mark.parametrize("name", [None, "named"])
def test_a_whole_setup_comes_back(name: str | None, tmp_path: Path) -> None:
    model = roberta("abcl")
    setup = Stack("l", ScaLearn("a", Stack("b", "c"), name=name))
    activate(model, setup[1], "scalearn_pp")
    model.set_active_adapters(setup)
    wanted = logits(model)
    model.save_adapter_setup(str(tmp_path / "setup"), setup, head_setup="head", use_safetensors=True)
    fresh = roberta("")
    fresh.load_adapter_setup(str(tmp_path / "setup"), set_active=True, use_safetensors=True)
    fresh.active_head = "head"
    assert fresh.active_adapters == setup
    torch.testing.assert_close(logits(fresh), wanted, rtol=0, atol=1e-6)


def test_copies_and_casts_keep_sharing() -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, "scalearn_pp")
    before = logits(model)
    twin = copy.deepcopy(model).to(torch.float64)
    with torch.no_grad():
        next(iter(omegas(twin).values())).zero_()
    assert float(abs(scaling_coefficients(twin, setup)).max()) == 0  # in every layer
    assert torch.equal(logits(model), before)


def test_deleting_a_block_leaves_nothing_of_it() -> None:
    model, setup = roberta(), ScaLearn(*"abc", name="block")
    for how in (setup, "block"):
        activate(model, setup)
        model.delete_adapter_fusion(how)
        assert model.active_adapters is None
        assert not [name for name in model.state_dict() if "omega" in name]
    activate(model, setup, "scalearn_uniform")  # the name is free again
    assert len(omegas(model)) == 2


def test_a_deleted_source_is_named_at_the_next_use() -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup)
    model.delete_adapter("b")
    with pytest.raises(ValueError, match="source adapter 'b' was deleted"):
        logits(model)


@pytest.mark.parametrize("sources", ["a", "abc"])
def test_a_block_without_any_source_left_is_no_longer_active(sources: str) -> None:
    model, setup = roberta(), ScaLearn(*sources)
    activate(model, setup)
    for source in sources:
        assert model.active_adapters == setup
        model.delete_adapter(source)
    assert model.active_adapters is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 64}, "hidden size 64, the model 32"),
        ({"adapter_names": ["a", "b", "x"]}, "Source adapters not on the model: x"),
    ],
)
def test_a_block_that_does_not_fit_changes_nothing(change: dict, message: str, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup)
    model.save_adapter_fusion(str(tmp_path / "block"), setup)
    file = tmp_path / "block" / "adapter_fusion_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    fresh = same_but_for_omega()
    before = set(fresh.state_dict())
    with pytest.raises(ValueError, match=message) as error:
        fresh.load_adapter_fusion(str(tmp_path / "block"))
    assert "\n" not in str(error.value)
    assert set(fresh.state_dict()) == before and not fresh.adapters_config.fusions


def of_layers(number: int) -> nn.Module:
    """A model like `roberta()` but for its depth."""
    model = RobertaAdapterModel(RobertaConfig(**SHAPE | {"num_hidden_layers": number}, pad_token_id=1))
    scalearn_lib.init(model)
    for source in "abc":
        model.add_adapter(source, config="seq_bn[reduction_factor=4]")
    return model


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("there", [False, True])
def test_a_block_for_another_depth_changes_nothing(layers: int, there: bool, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup)
    model.save_adapter_fusion(str(tmp_path / "block"), setup)
    fresh = of_layers(layers)
    if there:
        fresh.add_adapter_fusion(setup)
    fresh.set_active_adapters("a")
    before = {name: value.clone() for name, value in fresh.state_dict().items()}
    with pytest.raises(ValueError, match="coefficients for other layers"):
        fresh.load_adapter_fusion(str(tmp_path / "block"), set_active=True)
    after = fresh.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert fresh.active_adapters == Stack("a") and bool(fresh.adapters_config.fusions) is there


@pytest.mark.parametrize(
    ("saved", "there"),
    [
        ("scalearn_pp", "scalearn"),
        ("scalearn", "scalearn_pp"),
        ("scalearn_uniform", "scalearn"),
        ("scalearn_mean", "scalearn"),
        (ScaLearnConfig(blocks=2), ScaLearnConfig(blocks=8)),
        (ScaLearnConfig(blocks=2), "scalearn"),
        ("scalearn", "dynamic"),
        ("dynamic", "scalearn"),
    ],
)
def test_another_kind_of_block_is_not_overwritten(saved: object, there: object, tmp_path: Path) -> None:
    def added(config: object) -> nn.Module:
        model = roberta()
        model.add_adapter_fusion(
            Fuse(*"abc") if isinstance(config, str) and config == "dynamic" else ScaLearn(*"abc"), config=config
        )
        return model

    added(saved).save_adapter_fusion(str(tmp_path / "block"), "a,b,c")
    model = added(there)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="another kind of block named 'a,b,c': load .* by load_as"):
        model.load_adapter_fusion(str(tmp_path / "block"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.load_adapter_fusion(str(tmp_path / "block"), load_as="other")
    assert set(model.adapters_config.fusions) == {"a,b,c", "other"}


@pytest.mark.parametrize("file", ["pytorch_model_adapter_fusion.bin", "adapter_fusion_config.json"])
def test_a_truncated_file_changes_nothing(file: str, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup)
    model.save_adapter_fusion(str(tmp_path / "block"), setup)
    content = (tmp_path / "block" / file).read_bytes()
    (tmp_path / "block" / file).write_bytes(content[: len(content) // 2])
    fresh = same_but_for_omega()
    with pytest.raises(ValueError, match="save (it|the block) again"):
        fresh.load_adapter_fusion(str(tmp_path / "block"), set_active=True)
    assert not fresh.adapters_config.fusions and fresh.active_adapters is None


def test_blocks_travel_between_models_with_and_without_head(tmp_path: Path) -> None:
    bare = RobertaModel(RobertaConfig(**SHAPE, pad_token_id=1))
    scalearn_lib.init(bare)
    for source in "abc":
        bare.add_adapter(source, config="seq_bn[reduction_factor=4]")
    setup = ScaLearn(*"abc")
    bare.add_adapter_fusion(setup)
    bare.save_adapter_fusion(str(tmp_path / "bare"), setup)
    model = roberta()
    model.load_adapter_fusion(str(tmp_path / "bare"))
    assert (scaling_coefficients(model, setup) == scaling_coefficients(bare, setup)).all()
    activate(other := roberta(), setup, seed=5)
    other.save_adapter_fusion(str(tmp_path / "head"), setup)
    bare.load_adapter_fusion(str(tmp_path / "head"))
    assert (scaling_coefficients(bare, setup) == scaling_coefficients(other, setup)).all()


def test_fixed_coefficients_come_from_any_array_and_come_back(tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, ScaLearnConfig(fixed=np.float32([0.5, 0.0, -1.0])))
    model.save_adapter_fusion(str(tmp_path / "block"), setup, use_safetensors=True)
    fresh = same_but_for_omega()
    fresh.load_adapter_fusion(str(tmp_path / "block"), use_safetensors=True, set_active=True)
    assert fresh.adapters_config.get_fusion("a,b,c")[0]["fixed"] == [0.5, 0.0, -1.0]
    assert torch.equal(logits(fresh), logits(model))


def test_a_block_over_other_sources_is_not_overwritten(tmp_path: Path) -> None:
    model = roberta()
    activate(model, ScaLearn(*"abc", name="block"))
    model.save_adapter_fusion(str(tmp_path / "block"), "block")
    other = roberta()
    activate(other, ScaLearn(*"bac", name="block"))
    with pytest.raises(ValueError, match="sources .'b', 'a', 'c'. cannot take one over .'a', 'b', 'c'."):
        other.load_adapter_fusion(str(tmp_path / "block"))


READER = """
import sys, torch
from tests.composition.helpers import logits, roberta
model = roberta()
model.active_head = "head"
model.load_adapter_fusion(sys.argv[1] + "/block", set_active=True, use_safetensors=True)
stored = [value for name, value in model.state_dict().items() if "omega" in name]
torch.save((stored, logits(model)), sys.argv[1] + "/read.pt")
"""


def test_a_shared_omega_comes_back_in_another_process(tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, "scalearn_pp")
    model.save_adapter_fusion(str(tmp_path / "block"), setup, use_safetensors=True)
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", READER, str(tmp_path)], check=True, env=environment)
    (omega,), read = torch.load(tmp_path / "read.pt", weights_only=True)
    assert torch.equal(omega, next(iter(omegas(model).values())))
    torch.testing.assert_close(read, logits(model), rtol=0, atol=1e-6)


LOADER = """
import sys, torch
from adapters import RobertaAdapterModel
from transformers import RobertaConfig, RobertaModel
folder = sys.argv[1]
model = RobertaAdapterModel(RobertaConfig.from_pretrained(folder))
model.load_state_dict(torch.load(folder + "/encoder.pt", weights_only=True), strict=False)
model.load_adapter(folder + "/folded", use_safetensors=True, set_active=True)
model.active_head = "folded"
model.eval()
inputs = torch.load(folder + "/inputs.pt", weights_only=True)
torch.save(model(**inputs).logits.detach(), folder + "/logits.pt")
assert "scalearn_lib" not in sys.modules
"""


def test_a_folded_block_needs_adapters_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=60, hidden_size=384, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    model = RobertaAdapterModel(config)
    scalearn_lib.init(model)
    for source, factor in (
        ("a", 16),
        ("b", 3),
        ("c", 24),
    ):  # widths 24, 128 and 16: 168, where the plain quotient falls short
        model.add_adapter(source, config=f"seq_bn[reduction_factor={factor}]")
    model.add_classification_head("head", num_labels=3)
    activate(model, ScaLearn(*"abc"))
    wanted = logits(model)
    scalearn_lib.fold(model, ScaLearn(*"abc"), "folded")
    assert model.roberta.encoder.layer[0].output.adapters["folded"].adapter_down[0].out_features == 168
    model.add_classification_head("folded", num_labels=3)
    model.heads["folded"].load_state_dict(model.heads["head"].state_dict())
    config.save_pretrained(tmp_path)
    torch.save(
        {k: v for k, v in model.state_dict().items() if "adapters" not in k and "omega" not in k},
        tmp_path / "encoder.pt",
    )
    inputs = {name: value for name, value in batch().items() if name != "labels"}
    torch.save(inputs, tmp_path / "inputs.pt")
    model.save_adapter(str(tmp_path / "folded"), "folded", with_head=True, use_safetensors=True)
    (tmp_path / "load.py").write_text(LOADER)
    subprocess.run([sys.executable, str(tmp_path / "load.py"), str(tmp_path)], check=True, cwd=tmp_path)
    torch.testing.assert_close(torch.load(tmp_path / "logits.pt", weights_only=True), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("hidden", [32, 384, 768, 1024])
def test_every_width_can_be_asked_for(hidden: int) -> None:
    for width in range(1, 2 * hidden):
        assert int(hidden // reduction_factor(hidden, width)) == width


def test_layers_may_differ_in_width() -> None:
    model, setup = roberta("ab", [SeqBnConfig(reduction_factor={"0": 4, "default": 8})]), ScaLearn("a", "b")
    activate(model, setup)
    wanted = logits(model)
    scalearn_lib.fold(model, setup, "folded")
    widths = [layer.output.adapters["folded"].adapter_down[0].out_features for layer in model.roberta.encoder.layer]
    assert widths == [16, 8]
    model.set_active_adapters("folded")
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("configs", "setup", "message"),
    [
        (["seq_bn"], ScaLearn("a", Stack("b", "c")), "over Stacks cannot be folded"),
        (["seq_bn", "seq_bn[use_gating=True]"], ScaLearn(*"abc"), "cannot be folded .*'b' is gated"),
        (["seq_bn", "seq_bn[non_linearity='gelu']"], ScaLearn(*"abc"), "cannot be folded .*'b' has another activation"),
        (["seq_bn[non_linearity='prelu']"], ScaLearn("a"), "cannot be folded .*'a' has an activation that learned"),
    ],
)
def test_what_cannot_be_folded_is_told(configs: list[str], setup: ScaLearn, message: str) -> None:
    model = roberta(configs=configs)
    activate(model, setup)
    with pytest.raises(ValueError, match=message):
        scalearn_lib.fold(model, setup, "folded")
    assert "folded" not in model.adapters_config
    with pytest.raises(ValueError, match="has an adapter named 'a' already"):
        scalearn_lib.fold(model, ScaLearn("a", "b"), "a")
