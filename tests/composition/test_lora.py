"""ScaLearn over LoRAs: fused = loop = folded = merged, for any LoRAs in any linear maps; places and parameters."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from adapters import AdapterSetup, AdapterTrainer, BertAdapterModel, LoRAConfig, RobertaAdapterModel, Stack
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, fold, forward_path, scaling_coefficients
from scalearn_lib.composition import stacking
from scalearn_lib.composition.lora import ScaLearnLoRALayer

from .helpers import SHAPE, activate, batch, forward_and_gradients, logits, omegas, randomise, roberta

NAMES = "abcde"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5, torch.bfloat16: 0.2}
LORA = st.builds(
    LoRAConfig,
    r=st.integers(1, 6),
    alpha=st.sampled_from([1, 4, 16, 8 * math.sqrt(2)]),
    attn_matrices=st.sampled_from([["q", "v"], ["k"], ["q", "k", "v"], ["v"]]),
    intermediate_lora=st.booleans(),
    output_lora=st.booleans(),
    leave_out=st.sampled_from([[], [0]]),
)
LORAS = st.lists(LORA, min_size=1, max_size=5)
VARIANTS = st.sampled_from(sorted(scalearn_lib.VARIANTS))


def gpt2() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=1, num_labels=3
    )
    config.update({"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0})
    model = transformers.GPT2ForSequenceClassification(config)
    scalearn_lib.init(model)
    return model


def bert() -> nn.Module:
    """BERT as transformers has it, with a head."""
    torch.manual_seed(0)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**SHAPE, **dropout, num_labels=3))
    scalearn_lib.init(model)
    return model


MODELS = {"bert": bert, "gpt2": gpt2}


def with_loras(model: nn.Module, configs: list[LoRAConfig]) -> ScaLearn:
    for name, config in zip(NAMES, configs, strict=False):
        model.add_adapter(name, config=config)
    torch.manual_seed(3)
    randomise(model)
    return ScaLearn(*NAMES[: len(configs)])


def run(kind: str, configs: list[LoRAConfig], variant: str, dtype: torch.dtype, fused: bool):
    model = MODELS[kind]()
    setup = with_loras(model, configs)
    model.to(dtype)
    return model, setup, *forward_and_gradients(model, setup, variant, fused)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([*MODELS]), LORAS, VARIANTS, st.sampled_from([*TOLERANCE]))
def test_fused_equals_loop(kind: str, configs: list[LoRAConfig], variant: str, dtype: torch.dtype) -> None:
    _, _, fused, fused_gradients = run(kind, configs, variant, dtype, True)
    _, _, loop, loop_gradients = run(kind, configs, variant, dtype, False)
    close = {"rtol": 0.05 if dtype == torch.bfloat16 else 1e-4, "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(fused, loop, **close)
    for one, other in zip(fused_gradients, loop_gradients, strict=True):
        torch.testing.assert_close(one, other, **close)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([*MODELS]), LORAS, VARIANTS, st.sampled_from([torch.float64, torch.float32]))
def test_folded_and_merged_equal_the_block(
    kind: str, configs: list[LoRAConfig], variant: str, dtype: torch.dtype
) -> None:
    model, setup, wanted, _ = run(kind, configs, variant, dtype, True)
    close = {"rtol": 1e-4, "atol": TOLERANCE[dtype]}
    fold(model, setup, "folded")
    folded = model.adapters_config.get("folded")
    assert folded.r <= sum(config.r for config in configs) and folded.alpha == folded.r
    model.set_active_adapters("folded")
    torch.testing.assert_close(logits(model), wanted, **close)
    model.merge_adapter("folded")
    torch.testing.assert_close(logits(model), wanted, **close)
    model.set_active_adapters(setup)  # and the frozen weights come back
    torch.testing.assert_close(logits(model), wanted, **close)


def test_the_sum_is_the_equation() -> None:
    """One map by hand: y = W x + b + Σ_t ω_t ⊙ (s_t B_t A_t x)."""
    model = roberta("", [])
    setup = with_loras(model, [LoRAConfig(r=2, alpha=6), LoRAConfig(r=5, alpha=3, attn_matrices=["q"])])
    activate(model, setup)
    query, seen = model.roberta.encoder.layer[0].attention.self.query, {}
    query.register_forward_hook(lambda module, args, output: seen.update(x=args[0], y=output))
    logits(model)
    omega = query.adapter_fusion_layer["a,b"].omega.detach()
    a, b = query.loras["a"], query.loras["b"]
    with torch.no_grad():
        plain = seen["x"] @ query.weight.t() + query.bias
        first = 3.0 * (seen["x"] @ (a.lora_B @ a.lora_A).t())
        second = 0.6 * (seen["x"] @ (b.lora_B @ b.lora_A).t())
    torch.testing.assert_close(seen["y"], plain + omega[0] * first + omega[1] * second, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_one_source_with_omega_one_is_that_lora(kind: str) -> None:
    model = MODELS[kind]()
    with_loras(model, [LoRAConfig(r=4, alpha=8, attn_matrices=["q", "k"], output_lora=True)])
    model.eval().set_active_adapters("a")
    alone = logits(model)
    model.add_adapter_fusion(ScaLearn("a"), ScaLearnConfig(fixed=[1.0]), set_active=True)
    torch.testing.assert_close(logits(model), alone, rtol=0.0, atol=1e-6)


def test_parameters_by_formula_and_by_count() -> None:
    """T sources, L layers, and in each the maps' output widths: RoBERTa-base with query, value and feed-forward."""
    config = transformers.RobertaConfig(vocab_size=20)
    model = RobertaAdapterModel(config)
    scalearn_lib.init(model)
    sources, layers, hidden, intermediate = 8, 12, 768, 3072
    for number in range(sources):
        model.add_adapter(f"s{number}", config=LoRAConfig(r=2, intermediate_lora=True, output_lora=True))
    widths = [hidden, hidden, intermediate, hidden]  # query, value, intermediate, output
    formulas = {
        "scalearn": sources * layers * sum(widths),
        "scalearn_uniform": sources * layers * len(widths),
        "scalearn_pp": sources * sum(widths),
        "scalearn_uniform_pp": sources * len(widths),
    }
    for variant, formula in formulas.items():
        setup = ScaLearn(*(f"s{number}" for number in range(sources)), name=variant)
        model.add_adapter_fusion(setup, config=variant)
        model.train_adapter_fusion(setup)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == formula
        stored = [name for name in model.state_dict() if f".{variant}." in name and name.endswith("omega")]
        assert len(stored) == (len(widths) if variant.endswith("_pp") else layers * len(widths))


