"""HyperFormer and HyperFormer++: what is generated, how much is learned, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters import AutoAdapterModel, BertAdapterModel
from adapters.context import ForwardContext
from adapters.methods.modeling import Adapter
from torch import nn
from torch.nn import functional
from transformers import BertConfig, PretrainedConfig, RobertaConfig

from scalearn_lib.methods import get_method, transfer_parameters
from scalearn_lib.methods.hyperformer import GeneratedAdapter, HyperFormer, TaskVectors
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.encoders import load_model

from .helpers import INPUTS, labels, logits

TASKS = get_suite("toy").tasks
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
METHODS = [get_method("hyperformer").learner(), get_method("hyperformer_pp").learner()]
each = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def prepared(method: HyperFormer, seed: int = 0) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(seed)
    method.prepare(model, TASKS, {})
    return model.eval()


def disturb(model: nn.Module) -> None:
    """Move all that is learned, as training does, so that nothing is near its initial zeros."""
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))


def layers(model: nn.Module) -> list[GeneratedAdapter]:
    return [module for module in model.modules() if isinstance(module, GeneratedAdapter)]


def shared(method: HyperFormer, model: nn.Module) -> TaskVectors:
    return model.base_model.shared_parameters[method.name]


def count(method: HyperFormer, d: int, b: int, number: int, tasks: int) -> int:
    """The formulas of the docstrings."""
    e, m, p = 512, 128, 64
    generator = (p + 1) * (2 * d * b + b + 3 * d)
    if method.options["shared_generator"]:
        return (tasks + number) * e + (2 * e + 1) * m + (m + 1) * p + 2 * p + generator
    return tasks * e + (e + 1) * m + (m + 1) * p + 2 * p + number * generator


@each
def test_the_number_of_parameters(method: HyperFormer) -> None:
    assert transfer_parameters(prepared(method)) == count(method, 32, 2, 2, len(TASKS))


@each
def test_the_number_of_parameters_on_roberta_base_with_the_tasks_of_glue(method: HyperFormer) -> None:
    with torch.device("meta"):
        model = AutoAdapterModel.from_config(RobertaConfig())
        method.prepare(model, get_suite("glue").tasks, {})
    expected = {"hyperformer": 59_420_544, "hyperformer_pp": 5_095_024}[method.name]
    assert transfer_parameters(model) == expected == count(method, 768, 48, 12, 8)


@each
def test_adapters_begin_near_the_identity(method: HyperFormer) -> None:
    model = prepared(method)
    with torch.no_grad():
        adapted = model.base_model(**INPUTS).last_hidden_state
        plain = load_model("tiny").base_model(**INPUTS).last_hidden_state
    assert 0 < (adapted - plain).abs().max() < 0.5
    assert (adapted - plain).norm() < 0.1 * plain.norm()


@each
def test_what_is_generated_differs_between_tasks_and_layers(method: HyperFormer) -> None:
    model = prepared(method)
    generated = {}
    for task in TASKS:
        method.activate(model, task)
        for layer in layers(model):
            generated[task.name, layer.layer] = layer.generate(shared(method, model))
    assert len(generated) == 4 * 2
    shapes = {"down_weight": (2, 32), "down_bias": (2,), "up_weight": (32, 2), "up_bias": (32,)}
    shapes |= {"scale": (32,), "shift": (32,)}
    assert all({name: p.shape for name, p in of.items()} == shapes for of in generated.values())
    for name in shapes:
        different = {tuple(of[name].flatten().tolist()) for of in generated.values()}
        assert len(different) == len(generated), name


@each
def test_the_forward_pass_is_that_of_a_plain_adapter_with_the_generated_weights(method: HyperFormer) -> None:
    model = prepared(method)
    disturb(model)
    method.activate(model, TASKS[1])
    found = logits(method, model, TASKS)[TASKS[1].name]
    method.activate(model, TASKS[1])
    made = {layer.layer: layer.generate(shared(method, model)) for layer in layers(model)}
    plain = load_model("tiny")
    plain.add_adapter("plain", config={**model.adapters_config.get(method.name).to_dict(), "ln_after": True})
    plain.load_state_dict({n: p for n, p in model.state_dict().items() if n.startswith("heads.")}, strict=False)
    adapters = [module for module in plain.modules() if isinstance(module, Adapter)]
    plain.set_active_adapters("plain")
    for adapter, p in zip(adapters, made.values(), strict=True):
        names = {"down_weight": "adapter_down.0.weight", "down_bias": "adapter_down.0.bias"}
        names |= {"up_weight": "adapter_up.weight", "up_bias": "adapter_up.bias"}
        names |= {"scale": "adapter_norm_after.weight", "shift": "adapter_norm_after.bias"}
        adapter.load_state_dict({names[name]: value.detach() for name, value in p.items()})
    with torch.no_grad():
        hidden = plain.base_model(**INPUTS).last_hidden_state[:, 0]
        head = model.heads[TASKS[1].name]
        torch.testing.assert_close(nn.Sequential(*head)(hidden), found)


def test_the_vector_of_hyperformer_is_the_layer_norm_of_the_projected_embedding() -> None:
    vectors = TaskVectors(["a", "b"], 6, 5, 3)
    first, _, second = vectors.projector
    vectors.task = "b"
    hidden = functional.relu(first.weight @ vectors.embeddings["b"] + first.bias)
    with torch.no_grad():
        vectors.norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
        vectors.norm.bias.copy_(torch.tensor([0.5, 0.0, 1.0]))
    v = second.weight @ hidden + second.bias
    normal = (v - v.mean()) / (v.var(correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(vectors(0), normal * vectors.norm.weight + vectors.norm.bias)
    assert torch.equal(vectors(0), vectors(1))


def test_the_vector_of_hyperformer_pp_is_normalised_and_knows_the_layer() -> None:
    torch.manual_seed(0)
    vectors = TaskVectors(["a", "b"], 512, 128, 64, layers=2)
    made = torch.stack([vectors(0), vectors(1)])
    torch.testing.assert_close(made.mean(1), torch.zeros(2), atol=1e-5, rtol=0)
    assert (made.var(1, correction=0) > 0.9).all() and not torch.allclose(made[0], made[1])


@each
def test_the_order_of_tasks_does_not_matter_for_loading(method: HyperFormer, tmp_path: Path) -> None:
    first, second = prepared(method), load_model("tiny")
    disturb(first)
    method.save(first, TASKS, tmp_path)
    method.prepare(second, TASKS[::-1], {})
    method.load(second.eval(), TASKS[::-1], tmp_path)
    expected = logits(method, first, TASKS)
    assert all(torch.equal(value, expected[name]) for name, value in logits(method, second, TASKS).items())


@each
def test_a_step_leaves_other_tasks_embeddings_and_heads_alone(method: HyperFormer) -> None:
    model = prepared(method)
    method.activate(model, TASKS[2])
    model(**INPUTS, labels=labels(TASKS[2])).loss.backward()
    untouched = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    others = {task.name for task in TASKS} - {TASKS[2].name}
    embeddings = f"shared_parameters.{method.name}.embeddings."
    assert {name.split(".")[-1] for name in untouched if embeddings in name} == others
    assert {name.split(".")[1] for name in untouched if name.startswith("heads.")} == others
    assert all(embeddings in name or name.startswith("heads.") for name in untouched)


@each
@pytest.mark.parametrize("config", [BertConfig(**SIZES), RobertaConfig(**SIZES)], ids=lambda c: c.model_type)
def test_bert_and_roberta_have_the_same_place(method: HyperFormer, config: PretrainedConfig) -> None:
    model = AutoAdapterModel.from_config(config)
    method.prepare(model, TASKS, {})
    disturb(model.eval())
    assert [layer.layer for layer in layers(model)] == [0, 1]
    assert len({tuple(value.flatten().tolist()) for value in logits(method, model, TASKS).values()}) == len(TASKS)
    assert isinstance(model, BertAdapterModel) == (config.model_type == "bert")


@each
def test_what_an_adapter_adds_by_its_equation(method: HyperFormer) -> None:
    """γ ⊙ norm(U gelu(D x + c) + b) + β with gelu(x) = x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    model = prepared(method)
    disturb(model)
    layer = layers(model)[1]
    p = layer.generate(shared(method, model))
    x = 3 * torch.randn(4, 32)
    down = x @ p["down_weight"].T + p["down_bias"]
    inner = 0.5 * down * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (down + 0.044715 * down**3)))
    up = inner @ p["up_weight"].T + p["up_bias"]
    normal = (up - up.mean(-1, keepdim=True)) / (up.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    with ForwardContext(None):
        ForwardContext.get_context().shared_parameters = {method.name: shared(method, model)}
        found = layer(x, torch.zeros_like(x))[2]
    torch.testing.assert_close(found, normal * p["scale"] + p["shift"], atol=1e-6, rtol=1e-5)
