"""HyperFormer and HyperFormer++ (Karimi Mahabadi et al., 2021): adapters generated from embeddings of the tasks.

A task's learned embedding is projected to a short vector, whose layer norm is v. Linear maps of v give everything that
a layer's adapter consists of: weights and biases of both projections, and scale γ and shift β of a layer norm. The
adapter adds γ ⊙ norm(U gelu(D x + c) + b) + β to the residual stream (section 2 of the paper). It has the place of
adapters' `seq_bn`, after the feed-forward block; the authors have a second one after attention. The whole encoder is
frozen, its own layer norms too, which the authors train. gelu is its tanh form.

The maps start with weights of standard deviation 0.01 and biases of 0, as in the authors' code: γ and β start near 0,
and so does what the adapter adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from adapters import BnConfig, SeqBnConfig
from adapters.context import ForwardContext
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.modeling import Adapter
from torch import Tensor, nn
from torch.nn import functional

from ..tasks import Task
from .multitask import add_heads
from .single import REDUCTION, LearnedState, add_plain

INIT_STD = 0.01
PARTS = ("down_weight", "down_bias", "up_weight", "up_bias", "scale", "shift")
"""Names of what is generated."""


def small_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a linear map with small weights and no bias at first."""
    linear = nn.Linear(inputs, outputs)
    nn.init.normal_(linear.weight, std=INIT_STD)
    nn.init.zeros_(linear.bias)
    return linear


