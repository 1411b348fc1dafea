"""Source adapters side by side: their projections as one matrix down and one matrix up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from adapters.methods.modeling import Adapter
from torch import Tensor


class Stacked(NamedTuple):
    """D `(R, hidden)`, its bias `(R,)`, U `(hidden, R)` and the biases b `(sources, hidden)`; R = all widths."""

    down: Tensor
    down_bias: Tensor
    up: Tensor
    up_bias: Tensor


def stack_projections(adapters: Sequence[Adapter]) -> Stacked:
    """Return the projections of plain bottleneck adapters side by side, as copies."""
    downs, ups = [a.adapter_down[0] for a in adapters], [a.adapter_up for a in adapters]
    return Stacked(
        torch.cat([linear.weight for linear in downs]),
        torch.cat([linear.bias for linear in downs]),
        torch.cat([linear.weight for linear in ups], 1),
        torch.stack([linear.bias for linear in ups]),
    )


class KeptStack:
    """The stack of frozen source adapters, kept from one forward pass to the next while none of them changes.

    What PyTorch counts as a change of a parameter is seen: an optimizer's step, `load_state_dict`, `copy_`, another
    device or dtype, another module in its place. As for autograd itself, writing through `parameter.data` or into
    the memory from outside is not.
    """

    def __init__(self) -> None:
        # Each parameter, its memory (held, so that no other can come to lie at its address) and its version.
        self._of: list[tuple[Tensor, Tensor, int]] = []
        self._dtype: torch.dtype | None = None
        self._stack: Stacked | None = None

    def get(self, adapters: Sequence[Adapter]) -> Stacked:
        """Return `stack_projections(adapters)`; the downward half is cast once where autocast would cast it each time.

        A stack that must not be kept (gradients through it, inference tensors, a graph being compiled) is made anew.
        """
        linears = [linear for a in adapters for linear in (a.adapter_down[0], a.adapter_up)]
        parameters = [p for linear in linears for p in (linear.weight, linear.bias)]
        if torch.compiler.is_compiling() or any(p.requires_grad or p.is_inference() for p in parameters):
            self._stack = None
            return stack_projections(adapters)
        kind, dtype = parameters[0].device.type, parameters[0].dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        if self._stack is None or self._dtype != dtype or not self._same(parameters):
            with torch.inference_mode(False), torch.no_grad():  # a training step may follow
                down, down_bias, up, up_bias = stack_projections(adapters)
                self._stack = Stacked(down.to(dtype), down_bias.to(dtype), up, up_bias)
            self._dtype = dtype
            self._of = [(p, p.detach(), p._version) for p in parameters]
        return self._stack

    def _same(self, parameters: list[Tensor]) -> bool:
        return len(parameters) == len(self._of) and all(
            p is kept and p.data_ptr() == memory.data_ptr() and p._version == version
            for p, (kept, memory, version) in zip(parameters, self._of, strict=True)
        )

    def __deepcopy__(self, memo: dict) -> KeptStack:
        return KeptStack()  # a copied model stacks its own adapters

    def __reduce__(self) -> tuple:
        return KeptStack, ()  # nor does a pickled one carry a second copy of them


def output_scaling(adapters: Sequence[Adapter]) -> Tensor | float:
    """Return the factors that the adapters put on their own outputs, `(sources, hidden or 1)`, or 1.0 if all are 1."""
    factors = [adapter.scaling for adapter in adapters]
    if all(isinstance(factor, float) for factor in factors):
        if all(factor == 1.0 for factor in factors):
            return 1.0
    bias = adapters[0].adapter_up.bias
    width = max(factor.numel() if isinstance(factor, Tensor) else 1 for factor in factors)
    return torch.stack([torch.as_tensor(f, device=bias.device, dtype=bias.dtype).expand(width) for f in factors])


def spread(omega: Tensor, widths: Sequence[int]) -> Tensor:
    """Return ω repeated over the columns of the stacked up-projections: `(hidden or 1, sum of widths)`."""
    if len(set(widths)) == 1:
        return omega.t().unsqueeze(-1).expand(-1, -1, widths[0]).flatten(1)
    return torch.cat([row.unsqueeze(-1).expand(-1, width) for row, width in zip(omega, widths, strict=True)], 1)
