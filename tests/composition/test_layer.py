"""ω itself: its size, its start, its dropout, its constraint, its penalty; and which forward runs."""

from __future__ import annotations

import types

import pytest
import torch
from adapters import BertAdapterModel, Fuse, RobertaAdapterModel, Stack
from adapters.trainer import AdapterTrainerCallback
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path, scaling_coefficients
from scalearn_lib.composition.layer import ScaLearnLayer

from .helpers import activate, batch, logits, omegas, roberta

LIKE = torch.zeros(1)


def test_transfer_parameters_are_the_published_ones() -> None:
    config = RobertaConfig(vocab_size=20)  # RoBERTa-base but for the vocabulary, which does not count
    model = RobertaAdapterModel(config)
    scalearn_lib.init(model)
    sources = ["mnli", "qqp", "qnli", "sst2", "stsb", "mrpc", "rte", "cola"]
    for source in sources:
        model.add_adapter(source, config="seq_bn")
    published = {"scalearn": 73_728, "scalearn_uniform": 96, "scalearn_pp": 6_144, "scalearn_uniform_pp": 8}
    for variant, count in published.items():
        setup = ScaLearn(*sources, name=variant)
        model.add_adapter_fusion(setup, config=variant)
        model.train_adapter_fusion(setup)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    model.add_adapter_fusion(Fuse(*sources), config="dynamic")
    model.train_adapter_fusion(Fuse(*sources))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 21_252_096


@pytest.mark.parametrize(("scale", "sources"), [(2.0, 8), (1.0, 5)])
def test_coefficients_start_at_scale_over_sources(scale: float, sources: int) -> None:
    names = [f"source{number}" for number in range(sources)]
    torch.manual_seed(0)
    layer = ScaLearnLayer(ScaLearnConfig(init_scale=scale), names, 4096, LIKE)
    assert layer.omega.shape == (sources, 4096)
    assert abs(layer.omega.mean().item() - scale / sources) < 1e-4
    assert abs(layer.omega.std().item() - 0.001) < 1e-4
    torch.manual_seed(0)
    assert torch.equal(layer.omega, ScaLearnLayer(ScaLearnConfig(init_scale=scale), names, 4096, LIKE).omega)


def test_dropout_is_on_single_coefficients_and_only_in_training() -> None:
    layer = ScaLearnLayer(ScaLearnConfig(init_std=0.0), "abcd", 10_000, LIKE)
    dropped = layer.scaling()
    assert dropped.unique().tolist() == pytest.approx([0.0, 0.5 / 0.7])
    assert abs((dropped == 0).float().mean().item() - 0.3) < 0.01
    assert torch.equal(layer.eval().scaling(), layer.omega)
    uniform = ScaLearnLayer(ScaLearnConfig.load("scalearn_uniform_pp"), "abcd", 8, LIKE)
    assert torch.equal(uniform.scaling(), uniform.omega)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("constraint", ["mean", "softmax"])
def test_constrained_coefficients_sum_to_one(constraint: str, shared: bool) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, ScaLearnConfig(constraint=constraint, shared=shared))
    omega = scaling_coefficients(model, setup)
    assert abs(omega.sum("source") - 1).max() < 1e-5
    raw = next(iter(omegas(model).values())).detach()
    wanted = raw / raw.sum(0) if constraint == "mean" else raw.softmax(0)
    torch.testing.assert_close(torch.tensor(omega.isel(layer=0).values), wanted)


def test_penalty_pulls_each_sources_mean_to_one() -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, ScaLearnConfig(regularization=0.1))
    by_hand = sum(0.1 * ((1 - w.mean(1)) ** 2).mean() for w in omegas(model).values())
    torch.testing.assert_close(model.get_fusion_regularization_loss(), by_hand)
    shared = roberta()
    activate(shared, setup, ScaLearnConfig(regularization=0.1, shared=True))
    (w,) = omegas(shared).values()
    torch.testing.assert_close(shared.get_fusion_regularization_loss(), 0.1 * ((1 - w.mean(1)) ** 2).mean())
    plain = roberta()
    activate(plain, setup)
    assert plain.get_fusion_regularization_loss() is None


def test_the_trainers_penalty_is_on_the_scale_of_fp16_losses() -> None:
    gradients = {}
    for scaled, defect in ((False, False), (True, False), (True, True)):
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0) if scaled else None
        model, setup = roberta(), ScaLearn(*"abc")
        activate(model, setup, ScaLearnConfig(regularization=0.1))
        trainer = types.SimpleNamespace(train_adapter_fusion=True, accelerator=types.SimpleNamespace(scaler=scaler))
        trainer.penalty_unscaled = defect
        AdapterTrainerCallback(trainer).on_step_end(None, None, None, model=model)
        gradients[scaled, defect] = next(iter(omegas(model).values())).grad
    true = gradients[False, False]
    torch.testing.assert_close(gradients[True, False], true * 1024)
    torch.testing.assert_close(gradients[True, True], true)  # which the scaler then divides by 1024
    assert true.abs().max() > 0


def test_fixed_coefficients_learn_nothing() -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, ScaLearnConfig(fixed=[0.5, 0.0, -1.0]))
    assert not omegas(model)
    assert scaling_coefficients(model, setup).squeeze("hidden").values.tolist() == [[0.5, 0.0, -1.0]] * 2
    model.train()
    assert torch.equal(model(**batch()).logits, model(**batch()).logits)  # no dropout on them either