class Generator(nn.Module):
    """Makes the parameters of a bottleneck adapter from a vector: one linear map for each of them.

    Args:
        size: of the vector.
        hidden: width of the encoder.
        bottleneck: width of the adapter.
    """

    def __init__(self, size: int, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.shapes = {
            "down_weight": (bottleneck, hidden),
            "down_bias": (bottleneck,),
            "up_weight": (hidden, bottleneck),
            "up_bias": (hidden,),
            "scale": (hidden,),
            "shift": (hidden,),
        }
        self.maps = nn.ModuleDict({name: small_linear(size, torch.Size(s).numel()) for name, s in self.shapes.items()})

    def forward(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the parameters by name, from a vector `(size,)`."""
        return {name: self.maps[name](vector).view(shape) for name, shape in self.shapes.items()}


class TaskVectors(nn.Module):
    """Embeddings and projector: what all layers share. It lies where adapters keep shared parameters.

    Args:
        tasks: names of the tasks.
        embedding, middle, projected: sizes of embeddings, of the projector's hidden layer and of its output v.
        layers: number of layers with an embedding of their own, which joins that of the task; 0 for none.
        generator: makes the adapters of all layers, or `None` where each layer has its own.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        embedding: int,
        middle: int,
        projected: int,
        layers: int = 0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.task = tasks[0]
        self.embeddings = nn.ParameterDict({task: nn.Parameter(torch.randn(embedding)) for task in tasks})
        self.layers = nn.Parameter(torch.randn(layers, embedding)) if layers else None
        inputs = 2 * embedding if layers else embedding
        self.projector = nn.Sequential(small_linear(inputs, middle), nn.ReLU(), small_linear(middle, projected))
        self.norm = nn.LayerNorm(projected, eps=1e-6)
        self.generator = generator

    def forward(self, layer: int) -> Tensor:
        """Return v of the active task, `(projected,)`: the same in all layers, or one for each of them."""
        embedding = self.embeddings[self.task]
        if self.layers is not None:
            embedding = torch.cat((embedding, self.layers[layer]))
        return self.norm(self.projector(embedding))

    def values(self) -> Iterator[nn.Parameter]:
        """The parameters: adapters unfreezes the values of what is shared in an adapter that is to be trained."""
        return self.parameters()


class GeneratedAdapter(Adapter):
    """A layer's adapter without bottleneck parameters of its own.

    Args:
        name: of the adapter, and of its `TaskVectors` in the shared parameters.
        hidden, bottleneck: its widths.
        config: of the adapter that it stands in for.
        layer: index of the layer.
        generator: its own, or `None` where all layers share one.
    """

    def __init__(
        self, name: str, hidden: int, bottleneck: int, config: BnConfig, layer: int, generator: Generator | None
    ) -> None:
        super().__init__(name, hidden, bottleneck, config)
        del self.adapter_down, self.adapter_up
        self.layer, self.generator = layer, generator

    def generate(self, shared: TaskVectors) -> dict[str, Tensor]:
        """Return the parameters that the active task has in this layer, by name (see `Generator`)."""
        return (self.generator or shared.generator)(shared(self.layer))

    def forward(self, x: Tensor, residual_input: Tensor, output_gating: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output `(batch, tokens, hidden)`, the bottleneck's activations and what the adapter adds."""
        p = self.generate(ForwardContext.get_context().shared_parameters[self.name])
        down = self.non_linearity(functional.linear(x, p["down_weight"], p["down_bias"]))
        up = functional.linear(down, p["up_weight"], p["up_bias"])
        up = functional.layer_norm(up, up.shape[-1:], p["scale"], p["shift"])
        return up + residual_input, down, up


class HyperFormer(LearnedState):
    """A generator for each layer, or with the option `shared_generator` (++) one for all; `activate` chooses the task.

    With hidden size d, bottleneck b, L layers, T tasks, embeddings of size e, a projector with hidden size m and output
    p it learns T e + (e + 1) m + (m + 1) p + 2 p + L (p + 1) (2 d b + b + 3 d) parameters.

    With one generator v comes from the task's and the layer's embedding: (T + L) e + (2 e + 1) m + (m + 1) p + 2 p +
    (p + 1) (2 d b + b + 3 d) parameters. The authors' third embedding, of the place within a layer,
    is not needed: there is one place.
    """

    embedding_size: ClassVar[int] = 512
    middle_size: ClassVar[int] = 128
    projected_size: ClassVar[int] = 64

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        add_heads(model, tasks)
        model.add_adapter(self.name, config=SeqBnConfig(reduction_factor=REDUCTION, non_linearity="gelu_new"))
        config = model.adapters_config.match(self.name, BnConfig)
        places = [m for m in model.modules() if isinstance(m, BottleneckLayer) and self.name in m.adapters]
        hidden = model.config.hidden_size
        bottleneck = places[0].adapters[self.name].down_sample

        def generator() -> Generator:
            return Generator(self.projected_size, hidden, bottleneck)

        sizes = (self.embedding_size, self.middle_size, self.projected_size)
        names = [task.name for task in tasks]
        more = (len(places), generator()) if self.options["shared_generator"] else ()
        model.base_model.shared_parameters[self.name] = TaskVectors(names, *sizes, *more)
        for layer, place in enumerate(places):
            own = None if self.options["shared_generator"] else generator()
            place.adapters[self.name] = GeneratedAdapter(self.name, hidden, bottleneck, config, layer, own)
        model.train_adapter(self.name)
        self.activate(model, tasks[0])

    @torch.no_grad()
    def as_adapter(self, model: nn.Module, task: Task) -> str:
        """What is generated for the active task, written down: an adapter with a layer norm at its end."""
        shared = model.base_model.shared_parameters[self.name]
        config = model.adapters_config.match(self.name, BnConfig)
        config = config.replace(ln_after=True, adapter_residual_before_ln=False)
        for generated, plain in add_plain(model, self.name, config):
            weights = generated.generate(shared)
            down, up, norm = plain.adapter_down[0], plain.adapter_up, plain.adapter_norm_after
            targets = (down.weight, down.bias, up.weight, up.bias, norm.weight, norm.bias)
            for key, target in zip(PARTS, targets, strict=True):
                target.copy_(weights[key])
        return f"{self.name}_plain"

    def activate(self, model: nn.Module, task: Task) -> None:
        super().activate(model, task)
        model.base_model.shared_parameters[self.name].task = task.name
