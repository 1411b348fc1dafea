"""Source adapters side by side: their projections as one matrix down and one matrix up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from adapters.methods.lora import LoRA
from adapters.methods.modeling import Adapter
from torch import Tensor


class Projections(NamedTuple):
    """One source: D `(width, in)`, its bias `(width,)`, U `(out, width)`, its bias `(out,)`; a LoRA has no biases."""

    down: Tensor
    down_bias: Tensor | None
    up: Tensor
    up_bias: Tensor | None


class Stacked(NamedTuple):
    """D `(R, in)`, its bias `(R,)`, U `(out, R)` and the biases b `(sources, out)`; R = all widths."""

    down: Tensor
    down_bias: Tensor | None
    up: Tensor
    up_bias: Tensor | None


class Kept(NamedTuple):
    """A stack and what it was made of: each parameter, its memory (held, so that no other can come to lie at its
    address) and its version; and the dtype of D."""

    of: list[tuple[Tensor, Tensor, int]]
    dtype: torch.dtype
    stack: Stacked


Read = Callable[[Adapter | LoRA], Projections]


def projections(source: Adapter | LoRA) -> Projections:
    """Return the parameters of a plain bottleneck adapter's two projections, or a LoRA's A and B."""
    if isinstance(source, LoRA):
        return Projections(source.lora_A, None, source.lora_B, None)
    down, up = source.adapter_down[0], source.adapter_up
    return Projections(down.weight, down.bias, up.weight, up.bias)


def stack_projections(sources: Sequence[Adapter | LoRA], read: Read = projections) -> Stacked:
    """Return the projections of plain sources side by side, as copies.

    Args:
        sources: bottleneck adapters, or LoRAs; not both.
        read: what to take of a source, where that is not all of it (merged projections).
    """
    downs, down_biases, ups, up_biases = zip(*map(read, sources), strict=True)
    biased = down_biases[0] is not None
    return Stacked(
        torch.cat(downs),
        torch.cat(down_biases) if biased else None,
        torch.cat(ups, 1),
        torch.stack(up_biases) if biased else None,
    )


class KeptStack:
    """The stack of frozen source adapters, kept from one forward pass to the next while none of them changes.

    What PyTorch counts as a change of a parameter is seen: `load_state_dict`, `copy_`, most optimizers' steps, another
    device or dtype, another module in its place. As for autograd itself, writing through `parameter.data` or into
    the memory from outside is not; nor is the step of a fused optimizer (transformers' default), so `forget` is called
    whenever a setup is activated, as before and after any training.
    """

    def __init__(self) -> None:
        self._kept: Kept | None = None

    def forget(self) -> None:
        """Stack anew at the next forward pass."""
        self._kept = None

    def get(self, sources: Sequence[Adapter | LoRA], read: Read = projections) -> Stacked:
        """Return `stack_projections` of these; D is cast once where autocast would cast it each time.

        A stack that must not be kept (gradients through it, inference tensors, a graph being compiled) is made anew.
        """
        parameters = [p for source in sources for p in projections(source) if p is not None]
        if torch.compiler.is_compiling() or any(p.requires_grad or p.is_inference() for p in parameters):
            self.forget()
            return stack_projections(sources, read)
        kind, dtype = parameters[0].device.type, parameters[0].dtype
        if torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        kept = self._kept  # read and written once: replicas of a model on several GPUs share this object
        if kept is None or kept.dtype != dtype or not _same(parameters, kept.of):
            with torch.inference_mode(False), torch.no_grad():  # a training step may follow
                stack = stack_projections(sources, read)
                bias = stack.down_bias if stack.down_bias is None else stack.down_bias.to(dtype)
                stack = stack._replace(down=stack.down.to(dtype), down_bias=bias)
            self._kept = kept = Kept([(p, p.detach(), p._version) for p in parameters], dtype, stack)
        return kept.stack

    def __deepcopy__(self, memo: dict) -> KeptStack:
        return KeptStack()  # a copied model stacks its own adapters

    def __reduce__(self) -> tuple:
        return KeptStack, ()  # nor does a pickled one carry a second copy of them


def _same(parameters: list[Tensor], of: list[tuple[Tensor, Tensor, int]]) -> bool:
    return len(parameters) == len(of) and all(
        p is kept and p.data_ptr() == memory.data_ptr() and p._version == version
        for p, (kept, memory, version) in zip(parameters, of, strict=True)
    )


def output_scaling(sources: Sequence[Adapter | LoRA]) -> Tensor | float:
    """Return the factors that the sources put on their own outputs, `(sources, out or 1)`, or the one all share."""
    factors = [source.scaling for source in sources]
    if not any(isinstance(factor, Tensor) for factor in factors):
        if len(set(factors)) == 1:
            return factors[0]
    up = projections(sources[0]).up
    width = max(factor.numel() if isinstance(factor, Tensor) else 1 for factor in factors)
    return torch.stack([torch.as_tensor(f, device=up.device, dtype=up.dtype).expand(width) for f in factors])


def spread(omega: Tensor, widths: Sequence[int]) -> Tensor:
    """Return ω repeated over the columns of the stacked up-projections: `(hidden or 1, sum of widths)`."""
    if len(set(widths)) == 1:
        return omega.t().unsqueeze(-1).expand(-1, -1, widths[0]).flatten(1)
    return torch.cat([row.unsqueeze(-1).expand(-1, width) for row, width in zip(omega, widths, strict=True)], 1)
