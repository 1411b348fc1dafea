"""ProPETL: exact masks, their gradient, one prototype for all layers, and its size."""

from __future__ import annotations

import pytest
import torch
from adapters import AutoAdapterModel
from torch import nn
from transformers import RobertaConfig

from scalearn_lib.errors import UserError
from scalearn_lib.methods import Learner, get_method, transfer_parameters
from scalearn_lib.methods.propetl import COMBINE, KeepTop, MaskedLinear, ProPETL
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.encoders import load_model

from .helpers import INPUTS

TASKS = get_suite("toy").tasks
WIDTH, BOTTLENECK, LAYERS = 32, 2, 2  # of the tiny encoder
LABELS = torch.tensor([0, 1])
HALF, QUARTER, ALL = (get_method("propetl").learner(sparsity=kept) for kept in (0.5, 0.25, 1))
JOINT = get_method("propetl_m").learner()


def prepared(method: Learner, seed: int = 0) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(seed)
    method.prepare(model, TASKS if method.joint else TASKS[:1], {})
    return model.eval()


def projections(model: nn.Module) -> list[MaskedLinear]:
    return [module for module in model.modules() if isinstance(module, MaskedLinear)]


def shared(model: nn.Module, method: Learner) -> nn.ParameterDict:
    return model.base_model.shared_parameters[method.name]


