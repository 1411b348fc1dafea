"""Two stages: the frozen source adapters are composed by AdapterFusion's attention or by ScaLearn's coefficients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from adapters import Fuse
from torch import nn

import scalearn_lib.composition as composition

from ..errors import UserError
from ..tasks import Task
from .base import Learner, add_head


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
        add_head(model, task)
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
    def config(self) -> str:
        """Name of the variant, a key of `VARIANTS`."""
        return self.options.get("variant", self.name)


def load_sources(model: nn.Module, sources: Mapping[str, Path]) -> None:
    """Load the source adapters from their folders, without their heads.

    Raises:
        UserError: a folder holds no adapter, or one for another hidden size.
    """
    for name, folder in sources.items():
        file = folder / "adapter_config.json"
        if not file.exists():
            raise UserError(
                f"Source adapter '{name}' is missing: {folder} holds no adapter_config.json; train it first."
            )
        width, ours = json.loads(file.read_text())["hidden_size"], model.config.hidden_size
        if width != ours:
            raise UserError(
                f"Source adapter '{name}' in {folder} was trained for hidden size {width}, but the encoder has {ours}; "
                "train it on this encoder."
            )
        model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True)
