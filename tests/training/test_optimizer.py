"""The optimiser, by the equation of Kingma and Ba (2015) with ε outside the bias correction."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from scalearn_lib.training.optimizer import AdamW


def by_equation(gradients: list[list[float]], start: list[float], rate: float, eps: float) -> list[float]:
    """Algorithm 1 in its efficient form, α √(1 - β₂ᵗ) / (1 - β₁ᵗ), in Python's own floats."""
    values = []
    for place, value in enumerate(start):
        m = v = 0.0
        for t, gradient in enumerate(gradients, 1):
            m = 0.9 * m + 0.1 * gradient[place]
            v = 0.999 * v + 0.001 * gradient[place] ** 2
            value -= rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (math.sqrt(v) + eps)
        values.append(value)
    return values


def test_twenty_steps_follow_the_equation_also_where_gradients_are_as_small_as_epsilon() -> None:
    torch.manual_seed(0)
    scale = torch.tensor([1.0, 1e-3, 1e-6, 1e-7, 1e-8, 1e-9], dtype=torch.float64)
    gradients = [torch.randn(6, dtype=torch.float64) * scale for _ in range(20)]
    found = {}
    for kind in (AdamW, torch.optim.AdamW):
        parameter = nn.Parameter(torch.ones(6, dtype=torch.float64))
        optimizer = kind([parameter], lr=1e-2, weight_decay=0.0)
        for gradient in gradients:
            parameter.grad = gradient.clone()
            optimizer.step()
        found[kind] = parameter.tolist()
    expected = by_equation([gradient.tolist() for gradient in gradients], [1.0] * 6, 1e-2, 1e-8)
    assert found[AdamW] == pytest.approx(expected, rel=0, abs=1e-12)
    torchs = [abs(a - b) for a, b in zip(found[torch.optim.AdamW], expected, strict=True)]
    assert torchs[0] < 1e-8 and max(torchs) > 1e-3  # why it is not torch's own


def test_the_scheduler_and_decay_are_torchs() -> None:
    parameters = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    ours, theirs = (
        AdamW([parameters[0]], lr=0.1, weight_decay=0.1),
        torch.optim.AdamW([parameters[1]], lr=0.1, weight_decay=0.1),
    )
    for optimizer, parameter in zip((ours, theirs), parameters, strict=True):
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 5)
        for _ in range(5):
            parameter.grad = torch.full((3,), 0.5)
            optimizer.step()
            schedule.step()
    torch.testing.assert_close(*parameters, atol=1e-6, rtol=0)
