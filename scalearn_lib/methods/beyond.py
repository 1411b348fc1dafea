"""Variants of ScaLearn that the paper does not have: another start of ω, and more than a vector per source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from ..composition import ScaLearnConfig
from ..composition.reading import transfer_layers
from ..errors import UserError
from ..tasks import Task
from .fusion import ScaLearn

MATRICES = "low_rank.safetensors"


class FromTarget(ScaLearn):
    """ScaLearn whose ω starts at 1 for the target's own source adapter and at 0 for all others, plus the usual noise.

    At first the model is the target's adapter with a fresh head; from 2/T it starts as a sum of all sources.
    """

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        """See `Learner.prepare`.

        Raises:
            UserError: the target's own adapter is not among the sources.
        """
        (task,) = tasks
        if task.name not in sources:
            raise UserError(
                f"{self.title} starts at the target's own source adapter, but '{task.name}' is not among the sources "
                f"({', '.join(sources)}); add it, or use the method '{self.config}'."
            )
        super().prepare(model, tasks, sources)
        setup = model.active_adapters
        config = ScaLearnConfig.load(self.config, start=[float(name == task.name) for name in sources])
        model.add_adapter_fusion(setup, config, overwrite_ok=True)
        model.train_adapter_fusion(setup)


class Blocks(ScaLearn):
    """A coefficient per source, layer and block of the hidden width: between ScaLearnUniform (one) and ScaLearn (d).

    Options:
        blocks: how many, a divisor of d.
    """

    loses_coefficients = False

    @property
    def config(self) -> ScaLearnConfig:
        """What the block is made by; it has no name."""
        return ScaLearnConfig(blocks=self.options["blocks"])


class LowRank(nn.Module):
    """A weight W or bias of an up-projection as (I + B A) W, so that o_t becomes o_t + B A o_t; B is 0 at first.

    Args:
        down, up: A `(rank, hidden)` and B `(hidden, rank)`, shared by weight and bias.
    """

    def __init__(self, down: nn.Parameter, up: nn.Parameter) -> None:
        super().__init__()
        self.down, self.up = down, up

    def forward(self, projection: Tensor) -> Tensor:
        """Return (I + B A) W for W `(hidden, width)` or `(hidden,)`."""
        return projection + self.up @ (self.down @ projection)


class ScaLearnLowRank(ScaLearn):
    """A vector of coefficients per source and layer, and a map of low rank: Σ_t ω_t ⊙ (o_t + B_t A_t o_t).

    Between ScaLearn's vectors and AdapterFusion's matrices. The maps are linear, so it folds, too. With T sources,
    L layers, width d and rank r it learns T L d (1 + 2 r) numbers.

    Options:
        rank: r.
    """

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        super().prepare(model, tasks, sources)
        for projection in self._projections(model):
            like, rank = projection.weight, self.options["rank"]
            down = nn.Parameter(torch.randn(rank, len(like)).to(like) / len(like) ** 0.5)
            up = nn.Parameter(like.new_zeros(len(like), rank))
            for name in ("weight", "bias"):
                register_parametrization(projection, name, LowRank(down, up))

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        super().save(model, tasks, folder)
        save_file(
            {f"{i}.{k}": v.detach() for i, pair in enumerate(self._pairs(model)) for k, v in pair}, folder / MATRICES
        )

    @torch.no_grad()
    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        super().load(model, tasks, folder)
        stored = load_file(folder / MATRICES)
        for i, pair in enumerate(self._pairs(model)):
            for name, parameter in pair:
                parameter.copy_(stored[f"{i}.{name}"])

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        """The block folded, with the maps written into the sources; the model is the same function afterwards."""
        for projection in self._projections(model):
            for name in ("weight", "bias"):
                remove_parametrizations(projection, name, leave_parametrized=True)
            projection.requires_grad_(False)
        return super().as_adapter(model, task)

    @property
    def config(self) -> str:
        return "scalearn"

    def _projections(self, model: nn.Module) -> list[nn.Linear]:
        """The up-projections of all sources, by layer and in the order of ω's rows."""
        places = transfer_layers(model, self.name)
        return [
            module.adapters[layer.sources[row]].adapter_up for _, module, layer in places for row in module.rows(layer)
        ]

    def _pairs(self, model: nn.Module) -> list[list[tuple[str, nn.Parameter]]]:
        maps = [projection.parametrizations["weight"][0] for projection in self._projections(model)]
        return [[("down", low.down), ("up", low.up)] for low in maps]
