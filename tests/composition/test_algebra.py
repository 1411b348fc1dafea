"""Fused = loop = folded, for any sources: properties instead of examples."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig

from .helpers import forward_and_gradients, logits, roberta

BLOCKS = [ScaLearnConfig(blocks=2), ScaLearnConfig(blocks=4, shared=True, constraint="softmax", dropout_prob=0.0)]
VARIANTS = st.sampled_from([*sorted(scalearn_lib.VARIANTS), *BLOCKS])
ACTIVATIONS = st.sampled_from(["relu", "gelu", "gelu_new", "swish", "leakyrelu", "tanh", "linear"])
SOURCE = st.builds(
    "seq_bn[reduction_factor={},scaling={}]".format,
    st.sampled_from([1, 2, 4, 5, 32]),
    st.sampled_from(["1.0", "0.5", "4.0", "'learned'", "'channel'"]),
)
SOURCES = st.lists(SOURCE, min_size=1, max_size=6)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 0.1}


def run(sources, variant, dtype, fused, activation="relu"):
    configs = [source.replace("]", f",non_linearity='{activation}']") for source in sources]
    names = "abcdef"[: len(sources)]
    model, setup = roberta(names, configs).to(dtype), ScaLearn(*names)
    return model, setup, *forward_and_gradients(model, setup, variant, fused)


@settings(max_examples=25, deadline=None)
@given(SOURCES, VARIANTS, st.sampled_from(list(TOLERANCE)), ACTIVATIONS)
def test_fused_equals_loop(sources: list[str], variant: str, dtype: torch.dtype, activation: str) -> None:
    _, _, fused, fused_gradients = run(sources, variant, dtype, True, activation)
    _, _, loop, loop_gradients = run(sources, variant, dtype, False, activation)
    close = {"rtol": 0.0, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(fused, loop, **close)
    for one, other in zip(fused_gradients, loop_gradients, strict=True):
        torch.testing.assert_close(one, other, **close)


@settings(max_examples=20, deadline=None)
@given(SOURCES, VARIANTS, st.sampled_from([torch.float64, torch.float32]), ACTIVATIONS)
def test_folded_equals_unfolded(sources: list[str], variant: str, dtype: torch.dtype, activation: str) -> None:
    model, setup, unfolded, _ = run(sources, variant, dtype, True, activation)
    scalearn_lib.fold(model, setup, "folded")
    model.set_active_adapters("folded")
    model.active_head = "head"
    torch.testing.assert_close(logits(model), unfolded, rtol=0.0, atol=TOLERANCE[dtype])


@settings(max_examples=10, deadline=None)
@given(SOURCES, VARIANTS, st.data())
def test_folding_some_sources_leaves_the_others_out(sources: list[str], variant: str, data: st.DataObject) -> None:
    model, setup, _, _ = run(sources, variant, torch.float64, True)
    chosen = data.draw(st.lists(st.sampled_from(setup.sources), min_size=1, unique=True))
    scalearn_lib.fold(model, setup, "pruned", sources=chosen)
    omega = scalearn_lib.scaling_coefficients(model, setup)
    for name in set(setup.sources) - set(chosen):
        for layer in model.roberta.encoder.layer:  # what is left out adds nothing
            for parameter in layer.output.adapters[name].adapter_up.parameters():
                torch.nn.init.zeros_(parameter)
    assert omega.sizes["source"] == len(sources)
    expected = logits(model)
    model.set_active_adapters("pruned")
    model.active_head = "head"
    torch.testing.assert_close(logits(model), expected, rtol=0.0, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=4))
def test_the_sum_is_the_equation(fixed: list[float]) -> None:
    """One layer by hand: h ← h + Σ ω_t U_t φ(D_t h), inside an otherwise unchanged model."""
    names = "abcd"[: len(fixed)]
    model, setup = roberta(names), ScaLearn(*names)
    model.add_adapter_fusion(setup, ScaLearnConfig(fixed=fixed), set_active=True)
    layer = model.roberta.encoder.layer[0].output
    seen = {}
    layer.LayerNorm.register_forward_hook(
        lambda module, args, output: seen.setdefault("norms", []).append((args[0], output))
    )
    layer.dropout.register_forward_hook(lambda module, args, output: seen.setdefault("dense", output))
    logits(model)
    h = seen["norms"][0][1]  # what the adapters read: LN(dense + attention output)
    attention = seen["norms"][0][0] - seen["dense"]
    with torch.no_grad():
        outputs = [layer.adapters[n].adapter_up(layer.adapters[n].adapter_down(h)) for n in names]
    total = sum(w * o for w, o in zip(fixed, outputs, strict=True))
    torch.testing.assert_close(seen["norms"][1][0], seen["dense"] + total + attention, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("extra", ["use_gating=True", "ln_after=True", "dropout=0.5", "ln_before=True", "scaling=2.0"])
@pytest.mark.parametrize("kind", ["seq_bn", "par_bn"])
def test_one_source_with_omega_one_is_that_adapter(kind: str, extra: str) -> None:
    model = roberta("a", [f"{kind}[reduction_factor=4,{extra}]"])
    model.set_active_adapters("a")
    model.active_head = "head"
    alone = logits(model)
    model.add_adapter_fusion(ScaLearn("a"), ScaLearnConfig(fixed=[1.0]), set_active=True)
    torch.testing.assert_close(logits(model), alone, rtol=0.0, atol=1e-6)
