"""Parallel bottleneck adapters as sources: fused = loop = folded, and what a layer gives is the equation."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, fold

from .helpers import forward_and_gradients, logits, roberta

SOURCE = st.builds(
    "{}[reduction_factor={}]".format, st.sampled_from(["par_bn", "scaled_par_bn"]), st.sampled_from([1, 2, 5, 32])
)
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def run(sources: list[str], variant: str, dtype: torch.dtype, fused: bool):
    names = "abcdef"[: len(sources)]
    model, setup = roberta(names, sources).to(dtype), ScaLearn(*names)
    return model, setup, *forward_and_gradients(model, setup, variant, fused)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(SOURCE, min_size=1, max_size=4),
    st.sampled_from(sorted(scalearn_lib.VARIANTS)),
    st.sampled_from([*TOLERANCE]),
)
def test_fused_equals_loop_equals_folded(sources: list[str], variant: str, dtype: torch.dtype) -> None:
    model, setup, fused, fused_gradients = run(sources, variant, dtype, True)
    _, _, loop, loop_gradients = run(sources, variant, dtype, False)
    close = {"rtol": 1e-4, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(fused, loop, **close)
    for one, other in zip(fused_gradients, loop_gradients, strict=True):
        torch.testing.assert_close(one, other, **close)
    fold(model, setup, "folded")
    assert model.adapters_config.get("folded").is_parallel
    model.set_active_adapters("folded")
    model.active_head = "head"
    torch.testing.assert_close(logits(model), fused, **close)


def test_the_sum_is_the_equation() -> None:
    """One layer by hand: what the sublayer gives, plus Σ ω_t · 4 · U_t φ(D_t x) of the layer's own input x."""
    model, setup, fixed = roberta("ab", ["par_bn[reduction_factor=4]"]), ScaLearn("a", "b"), [0.5, -2.0]
    model.add_adapter_fusion(setup, ScaLearnConfig(fixed=fixed), set_active=True)
    layer, seen = model.roberta.encoder.layer[0].output, {}
    layer.dropout.register_forward_hook(lambda module, args, output: seen.update(dense=output))
    layer.LayerNorm.register_forward_pre_hook(lambda module, args: seen.update(before=args[0]))
    layer.register_forward_pre_hook(lambda module, args: seen.update(input=args[1]))
    logits(model)
    with torch.no_grad():
        outputs = [layer.adapters[n].adapter_up(layer.adapters[n].adapter_down(seen["input"])) for n in "ab"]
    total = sum(4.0 * w * o for w, o in zip(fixed, outputs, strict=True))
    torch.testing.assert_close(seen["before"], seen["dense"] + total + seen["input"], rtol=1e-5, atol=1e-4)
