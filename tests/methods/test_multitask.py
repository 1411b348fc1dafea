"""Joint training: one encoder or adapter for all tasks, a head for each."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from scalearn_lib.errors import UserError
from scalearn_lib.methods import Learner, get_method, transfer_parameters
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.encoders import load_model

from .helpers import INPUTS, labels, logits

TASKS = get_suite("toy").tasks
JOINT = ("full_m", "adapter_m", "propetl_m", "hyperformer", "hyperformer_pp")
METHODS = [get_method(name).learner() for name in JOINT]
each = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def prepared(method: Learner, seed: int) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(seed)
    method.prepare(model, TASKS, {})
    return model.eval()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[bool]:
    assert list(a) == list(b) == [task.name for task in TASKS]
    return [torch.equal(a[name], b[name]) for name in a]


@each
def test_all_heads_and_the_shared_part_learn(method: Learner) -> None:
    model = prepared(method, 0)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    heads = {name for name, _ in model.named_parameters() if name.startswith("heads.")}
    assert {name.split(".")[1] for name in heads} == {task.name for task in TASKS}
    assert heads < learned
    marker = "" if method.name == "full_m" else f".{method.name}."
    every = {name for name, _ in model.named_parameters() if marker in name}
    assert learned == heads | every


def test_numbers_of_parameters() -> None:
    width, bottleneck, layers = 32, 2, 2
    encoder = sum(p.numel() for p in load_model("tiny").parameters())
    assert transfer_parameters(prepared(get_method("full_m").learner(), 0)) == encoder
    per_layer = 2 * width * bottleneck + bottleneck + width
    assert transfer_parameters(prepared(get_method("adapter_m").learner(), 0)) == per_layer * layers


@each
def test_activate_chooses_the_head(method: Learner) -> None:
    model = prepared(method, 0)
    assert model.active_head == TASKS[0].name  # prepared means ready
    for task, values in zip(TASKS, logits(method, model, TASKS).values(), strict=True):
        assert values.shape == (2, task.num_labels)


@each
def test_what_was_learned_comes_back_for_every_task(method: Learner, tmp_path: Path) -> None:
    first, second = prepared(method, 0), prepared(method, 1)
    with torch.no_grad():
        for p in first.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    expected = logits(method, first, TASKS)
    method.save(first, TASKS, tmp_path / "saved")
    assert not any(same(logits(method, second, TASKS), expected))
    method.load(second, TASKS, tmp_path / "saved")
    assert all(same(logits(method, second, TASKS), expected))
    stored = load_file(tmp_path / "saved" / "model.safetensors")
    learned = [p for p in first.parameters() if p.requires_grad]
    assert sum(tensor.numel() for tensor in stored.values()) == sum(p.numel() for p in learned)  # shared parts once


@each
def test_steps_on_alternating_tasks_reduce_every_loss(method: Learner) -> None:
    model = prepared(method, 0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rate = {"full_m": 1e-4, "hyperformer": 3e-3, "hyperformer_pp": 3e-3}.get(method.name, 1e-2)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    losses: dict[str, list[float]] = {task.name: [] for task in TASKS}
    for _ in range(12):
        for task in TASKS:
            method.activate(model, task)
            loss = model(**INPUTS, labels=labels(task)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[task.name].append(loss.item())
    assert all(of[-1] < of[0] for of in losses.values()), losses
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved <= {name for name, p in model.named_parameters() if p.requires_grad}  # the encoder stays as it was
    if "hyperformer" in method.name:
        assert moved == {name for name, p in model.named_parameters() if p.requires_grad}  # every part learns


@each
def test_a_step_leaves_other_tasks_heads_alone(method: Learner) -> None:
    model = prepared(method, 0)
    method.activate(model, TASKS[2])
    model(**INPUTS, labels=labels(TASKS[2])).loss.backward()
    touched = {
        name.split(".")[1] for name, p in model.named_parameters() if name.startswith("heads.") and p.grad is not None
    }
    assert touched == {TASKS[2].name}


@each
@pytest.mark.parametrize("count", [0, 1])
def test_joint_training_needs_two_tasks(method: Learner, count: int) -> None:
    with pytest.raises(UserError, match=r"at least two tasks, but got (toy_topic|none); give it all tasks"):
        method.prepare(load_model("tiny"), TASKS[:count], {})


@each
def test_what_was_saved_for_other_tasks_is_refused(method: Learner, tmp_path: Path) -> None:
    model = load_model("tiny")
    method.prepare(model, TASKS[:2], {})
    method.save(model, TASKS[:2], tmp_path)
    with pytest.raises(UserError, match="does not hold the parameters that this model learns"):
        method.load(prepared(method, 0), TASKS, tmp_path)
