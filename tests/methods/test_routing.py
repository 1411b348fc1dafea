"""Polytropon and Multi-Head Routing: weights, merged parameters, what learns, saving and loading."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters import AutoAdapterModel, SeqBnConfig
from torch import Tensor, nn
from transformers import BertConfig, RobertaConfig

from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method, transfer_parameters
from scalearn_lib.methods.routing import RoutedAdapter, Routing, check_alike
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model

from .helpers import INPUTS

TASK = get_task("toy", "toy_topic")
NAMES = ("toy_topic", "toy_pair", "toy_score")
WIDTH, BOTTLENECK, LAYERS = 32, 2, 2  # of the tiny encoder
METHODS = [get_method("polytropon").learner(), get_method("multi_head_routing").learner()]
each = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def save_sources(folder: Path, model: nn.Module, **configs: SeqBnConfig) -> dict[str, Path]:
    """Random adapters in adapters' own format, far from the identity."""
    for name in NAMES:
        model.add_adapter(name, config=configs.get(name, SeqBnConfig(reduction_factor=16)))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".adapters." in name:
                p.normal_(std=0.3)
    for name in NAMES:
        model.save_adapter(str(folder / name), name, use_safetensors=True)
    return {name: folder / name for name in NAMES}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    return save_sources(tmp_path_factory.mktemp("sources"), load_model("tiny"))


def prepared(method: Routing, sources: dict[str, Path], seed: int = 0) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(seed)
    method.prepare(model, [TASK], sources)
    return model.eval()


def layers(model: nn.Module) -> list[RoutedAdapter]:
    return [module for module in model.modules() if isinstance(module, RoutedAdapter)]


def set_logits(model: nn.Module, values: Tensor) -> None:
    with torch.no_grad():
        for layer in layers(model):
            layer.logits.copy_(values.expand_as(layer.logits))


def disturb(model: nn.Module) -> None:
    with torch.no_grad():
        for layer in layers(model):
            layer.logits.normal_(std=2)


def hidden(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model.base_model(**INPUTS).last_hidden_state


def with_adapter(sources: dict[str, Path], weights: dict[str, float]) -> Tensor:
    """Hidden states under the average that adapters itself makes of the sources."""
    model = load_model("tiny")
    for name, folder in sources.items():
        model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True)
    model.average_adapter("average", list(weights), weights=list(weights.values()), set_active=True)
    return hidden(model)


def test_the_number_of_parameters(sources: dict[str, Path]) -> None:
    assert transfer_parameters(prepared(get_method("polytropon").learner(), sources)) == 3 * LAYERS
    assert transfer_parameters(prepared(get_method("multi_head_routing").learner(), sources)) == 3 * LAYERS * 8


@each
def test_only_the_logits_and_the_head_learn(method: Routing, sources: dict[str, Path]) -> None:
    model = prepared(method, sources)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    heads = {name for name, _ in model.named_parameters() if name.startswith("heads.")}
    places = {f"roberta.encoder.layer.{i}.output.adapters.{method.name}.logits" for i in range(LAYERS)}
    assert learned == heads | places
    assert list(model.adapters_config.adapters) == [method.name]  # nothing is left of the sources but the stacks


@each
def test_weights_begin_nearly_equal_and_sum_to_one(method: Routing, sources: dict[str, Path]) -> None:
    model = prepared(method, sources)
    for layer in layers(model):
        torch.testing.assert_close(layer.weights(), torch.full((method.heads, 3), 1 / 3), atol=1e-3, rtol=0)
        assert layer.logits.unique().numel() == layer.logits.numel()
    disturb(model)
    for layer in layers(model):
        torch.testing.assert_close(layer.weights().sum(1), torch.ones(method.heads))
        sigmoid = 1 / (1 + (-layer.logits).exp())
        torch.testing.assert_close(layer.weights(), sigmoid / sigmoid.sum(1, keepdim=True))


@each
@pytest.mark.parametrize("chosen", range(3))
def test_all_weight_on_one_source_is_that_adapter(method: Routing, chosen: int, sources: dict[str, Path]) -> None:
    model = prepared(method, sources)
    set_logits(model, torch.tensor([10.0 if i == chosen else -80.0 for i in range(3)]))
    expected = with_adapter(sources, {NAMES[chosen]: 1.0})
    torch.testing.assert_close(hidden(model), expected)
    others = [with_adapter(sources, {name: 1.0}) for name in NAMES if name != NAMES[chosen]]
    assert all((expected - other).abs().max() > 0.1 for other in others)


@each
def test_equal_routing_in_all_blocks_is_the_average_of_the_parameters(
    method: Routing, sources: dict[str, Path]
) -> None:
    model, logits = prepared(method, sources), torch.tensor([0.5, -1.0, 2.0])
    set_logits(model, logits)
    weights = logits.sigmoid() / logits.sigmoid().sum()
    expected = with_adapter(sources, dict(zip(NAMES, weights.tolist(), strict=True)))
    torch.testing.assert_close(hidden(model), expected, atol=1e-4, rtol=1e-4)