@pytest.mark.parametrize("kind", MODELS)
def test_places_and_what_is_shared(kind: str) -> None:
    model = MODELS[kind]()
    setup = with_loras(model, [LoRAConfig(r=2, intermediate_lora=True), LoRAConfig(r=3, attn_matrices=["q"])])
    activate(model, setup, "scalearn_pp")
    omega = scaling_coefficients(model, setup)
    maps = ["query", "value", "intermediate"]
    assert [*omega.layer.values] == [f"{layer}.{name}" for layer in (0, 1) for name in maps]
    width = 128 if kind == "gpt2" else 64
    assert omega.shape == (6, 2, width)
    for name in maps:
        values = omega.sel(layer=f"0.{name}").values
        torch.testing.assert_close(
            torch.tensor(omega.sel(layer=f"1.{name}").values), torch.tensor(values), equal_nan=True
        )
        present = ~torch.tensor(values).isnan()
        assert present.sum(1).tolist() == {"query": [32, 32], "value": [32, 0], "intermediate": [width, 0]}[name]
    assert len(omegas(model)) == 3
    assert not (omega.sel(layer="0.query").values[0, :32] == omega.sel(layer="0.value").values[0, :32]).any()


def test_cross_attention_is_a_kind_of_its_own() -> None:
    torch.manual_seed(0)
    shape = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    config = transformers.BartConfig(
        vocab_size=60, **shape, encoder_attention_heads=4, decoder_attention_heads=4, dropout=0.0, num_labels=3
    )
    model = transformers.BartForConditionalGeneration(config)
    scalearn_lib.init(model)
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup, "scalearn_uniform_pp")
    ids = {"input_ids": batch()["input_ids"]}
    wanted = model(**ids).logits.detach()
    places = ["0.query", "0.value", "1.query", "1.value", "1.cross_query", "1.cross_value"]
    assert sorted(forward_path(model, setup)) == sorted(places)
    assert len(omegas(model)) == 4
    fold(model, setup, "folded")
    model.set_active_adapters("folded")
    torch.testing.assert_close(model(**ids).logits, wanted, rtol=0, atol=1e-5)


def test_lora_dropout_loops_in_training_and_is_drawn_once_per_source() -> None:
    model = gpt2()
    setup = with_loras(model, [LoRAConfig(r=2, dropout=0.5), LoRAConfig(r=3)])
    activate(model, setup, ScaLearnConfig(dropout_prob=0.0))
    still = logits(model)
    assert set(forward_path(model, setup).values()) == {"fused"}
    model.train()
    model(**batch()).loss.backward()
    assert set(forward_path(model, setup).values()) == {"loop: 'a' has dropout in training"}
    assert not torch.allclose(logits(model), logits(model))
    torch.testing.assert_close(logits(model.eval()), still)
    torch.manual_seed(5)
    model.train().set_active_adapters("a")
    alone = logits(model)
    model.add_adapter_fusion(ScaLearn("a"), ScaLearnConfig(fixed=[1.0]), set_active=True)
    torch.manual_seed(5)
    torch.testing.assert_close(logits(model), alone, rtol=0, atol=1e-6)  # the same masks as adapters'


def test_unfrozen_loras_learn_by_the_loop() -> None:
    model = bert()
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup)
    model.train_adapter_fusion(setup, unfreeze_adapters=True)
    model(**batch()).loss.backward()
    assert set(forward_path(model, setup).values()) == {"loop: 'a' is not frozen"}
    assert model.bert.encoder.layer[1].attention.self.value.loras["b"].lora_A.grad.abs().max() > 0


