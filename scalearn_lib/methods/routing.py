"""Routing in parameter space: Polytropon (Ponti et al., 2023) and Multi-Head Routing (Caccia et al., 2023).

Baselines with the source adapters of ScaLearn, which here, too, are frozen. Where ScaLearn scales the sources' outputs,
these average their parameters: a layer has a logit z_t per source t, its weights are α_t = σ(z_t) / Σ_s σ(z_s), and
one adapter with the parameters Σ_t α_t θ_t runs. In both papers the sources are trained together with their routing on
many tasks; here routing is only learned for the target. With one task at a time the choice is a convex combination,
made without the papers' sampling of a relaxed Bernoulli variable, as at their test time.

Learning rate and patience are those of ScaLearn, so that the comparison is on equal terms; they are not published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from adapters import BnConfig
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.modeling import Adapter
from torch import Tensor, nn
from torch.nn import functional

from ..composition.layer import why_not_plain
from ..composition.stacking import stack_projections
from ..errors import UserError
from ..tasks import Task
from .base import add_head
from .single import LearnedState, add_plain
from .sources import load_sources

INIT_RANGE = 1e-3
"""Logits begin between plus and minus this, as in the authors' code: nearly the mean of the sources."""


class RoutedAdapter(Adapter):
    """A layer's adapter whose parameters are weighted sums of those of the sources.

    The hidden width d is cut into H blocks ("heads"), each with routing of its own: the columns of the down-projection
    (its inputs), and the rows of the up-projection with their biases (its outputs), as Multi-Head Routing cuts the two
    factors of LoRA. The bias of the down-projection belongs to no block; it is averaged with the mean of all blocks'
    weights. One block is Polytropon.

    Args:
        name: of the adapter.
        config: of the sources.
        sources: their adapters in this layer, alike in width (see `check_alike`).
        heads: number of blocks H, a divisor of d.
    """

    def __init__(self, name: str, config: BnConfig, sources: Sequence[Adapter], heads: int) -> None:
        hidden, width, count = sources[0].input_size, sources[0].down_sample, len(sources)
        super().__init__(name, hidden, width, config)
        del self.adapter_down, self.adapter_up
        down, down_bias, up, up_bias = (tensor.detach() for tensor in stack_projections(sources))
        like = {"dtype": down.dtype, "device": down.device}
        stacks = {  # by head and source, but for the bias that has no heads
            "down": down.view(count, width, heads, -1).permute(2, 0, 1, 3),
            "down_bias": down_bias.view(count, width),
            "up": up.view(heads, -1, count, width).transpose(1, 2),
            "up_bias": up_bias.view(count, heads, -1).transpose(0, 1),
        }
        for key, stack in stacks.items():  # frozen, and at hand in the sources' own files: not saved again
            self.register_buffer(f"sources_{key}", stack.clone(memory_format=torch.contiguous_format), persistent=False)
        self.logits = nn.Parameter(torch.empty(heads, count).uniform_(-INIT_RANGE, INIT_RANGE).to(**like))

    def weights(self) -> Tensor:
        """Return α, `(heads, sources)`: positive, each row with the sum one."""
        chosen = self.logits.float().sigmoid()
        return (chosen / chosen.sum(1, keepdim=True)).to(self.logits.dtype)

    def merged(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return D `(width, hidden)`, its bias `(width,)`, U `(hidden, width)` and its bias `(hidden,)`."""
        alpha = self.weights()
        stacks = (self.sources_down, self.sources_up, self.sources_up_bias)
        down, up, up_bias = (torch.einsum("ht,ht...->h...", alpha, stack) for stack in stacks)
        down_bias = alpha.mean(0) @ self.sources_down_bias
        return down.transpose(0, 1).flatten(1), down_bias, up.flatten(0, 1), up_bias.flatten()

    def forward(self, x: Tensor, residual_input: Tensor, output_gating: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output `(batch, tokens, hidden)`, the bottleneck's activations and what the adapter adds."""
        down_weight, down_bias, up_weight, up_bias = self.merged()
        down = self.non_linearity(functional.linear(x, down_weight, down_bias))
        up = functional.linear(down, up_weight, up_bias)
        return up + residual_input, down, up


class Routing(LearnedState):
    """A logit per source, layer and block of the hidden width, shared by both projections.

    With T sources, L layers and the option `heads` H it learns T L H parameters: Polytropon has one block, Multi-Head
    Routing eight.
    """

    @torch.no_grad()
    def as_adapter(self, model: nn.Module, task: Task) -> str:
        """The merged adapter, written down."""
        for routed, plain in add_plain(model, self.name, model.adapters_config.match(self.name, BnConfig)):
            down, up = plain.adapter_down[0], plain.adapter_up
            for target, value in zip((down.weight, down.bias, up.weight, up.bias), routed.merged(), strict=True):
                target.copy_(value)
        return f"{self.name}_plain"

    @property
    def heads(self) -> int:
        """Number of blocks of the hidden width."""
        return self.options["heads"]

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        """See `Learner.prepare`. The sources are merged into one adapter and taken off the model.

        Raises:
            UserError: a source is missing, the sources are not alike, or the heads do not divide the hidden size.
        """
        (task,) = tasks
        hidden = model.config.hidden_size
        if hidden % self.heads:
            raise UserError(
                f"{self.title} cuts the hidden size into {self.heads} equal parts, but the encoder has {hidden}; use "
                f"an encoder whose hidden size is a multiple of {self.heads}."
            )
        load_sources(model, sources)
        places = check_alike(model, list(sources))
        config = model.adapters_config.match(next(iter(sources)), BnConfig)
        model.add_adapter(self.name, config=config)
        for place in places:
            stacked = [place.adapters[source] for source in sources]
            place.adapters[self.name] = RoutedAdapter(self.name, config, stacked, self.heads)
        for source in sources:
            model.delete_adapter(source)
        add_head(model, task)
        model.train_adapter(self.name)


def check_alike(model: nn.Module, sources: Sequence[str]) -> list[BottleneckLayer]:
    """Return the layers that have the source adapters; their parameters can be averaged.

    Raises:
        UserError: there are no sources, or they differ in width, place or activation, or are no plain bottlenecks.
    """
    if not sources:
        raise UserError("There are no source adapters to average; give at least one.")
    layers = [module for module in model.modules() if isinstance(module, BottleneckLayer)]
    places = [layer for layer in layers if any(source in layer.adapters for source in sources)]
    for place in places:
        lacking = [source for source in sources if source not in place.adapters]
        if lacking:
            raise _unlike(f"'{lacking[0]}' has no module in layer {place.layer_idx}, where others have one")
        adapters = [place.adapters[source] for source in sources]
        widths = {source: adapter.down_sample for source, adapter in zip(sources, adapters, strict=True)}
        if len(set(widths.values())) > 1:
            raise _unlike("their bottleneck widths are " + ", ".join(f"{w} ({name})" for name, w in widths.items()))
        reason = why_not_plain(adapters)
        scaled = [
            adapter.name for adapter in adapters if not (isinstance(adapter.scaling, float) and adapter.scaling == 1)
        ]
        if reason is None and scaled:
            reason = f"the output of '{scaled[0]}' is scaled"
        if reason:
            raise _unlike(reason)
    return places


def _unlike(reason: str) -> UserError:
    return UserError(
        f"The parameters of these source adapters cannot be averaged: {reason}; train all sources with the method "
        "'adapter'."
    )