def test_coefficients_are_labelled() -> None:
    model, setup = roberta(configs=["double_seq_bn"]), ScaLearn(*"abc", name="block")
    activate(model, setup, "scalearn_uniform")
    omega = scaling_coefficients(model, "block")
    assert omega.dims == ("layer", "source", "hidden") and omega.shape == (4, 3, 1)
    assert list(omega.source.values) == ["a", "b", "c"]
    assert list(omega.layer.values) == ["0.mh_adapter", "0.output_adapter", "1.mh_adapter", "1.output_adapter"]


PLAIN = "seq_bn[reduction_factor=4]"


@pytest.mark.parametrize(
    ("configs", "path"),
    [
        ([PLAIN, "seq_bn[reduction_factor=8]"], "fused"),
        ([PLAIN, "seq_bn[reduction_factor=4,use_gating=True]"], "loop: 'b' is gated"),
        ([PLAIN, "seq_bn[reduction_factor=4,ln_after=True]"], "loop: 'b' has a layer norm of its own"),
        ([PLAIN, "seq_bn[reduction_factor=4,ln_before=True]"], "loop: 'b' has a layer norm of its own"),
        ([PLAIN, "seq_bn[reduction_factor=4,non_linearity='gelu']"], "loop: 'b' has another activation than 'a'"),
        (["seq_bn[reduction_factor=4,non_linearity='prelu']"], "loop: 'a' has an activation that learned"),
        ([PLAIN, "compacter++[phm_dim=2,reduction_factor=4]"], "loop: 'b' has no plain linear projections"),
    ],
)
def test_which_forward_runs_is_told(configs: list[str], path: str) -> None:
    model, setup = roberta("ab", configs), ScaLearn("a", "b")
    activate(model, setup)
    assert set(forward_path(model, setup).values()) == {"not run yet"}
    logits(model)
    assert set(forward_path(model, setup).values()) == {path}


def test_unfrozen_sources_and_their_dropout_loop_in_training() -> None:
    model, setup = roberta("ab", ["seq_bn[reduction_factor=4,dropout=0.1]"]), ScaLearn("a", "b")
    activate(model, setup)
    logits(model)
    assert set(forward_path(model, setup).values()) == {"fused"}
    model.train()
    model(**batch())
    assert set(forward_path(model, setup).values()) == {"loop: 'a' has dropout in training"}
    model = roberta("ab")
    activate(model, setup)
    model.train_adapter_fusion(setup, unfreeze_adapters=True)
    model(**batch()).loss.backward()
    assert set(forward_path(model, setup).values()) == {"loop: 'a' is not frozen"}
    assert model.roberta.encoder.layer[0].output.adapters["b"].adapter_down[0].weight.grad.abs().max() > 0


def test_stacks_as_sources_and_around_the_block() -> None:
    model = roberta("abcl")
    inner = ScaLearn("a", Stack("l", "b"), name="inner")
    activate(model, inner)
    first = logits(model)
    assert set(forward_path(model, inner).values()) == {"loop: a source is a Stack"}
    outer = Stack("l", ScaLearn("a", "b", name="outer"))
    model.add_adapter_fusion(outer[1], config="scalearn")
    model.train_adapter_fusion(outer)
    model.active_head = "head"
    model.eval()
    assert not torch.allclose(first, logits(model))
    assert set(forward_path(model, "outer").values()) == {"fused"}
    assert len(omegas(model)) == 2  # those of the inner block are frozen now


def test_blocks_and_adapter_fusion_live_side_by_side() -> None:
    model = roberta()
    names = ["one", "one_more", "o"]
    setups = [ScaLearn(*"abc", name=name) for name in names]
    fuse = Fuse(*"abc")
    model.add_adapter_fusion(fuse, config="dynamic")
    alone = {}
    for seed, setup in enumerate(setups):
        activate(model, setup, "scalearn_pp", seed=seed)
        alone[setup.name] = logits(model)
    model.set_active_adapters(fuse)
    fused = logits(model)
    for setup in setups:
        model.set_active_adapters(setup)
        assert torch.equal(logits(model), alone[setup.name])
    model.delete_adapter_fusion("one")
    model.set_active_adapters(fuse)
    assert torch.equal(logits(model), fused)
    model.set_active_adapters(setups[1])
    assert torch.equal(logits(model), alone["one_more"])


def test_layers_that_sources_leave_out() -> None:
    left_out = PLAIN.replace("]", ",leave_out=[0]]")
    model, setup = roberta("ab", [left_out, PLAIN]), ScaLearn("a", "b")
    activate(model, setup)
    before = logits(model)
    scalearn_lib.fold(model, setup, "folded")
    model.set_active_adapters("folded")
    torch.testing.assert_close(logits(model), before, rtol=0, atol=1e-5)
    everywhere = roberta("ab", [left_out, left_out])
    activate(everywhere, setup)
    logits(everywhere)
    assert list(forward_path(everywhere, setup)) == ["1"]


def test_init_leaves_other_models_alone() -> None:
    from transformers import BertConfig

    other = BertAdapterModel(BertConfig(vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2))
    before = type(other)
    model = roberta()
    cls = type(model)
    scalearn_lib.init(model)  # twice is once
    assert type(model) is cls and cls.__name__ == "RobertaAdapterModel"
    assert type(other) is before