def test_constraints_penalty_and_coefficient_dropout() -> None:
    model = bert()
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup, ScaLearnConfig(constraint="softmax", regularization=0.1, dropout_prob=0.5))
    assert abs(scaling_coefficients(model, setup).sum("source") - 1).max() < 1e-5
    by_hand = sum(0.1 * ((1 - w.mean(1)) ** 2).mean() for w in omegas(model).values())
    torch.testing.assert_close(model.get_fusion_regularization_loss(), by_hand)
    model.train()
    assert not torch.allclose(logits(model), logits(model))


@pytest.mark.parametrize("kind", MODELS)
def test_frozen_loras_are_stacked_once_per_map(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], stacking.stack_projections
    monkeypatch.setattr(stacking, "stack_projections", lambda *sources: made.append(1) or make(*sources))
    model = MODELS[kind]()
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup)
    for _ in range(3):
        model(**batch()).loss.backward()
        before = logits(model)
    assert len(made) == 4  # two layers, query and value
    with torch.no_grad():
        next(m for m in model.modules() if isinstance(m, ScaLearnLoRALayer) and m.loras).loras["b"].lora_B.mul_(2.0)
    assert not torch.allclose(logits(model), before)
    assert len(made) == (6 if kind == "gpt2" else 5)  # where q, k and v are one, both maps hold a part of that B


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("variant", ["scalearn", "scalearn_uniform_pp"])
def test_a_block_comes_back_and_so_does_what_was_folded(kind: str, variant: str, tmp_path) -> None:
    model = MODELS[kind]()
    setup = with_loras(model, [LoRAConfig(r=2, output_lora=True), LoRAConfig(r=3, attn_matrices=["q"])])
    activate(model, setup, variant)
    wanted = logits(model)
    fold(model, setup, "folded")
    model.save_adapter_setup(str(tmp_path / "setup"), setup, use_safetensors=True)
    model.save_adapter(str(tmp_path / "folded"), "folded", use_safetensors=True)
    fresh = MODELS[kind]()
    fresh.load_adapter_setup(str(tmp_path / "setup"), set_active=True, use_safetensors=True)
    torch.testing.assert_close(logits(fresh.eval()), wanted, rtol=0, atol=1e-6)
    assert scaling_coefficients(fresh, setup).equals(scaling_coefficients(model, setup))
    fresh.load_adapter(str(tmp_path / "folded"), set_active=True, use_safetensors=True)
    torch.testing.assert_close(logits(fresh), wanted, rtol=0, atol=1e-5)
    fresh.delete_adapter_fusion(setup)
    assert not [name for name in fresh.state_dict() if "omega" in name]


def test_adapters_trainer_moves_only_omega_and_the_head(tmp_path) -> None:
    model = roberta("", [])
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup, "scalearn_pp")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows = Dataset.from_dict({name: value.tolist() for name, value in batch().items()})
    arguments = transformers.TrainingArguments(
        str(tmp_path), report_to=[], disable_tqdm=True, max_steps=2, learning_rate=0.1, dataloader_pin_memory=False
    )
    AdapterTrainer(model, arguments, train_dataset=rows).train()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in moved if not name.startswith("heads.")} == set(omegas(model)) != set()


def test_a_bottleneck_adapter_may_lie_below_the_block() -> None:
    for model in (bert(), gpt2()):
        setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
        activate(model, setup)
        alone = logits(model)
        model.add_adapter("language", config="seq_bn[reduction_factor=4]")
        randomise(model)
        randomised = logits(model)
        model.set_active_adapters(Stack("language", setup))
        assert not torch.allclose(logits(model), randomised, atol=1e-3)
        assert not torch.allclose(logits(model), alone, atol=1e-3)
        assert set(forward_path(model, setup).values()) == {"fused"}


def test_blocks_over_loras_and_over_adapters_live_side_by_side() -> None:
    model = roberta("xy")
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    bottleneck = ScaLearn("x", "y")
    activate(model, bottleneck, seed=1)
    over_adapters = logits(model)
    activate(model, setup, seed=2)
    over_loras = logits(model)
    for block, wanted in ((bottleneck, over_adapters), (setup, over_loras)):
        with AdapterSetup(block):
            assert torch.equal(logits(model), wanted)


def test_autocast_and_casts() -> None:
    model = bert()
    setup = with_loras(model, [LoRAConfig(r=2), LoRAConfig(r=3)])
    activate(model, setup)
    full = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        half: Tensor = logits(model)
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.1)
    model.adapter_fusion_to(setup.name, dtype=torch.float64)
    assert {p.dtype for p in omegas(model).values()} == {torch.float64}


def test_models_without_a_block_are_as_before() -> None:
    plain = BertAdapterModel(transformers.BertConfig(**SHAPE))
    plain.add_adapter("a", config="lora")
    keys = set(plain.state_dict())
    scalearn_lib.init(plain)
    assert set(plain.state_dict()) == keys
