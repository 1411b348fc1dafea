"""Two stages: the frozen source adapters are composed by AdapterFusion's attention or by ScaLearn's coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from adapters import Fuse
from torch import nn

import scalearn_lib.composition as composition

from ..tasks import Task
from .base import Learner, add_head
from .sources import load_sources


class AdapterFusion(Learner):
    """Attention over the outputs of the source adapters, in adapters' "dynamic" form."""

    block: ClassVar[type[Fuse]] = Fuse

    @property
    def config(self) -> str:
        """Name of the fusion configuration."""
        return "dynamic"

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        composition.init(model)
        load_sources(model, sources)
        setup = self.block(*sources, name=self.name)
        model.add_adapter_fusion(setup, config=self.config)
        add_head(model, task, one_layer=self.official)
        model.train_adapter_fusion(setup)

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.save_adapter_fusion(str(folder), self.name, with_head=tasks[0].name, use_safetensors=True)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.load_adapter_fusion(str(folder), use_safetensors=True)


class ScaLearn(AdapterFusion):
    """Scaling coefficients on the outputs of the source adapters: bottleneck adapters, or LoRAs.

    Options:
        variant: a key of `VARIANTS`, by default the method's own name.
    """

    block = composition.ScaLearn

    @property
    def loses_coefficients(self) -> bool:
        """Official checkpoints had no shared ω: the best state's head met the last state's ω."""
        return self.official and composition.VARIANTS[self.config].shared

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        """The block folded; a ValueError says why that cannot be."""
        composition.fold(model, model.active_adapters, f"{self.name}_folded")
        return f"{self.name}_folded"

    @property
    def config(self) -> str:
        """Name of the variant, a key of `VARIANTS`."""
        return self.options.get("variant", self.name)
