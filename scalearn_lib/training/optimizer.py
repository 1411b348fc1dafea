"""AdamW as the paper's runs had it, with a method's own learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from transformers import Trainer

from ..methods import Learner
from .budget import Budget


class AdamW(torch.optim.AdamW):
    """AdamW whose ε joins √v before v's bias is corrected, as in transformers' own AdamW, which the paper's runs used.

    Step t with rate η and moments m, v: p -= η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε). torch adds ε after the
    correction, to √(v / (1 - β₂ᵗ)); so its ε is divided by √(1 - β₂ᵗ) here: 32 ε in the first step, ε in the long run.
    That shows where gradients are as small as ε, 1e-8 in both.

    t counts this optimiser's steps, also for parameters that had no gradient in some of them (heads in joint training).
    """

    taken = 0

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step; see `torch.optim.AdamW.step`."""
        self.taken += 1
        for group in self.param_groups:
            group["eps"] = self.defaults["eps"] / math.sqrt(1 - group["betas"][1] ** self.taken)
        return super().step(closure)


def optimizer_for(model: nn.Module, method: Learner, budget: Budget) -> AdamW:
    """Return AdamW with the method's own learning rates, and the budget's for what is learned apart from heads.

    As in transformers' trainer, biases and layer norms have no weight decay.
    """
    decayed = set(Trainer.get_decay_parameter_names(None, model))
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = None if name.startswith("heads.") else budget.transfer_learning_rate
            rate = budget.learning_rate if own is None else own
            factor = math.prod(factor for key, factor in method.rate_factors.items() if key in name)
            decay = budget.weight_decay if name in decayed else 0.0
            groups.setdefault((factor * rate, decay), []).append(parameter)
    return AdamW(
        [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()], fused=True
    )
