"""Where a block may stand: inside a Stack, over Stacks, after another block, beside AdapterFusion."""

from __future__ import annotations

import pytest
import torch
from adapters import AdapterSetup, Fuse, LoRAConfig, PrefixTuningConfig, Stack

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path, scaling_coefficients

from .helpers import activate, logits, omegas, roberta

PLAIN = "seq_bn[reduction_factor=4]"
LEFT_OUT = "seq_bn[reduction_factor=4,leave_out=[0]]"


def test_a_block_after_a_language_adapter_reads_its_output() -> None:
    """Stack("l", block with ω = (1, 0)) is Stack("l", "a")."""
    model, block = roberta("abl"), ScaLearn("a", "b")
    model.active_head = "head"
    model.set_active_adapters(Stack("l", "a"))
    wanted = logits(model)
    model.add_adapter_fusion(block, ScaLearnConfig(fixed=[1, 0]))
    model.set_active_adapters(Stack("l", block))
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-6)
    model.set_active_adapters(Stack(block, "l"))
    after = logits(model)
    model.set_active_adapters(Stack("a", "l"))
    torch.testing.assert_close(logits(model), after, rtol=0, atol=1e-6)


def test_a_stack_as_a_source_gives_its_last_adapters_output() -> None:
    """The first layer's output before its norm is N(ω) = N(0) + ω · o, with o from "a" on top of "l"."""
    model, norms, ups = roberta("al"), {}, {}
    layer = model.roberta.encoder.layer[0].output
    layer.adapters["a"].register_forward_hook(lambda module, args, out: ups.__setitem__("a", out[2]))
    block = ScaLearn(Stack("l", "a"), name="block")
    for omega in (0.0, 0.5):
        model.add_adapter_fusion(block, ScaLearnConfig(fixed=[omega]), overwrite_ok=True, set_active=True)
        with layer.LayerNorm.register_forward_hook(lambda m, args, out, omega=omega: norms.__setitem__(omega, args[0])):
            logits(model)
        assert set(forward_path(model, block).values()) == {"loop: a source is a Stack"}
    torch.testing.assert_close(norms[0.5], norms[0.0] + 0.5 * ups["a"], rtol=0, atol=1e-5)
    assert not torch.equal(norms[0.5], norms[0.0])


@pytest.mark.parametrize(
    "below", [LoRAConfig(init_weights="bert"), PrefixTuningConfig(flat=True)], ids=["lora", "prefix"]
)
def test_other_kinds_of_adapters_may_lie_below_a_block(below: object) -> None:
    model, block = roberta(), ScaLearn(*"abc")
    model.add_adapter("l", config=below)
    activate(model, block)
    alone = logits(model)
    model.train_adapter_fusion(Stack("l", block))
    model.active_head = "head"
    model.eval()
    assert not torch.equal(logits(model), alone)
    assert set(forward_path(model, block).values()) == {"fused"}


def test_but_not_inside_its_sources() -> None:
    model = roberta()
    model.add_adapter("l", config=LoRAConfig())
    block = ScaLearn("a", Stack("l", "b"))
    model.add_adapter_fusion(block)
    with pytest.raises(ValueError, match="runs over bottleneck adapters, but l is none"):
        model.train_adapter_fusion(block)


def test_one_block_may_follow_another() -> None:
    results = {}
    for fused in (True, False):
        model = roberta("abcd")
        blocks = ScaLearn("a", "b"), ScaLearn("c", "d")
        for block in blocks:
            activate(model, block, ScaLearnConfig(fused=fused))
        model.train_adapter_fusion(Stack(*blocks))
        model.active_head = "head"
        model.eval()
        results[fused] = logits(model)
        assert len(omegas(model)) == 4
    torch.testing.assert_close(results[True], results[False], rtol=0, atol=1e-5)


@pytest.mark.parametrize("order", [lambda b: Stack("l", b), lambda b: Stack(b, "l")], ids=["after", "before"])
def test_a_layer_without_sources_passes_a_stack_through(order) -> None:
    model, block = roberta("abl", [LEFT_OUT, LEFT_OUT, PLAIN]), ScaLearn("a", "b")
    model.add_adapter_fusion(block, ScaLearnConfig(fixed=[1, 0]))
    model.active_head = "head"
    model.set_active_adapters(order(block))
    mixed = logits(model)
    assert list(forward_path(model, block)) == ["1"]
    model.set_active_adapters(order("a"))
    torch.testing.assert_close(logits(model), mixed, rtol=0, atol=1e-6)


def test_coefficients_of_left_out_sources_are_unknown_and_the_others_are_constrained() -> None:
    model, block = roberta("abc", [PLAIN, PLAIN, LEFT_OUT]), ScaLearn(*"abc")
    activate(model, block, "scalearn_mean")
    omega = scaling_coefficients(model, block)
    assert omega.sel(source="c", layer="0").isnull().all() and not omega.sel(layer="1").isnull().any()
    assert abs(omega.sum("source") - 1).max() < 1e-5  # in both layers: NaN counts as nothing


def test_a_context_activates_a_block() -> None:
    model, block = roberta(), ScaLearn(*"abc")
    activate(model, block)
    wanted = logits(model)
    model.set_active_adapters("a")
    model.active_head = "head"
    with AdapterSetup(block):
        assert torch.equal(logits(model), wanted)
    assert not torch.equal(logits(model), wanted)


def test_overwriting_keeps_a_block_active_unless_its_sources_change() -> None:
    model, block = roberta(), ScaLearn(*"abc", name="block")
    activate(model, block)
    model.add_adapter_fusion(block, config="scalearn_pp", overwrite_ok=True)
    assert model.active_adapters == block and len([n for n in model.state_dict() if "omega" in n]) == 1
    model.add_adapter_fusion(ScaLearn("a", "b", name="block"), config="scalearn_pp", overwrite_ok=True)
    assert model.active_adapters is None


def test_a_fuse_setup_can_name_a_block_and_does_not_dangle() -> None:
    model, block = roberta(), ScaLearn(*"abc")
    activate(model, block)
    wanted = logits(model)
    model.set_active_adapters(Fuse(*"abc"))
    model.active_head = "head"
    assert torch.equal(logits(model), wanted)
    model.delete_adapter_fusion("a,b,c")
    assert model.active_adapters is None


def test_sources_with_invertible_adapters_cannot_be_folded() -> None:
    model, block = roberta("ab", ["seq_bn_inv"]), ScaLearn("a", "b")
    activate(model, block)
    with pytest.raises(ValueError, match="invertible adapters cannot be folded"):
        scalearn_lib.fold(model, block, "folded")


@pytest.mark.parametrize("below", [PLAIN, "par_bn[reduction_factor=4]"])
def test_a_layer_that_has_only_what_lies_below_the_sources_is_passed_through(below: str) -> None:
    """Sources that leave a layer out add nothing there, whatever is below them."""
    results, weights = [], {}
    for lower in (below, below.replace("]", ",leave_out=[0]]")):
        model = roberta("labc", [lower, LEFT_OUT, LEFT_OUT, LEFT_OUT])
        weights = weights or model.state_dict()
        model.load_state_dict({name: weights[name] for name in model.state_dict()})  # the same where both have some
        block = ScaLearn(Stack("l", "a"), Stack("l", "b"), name="block")
        model.add_adapter_fusion(block, ScaLearnConfig(fixed=[0.5, 0.7]), set_active=True)
        model.active_head = "head"
        results.append(logits(model))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)
