"""What the tests of several methods feed their models."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalearn_lib.methods import Learner
from scalearn_lib.tasks import Task

INPUTS = {"input_ids": torch.arange(5, 25).view(2, 10), "attention_mask": torch.ones(2, 10, dtype=torch.long)}


def labels(task: Task) -> Tensor:
    return torch.tensor([0.5, -1.0]) if task.kind == "regression" else torch.tensor([0, 1])


def logits(method: Learner, model: nn.Module, tasks: Sequence[Task]) -> dict[str, Tensor]:
    """Logits of every task."""
    values = {}
    with torch.no_grad():
        for task in tasks:
            method.activate(model, task)
            values[task.name] = model(**INPUTS).logits
    return values
