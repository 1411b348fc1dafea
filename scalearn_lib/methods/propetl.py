"""ProPETL (Zeng et al., 2023, "One Network, Many Masks"): one adapter for all layers, and a mask for each.

The prototype is a bottleneck adapter with the place, activation and residual of adapters' `seq_bn`. Its parameters
exist once. Each layer uses W ⊙ m, where the binary mask m keeps the weights with the largest |s|; the scores s are
learned. The binarisation of |s| counts as the identity in the backward pass: dL/d|s| = dL/dm, thus dL/ds =
sign(s) dL/dm. Biases are shared and not masked. The last two are as in the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from adapters import SeqBnConfig
from adapters.context import ForwardContext
from torch import Tensor, nn
from torch.nn import functional

from ..errors import UserError, unknown
from ..tasks import Task
from .base import add_head
from .multitask import add_heads
from .single import REDUCTION, LearnedState, add_plain

# Of two 0/1 masks; written as products so that the gradient of each depends on the other, as in the authors' code.
COMBINE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "or": lambda a, b: 1 - (1 - a) * (1 - b),
    "and": lambda a, b: a * b,
    "sum": lambda a, b: a + b,
}
"""How a task's mask and a layer's mask become one."""


class KeepTop(torch.autograd.Function):
    """Binary mask of the largest values; its gradient goes to the values unchanged (straight-through)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, fraction: float) -> Tensor:
        """Return a mask with the shape of `values`: 1 for the round(fraction n) largest of n, else 0.

        Of equal values those that come first in memory order are kept.
        """
        order = values.flatten().argsort(descending=True, stable=True)
        mask = torch.zeros_like(order, dtype=values.dtype)
        mask[order[: round(fraction * values.numel())]] = 1
        return mask.view(values.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def new_scores(weight: Tensor, transposed: bool = False) -> nn.Parameter:
    """Return fresh scores for a weight (out, in) of the prototype, uniform within ± 1 / √in like that of `nn.Linear`.

    With `transposed` the bound is 1 / √out, as for a weight that is stored as (in, out).
    """
    scores = torch.empty_like(weight)
    nn.init.kaiming_uniform_(scores.T if transposed else scores, a=math.sqrt(5))
    return nn.Parameter(scores)


class MaskedLinear(nn.Module):
    """A layer's view of one projection of the prototype, which lies in adapters' shared parameters.

    Args:
        linear: the projection that it stands in for, with a weight of shape (out, in).
        adapter: name of the adapter, and of its entry in the shared parameters.
        part: "down" or "up".
        sparsity: fraction of the weights that is kept.
        combine: what becomes of the task's and the layer's mask (see `COMBINE`), where there is a `task`; `None` where
            there never is one, and the scores have the initial bounds of the single-task runs (see `new_scores`).
    """

    task: str | None = None
    """Whose mask to combine with the layer's."""

    def __init__(self, linear: nn.Linear, adapter: str, part: str, sparsity: float, combine: str | None) -> None:
        super().__init__()
        self.adapter, self.part, self.sparsity, self.combine = adapter, part, sparsity, combine
        self.mask_scores = new_scores(linear.weight, transposed=combine is None)

    def mask(self, shared: Mapping[str, Tensor]) -> Tensor:
        """Return the mask of the weight, (out, in)."""
        mask = KeepTop.apply(self.mask_scores.abs(), self.sparsity)
        if self.task is None:
            return mask
        scores = shared[task_mask(self.task, self.part)]
        return COMBINE[self.combine](KeepTop.apply(scores.abs(), self.sparsity), mask)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        shared = ForwardContext.get_context().shared_parameters[self.adapter]
        weight = shared[f"{self.part}_weight"] * self.mask(shared)
        return functional.linear(x, weight, shared[f"{self.part}_bias"])


def task_mask(task: str, part: str) -> str:
    """Return the name of a task's scores in the shared parameters."""
    return f"mask_{task}_{part}"


class ProPETL(LearnedState):
    """A prototype adapter shared by all layers, and a mask per layer.

    With hidden size d, bottleneck b and L layers it learns 2 d b + b + d parameters of the prototype and
    2 d b L scores. In the official runs the scores were frozen by accident: masks stayed random, and `official` repeats
    that. After training one bit per score would do; what is saved are the scores, so that training can go on.

    Options:
        sparsity: fraction of the prototype's weights that a mask keeps, per projection.

    Raises:
        UserError: `sparsity` is not in (0, 1].
    """

    def __post_init__(self) -> None:
        if not 0 < self.sparsity <= 1:
            raise UserError(
                f"The sparsity of {self.title} is {self.sparsity}, but it is the fraction of weights that is kept; "
                "give a number above 0, at most 1."
            )

    @property
    def sparsity(self) -> float:
        """Fraction of the weights that a mask keeps."""
        return self.options["sparsity"]

    @torch.no_grad()
    def as_adapter(self, model: nn.Module, task: Task) -> str:
        """The prototype under each layer's mask, which for a joint method is joined with the active task's."""
        shared = model.base_model.shared_parameters[self.name]
        for masked, plain in add_plain(model, self.name, SeqBnConfig(reduction_factor=REDUCTION)):
            linears = (masked.adapter_down[0], plain.adapter_down[0]), (masked.adapter_up, plain.adapter_up)
            for ours, theirs in linears:
                theirs.weight.copy_(shared[f"{ours.part}_weight"] * ours.mask(shared))
                theirs.bias.copy_(shared[f"{ours.part}_bias"])
        return f"{self.name}_plain"

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        add_head(model, task)
        add_prototype(model, self.name, self.sparsity)
        model.train_adapter(self.name)
        if self.official:
            for module in model.modules():
                if isinstance(module, MaskedLinear):
                    module.mask_scores.requires_grad_(False)


class ProPETLMultiTask(ProPETL):
    """ProPETL for all tasks at once: a mask per task, the same in all layers, is combined with each layer's mask.

    On top of the single task's parameters it learns 2 d b scores per task.

    Options:
        sparsity: fraction of the prototype's weights that each mask keeps.
        combine: "or", "and" or "sum" of the two masks.

    Raises:
        UserError: `sparsity` is not in (0, 1], or there is no such combination.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.options["combine"] not in COMBINE:
            raise unknown("combination of masks", self.options["combine"], COMBINE)

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        add_heads(model, tasks)
        shared = add_prototype(model, self.name, self.sparsity, self.options["combine"])
        for task in tasks:
            for part in ("down", "up"):
                shared[task_mask(task.name, part)] = new_scores(shared[f"{part}_weight"])
        model.train_adapter(self.name)
        self.activate(model, tasks[0])

    def activate(self, model: nn.Module, task: Task) -> None:
        super().activate(model, task)
        for module in model.modules():
            if isinstance(module, MaskedLinear):
                module.task = task.name


def add_prototype(model: nn.Module, name: str, sparsity: float, combine: str | None = None) -> nn.ParameterDict:
    """Add a bottleneck adapter whose parameters all layers share, masked by scores of their own.

    Args:
        name: of the adapter.
        sparsity: fraction of the weights that a mask keeps.
        combine: see `MaskedLinear`.

    Returns:
        The shared parameters: weight and bias of "down" and "up". They lie where adapters keep those of Compacter, so
        `train_adapter` unfreezes them, the forward pass finds them and `delete_adapter` removes them.
    """
    model.add_adapter(name, config=SeqBnConfig(reduction_factor=REDUCTION))
    shared = nn.ParameterDict()
    for places in model.get_adapter(name).values():
        for adapter in places.values():
            down, up = adapter.adapter_down[0], adapter.adapter_up
            if not shared:  # the first layer's fresh weights become the prototype
                shared.update({f"down_{kind}": p for kind, p in down.named_parameters()})
                shared.update({f"up_{kind}": p for kind, p in up.named_parameters()})
            adapter.adapter_down[0] = MaskedLinear(down, name, "down", sparsity, combine)
            adapter.adapter_up = MaskedLinear(up, name, "up", sparsity, combine)
    model.base_model.shared_parameters[name] = shared
    return shared