@pytest.mark.parametrize("fraction", [1e-9, 0.1, 0.3, 0.5, 0.777, 1])
@pytest.mark.parametrize("shape", [(7, 13), (48, 768), (1, 1)])
def test_a_mask_keeps_exactly_its_fraction_of_the_largest(fraction: float, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.randn(shape)
    mask = KeepTop.apply(values, fraction)
    count = round(fraction * values.numel())
    assert mask.shape == values.shape and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() == count
    if 0 < count < values.numel():
        assert values[mask == 1].min() > values[mask == 0].max()


def test_ties_go_to_what_comes_first() -> None:
    mask = KeepTop.apply(torch.tensor([[1.0, 2.0, 1.0], [1.0, 1.0, 0.0]]), 0.5)
    assert torch.equal(mask, torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    many = KeepTop.apply(torch.zeros(1000), 0.3)
    assert torch.equal(many, (torch.arange(1000) < 300).float())


def test_the_gradient_passes_the_binarisation_unchanged() -> None:
    values = torch.tensor([0.1, 0.4, 0.3, 0.2], requires_grad=True)
    weight, x = torch.tensor([1.0, -2.0, 3.0, 4.0]), torch.tensor([5.0, 6.0, 7.0, 8.0])
    output = (KeepTop.apply(values, 0.5) * weight * x).sum()
    output.backward()
    assert output == -2 * 6 + 3 * 7
    assert torch.equal(values.grad, weight * x)  # dL/dm, for kept and dropped values alike


def test_scores_of_either_sign_learn_to_be_kept() -> None:
    """By hand: dL/ds = sign(s) dL/dm, so a step against the loss moves |s| in the direction of -dL/dm."""
    layer = MaskedLinear(nn.Linear(3, 2), "none", "down", 0.5, "or")
    with torch.no_grad():
        layer.mask_scores.copy_(torch.tensor([[0.3, -0.2, 0.1], [-0.6, 0.5, -0.4]]))
    mask = layer.mask({})
    assert torch.equal(mask, torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]))
    by_mask = torch.tensor([[1.0, 2.0, -3.0], [4.0, -5.0, 6.0]])
    (by_mask * mask).sum().backward()
    assert torch.equal(layer.mask_scores.grad, torch.tensor([[1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]))


@pytest.mark.parametrize(
    ("combine", "expected", "gradient"),
    [
        ("or", [[1, 1], [1, 0]], [[0, 0], [1, 1]]),  # the task's scores count where the layer's mask is 0
        ("and", [[1, 0], [0, 0]], [[1, 1], [0, 0]]),
        ("sum", [[2, 1], [1, 0]], [[1, 1], [1, 1]]),
    ],
)
def test_task_and_layer_masks_combine(combine: str, expected: list, gradient: list) -> None:
    layer = MaskedLinear(nn.Linear(2, 2), "none", "up", 0.5, combine)
    layer.task = "a"
    scores = nn.Parameter(torch.tensor([[4.0, 1.0], [3.0, 2.0]]))  # keeps the first column
    with torch.no_grad():
        layer.mask_scores.copy_(torch.tensor([[-4.0, 3.0], [2.0, 1.0]]))  # keeps the first row
    mask = layer.mask({"mask_a_up": scores})
    assert torch.equal(mask, torch.tensor(expected).float())
    mask.sum().backward()
    assert torch.equal(scores.grad, torch.tensor(gradient).float())


@pytest.mark.parametrize("method", [HALF, QUARTER, JOINT])
def test_every_mask_in_a_model_keeps_its_fraction(method: ProPETL) -> None:
    model = prepared(method)
    for projection in projections(model):
        projection.task = None
        assert projection.mask({}).sum() == round(method.sparsity * WIDTH * BOTTLENECK)
    assert {get_method(name).options["sparsity"] for name in ("propetl", "propetl_m")} == {0.5, 0.3}


@pytest.mark.parametrize("method", [HALF, JOINT], ids=lambda method: method.name)
def test_numbers_of_parameters(method: Learner) -> None:
    model = prepared(method)
    product = 2 * WIDTH * BOTTLENECK
    expected = product + BOTTLENECK + WIDTH + product * LAYERS + (product * len(TASKS) if method.joint else 0)
    assert transfer_parameters(model) == expected
    learned = {name for name, p in model.named_parameters() if p.requires_grad and not name.startswith("heads.")}
    assert all(f".{method.name}." in name for name in learned)
    masks = [name for name in learned if "mask" in name]
    assert len(masks) == 2 * LAYERS + (2 * len(TASKS) if method.joint else 0)
    assert set(method.rate_factors) == {"mask"} and len(learned) == len(masks) + 4
    assert not [name for name, _ in model.named_parameters() if "mask" in name and name not in masks]
    assert sum("weight" in name for name in learned) == 2  # one prototype, no layer's own weights are left


def test_sizes_on_roberta_base_with_eight_tasks() -> None:
    eight = (TASKS * 2)[:8]
    eight = [type(task)(**{**vars(task), "name": f"task{i}"}) for i, task in enumerate(eight)]
    counts = {}
    for method in (HALF, JOINT):
        with torch.device("meta"):
            model = AutoAdapterModel.from_config(
                RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
            )
        method.prepare(model, eight if method.joint else eight[:1], {})
        counts[method.name] = transfer_parameters(model)
    assert counts == {"propetl": 959_280, "propetl_m": 1_549_104}


@pytest.mark.parametrize("method", [HALF, ALL, JOINT], ids=["half", "all", "joint"])
def test_it_is_a_plain_adapter_with_masked_weights_in_every_layer(method: ProPETL) -> None:
    """Adapters of adapters' own, filled with W ⊙ m, are the reference for outputs and, by the chain rule, gradients."""
    model = prepared(method)
    prototype = shared(model, method)
    with torch.no_grad():
        for p in prototype.values():
            p.add_(0.1 * torch.randn_like(p))
    plain = load_model("tiny")
    plain.add_adapter("plain", config="seq_bn", set_active=True)
    linears = [
        linear
        for places in plain.get_adapter("plain").values()
        for adapter in places.values()
        for linear in (adapter.adapter_down[0], adapter.adapter_up)
    ]
    pairs = list(zip(projections(model), linears, strict=True))
    with torch.no_grad():
        for ours, linear in pairs:
            linear.weight.copy_(prototype[f"{ours.part}_weight"] * ours.mask(prototype))
            linear.bias.copy_(prototype[f"{ours.part}_bias"])
    outputs = [m.base_model(**INPUTS).last_hidden_state for m in (model, plain)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.pow(3).sum().backward()
    for part in ("down", "up"):
        of_part = [(ours, linear) for ours, linear in pairs if ours.part == part]
        assert len(of_part) == LAYERS
        weights = sum(linear.weight.grad * ours.mask(prototype) for ours, linear in of_part)
        torch.testing.assert_close(prototype[f"{part}_weight"].grad, weights)
        torch.testing.assert_close(prototype[f"{part}_bias"].grad, sum(linear.bias.grad for _, linear in of_part))
    for ours, linear in pairs:
        by_mask = linear.weight.grad * prototype[f"{ours.part}_weight"]
        if method.joint:  # "or": the layer's mask decides where the task's is 0
            by_mask = by_mask * (1 - KeepTop.apply(prototype[f"mask_{ours.task}_{ours.part}"].abs(), method.sparsity))
        torch.testing.assert_close(ours.mask_scores.grad, by_mask * ours.mask_scores.sign())


def test_layers_have_masks_of_their_own() -> None:
    masks = [p.mask({}) for p in projections(prepared(HALF)) if p.part == "down"]
    assert len(masks) == LAYERS and not torch.equal(*masks)


def test_activate_sets_the_tasks_mask() -> None:
    method = JOINT
    model = prepared(method)
    assert {p.task for p in projections(model)} == {TASKS[0].name}
    method.activate(model, TASKS[1])
    assert {p.task for p in projections(model)} == {TASKS[1].name} and model.active_head == TASKS[1].name
    model(**INPUTS, labels=LABELS).loss.backward()
    touched = {name for name, p in shared(model, method).items() if "mask" in name and p.grad is not None}
    assert touched == {f"mask_{TASKS[1].name}_{part}" for part in ("down", "up")}
    with torch.no_grad():
        hidden = {}
        for task in TASKS:
            method.activate(model, task)
            hidden[task.name] = model.base_model(**INPUTS).last_hidden_state
    assert not torch.equal(hidden[TASKS[0].name], hidden[TASKS[1].name])  # not only the head differs


def test_scores_and_prototype_depend_on_torchs_seed_alone() -> None:
    states = [dict(prepared(JOINT, seed).named_parameters()) for seed in (0, 0, 1)]
    learned = [name for name, p in states[0].items() if p.requires_grad and "bias" not in name]
    assert len(learned) > 4 * LAYERS and all(torch.equal(states[0][name], states[1][name]) for name in learned)
    assert not any(torch.equal(states[0][name], states[2][name]) for name in learned)
    bound = 1 / WIDTH**0.5  # Kaiming-uniform with a = sqrt(5): within 1 / sqrt(fan in)
    down = [p for name, p in states[0].items() if "mask" in name and p.shape == (BOTTLENECK, WIDTH)]
    assert down and all(0.5 * bound < p.abs().max() <= bound for p in down)


def test_steps_reduce_the_loss_and_change_masks() -> None:
    method = HALF
    model = prepared(method)
    before = [p.mask({}).detach() for p in projections(model)]
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if ("mask" in name) == is_mask], "lr": rate}
        for is_mask, rate in ((False, method.learning_rate), (True, method.learning_rate * method.rate_factors["mask"]))
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=method.weight_decay)
    losses = []
    for _ in range(20):
        loss = model(**INPUTS, labels=LABELS).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert any(not torch.equal(p.mask({}), old) for p, old in zip(projections(model), before, strict=True))


@pytest.mark.parametrize("method", [HALF, JOINT], ids=lambda method: method.name)
@pytest.mark.parametrize("sparsity", [0, -0.1, 1.01, float("nan")])
def test_a_sparsity_that_is_no_fraction_is_refused(method: ProPETL, sparsity: float) -> None:
    with pytest.raises(UserError, match=f"The sparsity of ProPETL.* is {sparsity}, .*give a number above 0, at most 1"):
        method.learner(sparsity=sparsity)


def test_an_unknown_combination_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="Unknown combination of masks 'xor' .*valid: or, and, sum"):
        get_method("propetl_m").learner(combine="xor")
    assert set(COMBINE) == {"or", "and", "sum"} and JOINT.options["combine"] == "or"