def test_blocks_take_their_parts_from_their_own_sources(sources: dict[str, Path]) -> None:
    """By hand: block h of the hidden width comes from source h mod 3."""
    model = load_model("tiny")
    for name, folder in sources.items():
        model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True)
    place = check_alike(model, NAMES)[1]
    adapters = [place.adapters[name] for name in NAMES]
    routed = RoutedAdapter("routed", model.adapters_config.get("toy_topic"), adapters, 8)
    choice = torch.arange(8) % 3
    with torch.no_grad():
        routed.logits.fill_(-80.0)
        routed.logits[torch.arange(8), choice] = 10.0
        down, down_bias, up, up_bias = routed.merged()
    size = WIDTH // 8
    for block, source in enumerate(choice.tolist()):
        part = slice(block * size, (block + 1) * size)
        torch.testing.assert_close(down[:, part], adapters[source].adapter_down[0].weight[:, part])
        torch.testing.assert_close(up[part], adapters[source].adapter_up.weight[part])
        torch.testing.assert_close(up_bias[part], adapters[source].adapter_up.bias[part])
    share = torch.bincount(choice, minlength=3) / 8
    expected = sum(w * adapter.adapter_down[0].bias for w, adapter in zip(share, adapters, strict=True))
    torch.testing.assert_close(down_bias, expected)


@each
def test_steps_reduce_the_loss_and_leave_the_sources_alone(method: Routing, sources: dict[str, Path]) -> None:
    model = prepared(method, sources)
    frozen = {name: buffer.clone() for name, buffer in model.named_buffers() if "sources_" in name}
    start = [layer.logits.detach().clone() for layer in layers(model)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=6e-3)
    losses = []
    for _ in range(10):
        loss = model(**INPUTS, labels=torch.tensor([0, 1])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all((layer.logits != before).all() for layer, before in zip(layers(model), start, strict=True))
    assert frozen and all(torch.equal(buffer, model.get_buffer(name)) for name, buffer in frozen.items())


@each
def test_the_logits_alone_can_lower_a_loss(method: Routing, sources: dict[str, Path]) -> None:
    """Routing learns to imitate one of the sources."""
    model, target = prepared(method, sources), with_adapter(sources, {"toy_pair": 1.0})
    optimizer = torch.optim.Adam([layer.logits for layer in layers(model)], lr=0.3)
    losses = []
    for _ in range(40):
        loss = (model.base_model(**INPUTS).last_hidden_state - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0], losses
    assert all(layer.weights()[:, 1].mean() > 0.6 for layer in layers(model))


@each
def test_bert_and_a_target_that_is_no_source(method: Routing, tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = AutoAdapterModel.from_config(BertConfig(**sizes))
    sources = save_sources(tmp_path, AutoAdapterModel.from_config(BertConfig(**sizes)))
    del sources["toy_topic"]
    method.prepare(model, [TASK], sources)
    assert transfer_parameters(model) == 2 * LAYERS * method.heads
    assert model(**INPUTS).logits.shape == (2, 3)


def test_sources_of_different_widths_are_refused(tmp_path: Path) -> None:
    sources = save_sources(tmp_path, load_model("tiny"), toy_pair=SeqBnConfig(reduction_factor=8))
    message = r"cannot be averaged: their bottleneck widths are 2 \(toy_topic\), 4 \(toy_pair\), 2 \(toy_score\); train"
    with pytest.raises(UserError, match=message):
        get_method("polytropon").learner().prepare(load_model("tiny"), [TASK], sources)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (SeqBnConfig(reduction_factor=16, non_linearity="gelu"), "another activation"),
        (SeqBnConfig(reduction_factor=16, scaling=2.0), "is scaled"),
        (SeqBnConfig(reduction_factor=16, leave_out=[1]), "'toy_pair' has no module in layer 1"),
    ],
)
def test_sources_that_differ_otherwise_are_refused(config: SeqBnConfig, reason: str, tmp_path: Path) -> None:
    sources = save_sources(tmp_path, load_model("tiny"), toy_pair=config)
    with pytest.raises(UserError, match=reason):
        get_method("polytropon").learner().prepare(load_model("tiny"), [TASK], sources)


@each
def test_no_sources_are_refused(method: Routing) -> None:
    with pytest.raises(UserError, match="no source adapters"):
        method.prepare(load_model("tiny"), [TASK], {})


def test_a_hidden_size_that_the_heads_do_not_divide_is_refused() -> None:
    config = RobertaConfig(hidden_size=36, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64)
    with pytest.raises(UserError, match="into 8 equal parts, but the encoder has 36; .* multiple of 8"):
        get_method("multi_head_routing").learner().prepare(AutoAdapterModel.from_config(config), [TASK], {})
