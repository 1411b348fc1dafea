"""Two stages: the frozen source adapters are composed by AdapterFusion's attention or by ScaLearn's coefficients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters import Fuse
from torch import nn

import scalearn_lib.composition as composition

from ..errors import UserError
from ..tasks import Task
from .base import Method, add_head


class AdapterFusion(Method):
    """Attention over the outputs of the source adapters (Pfeiffer et al., 2021), in adapters' "dynamic" form."""

    name, title, learning_rate = "adapter_fusion", "AdapterFusion", 5e-5
    two_stage = True
    config = "dynamic"
    block = Fuse

    def setup(self, sources: Sequence[str]) -> Fuse:
        """The composition block over the sources; it carries the method's name."""
        return self.block(*sources, name=self.name)

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        composition.init(model)
        load_sources(model, sources)
        setup = self.setup(list(sources))
        model.add_adapter_fusion(setup, config=self.config)
        add_head(model, task)
        model.train_adapter_fusion(setup)

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.save_adapter_fusion(str(folder), self.name, with_head=tasks[0].name, use_safetensors=True)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.load_adapter_fusion(str(folder), use_safetensors=True)


class ScaLearnMethod(AdapterFusion):
    """Scaling coefficients on the outputs of the source adapters: the paper's method, one subclass per variant."""

    learning_rate, patience = 6e-3, 30  # as tuned and published; equal budgets are a matter of overrides
    epochs = {"record": 3}
    block = composition.ScaLearn


class ScaLearn(ScaLearnMethod):
    """A vector of coefficients per source and layer."""

    name = config = "scalearn"
    title = "ScaLearn"


class ScaLearnUniform(ScaLearnMethod):
    """A scalar per source and layer."""

    name = config = "scalearn_uniform"
    title = "ScaLearnUniform"


class ScaLearnPP(ScaLearnMethod):
    """A vector per source, shared by all layers."""

    name = config = "scalearn_pp"
    title = "ScaLearn++"


class ScaLearnUniformPP(ScaLearnMethod):
    """A scalar per source, shared by all layers."""

    name = config = "scalearn_uniform_pp"
    title = "ScaLearnUniform++"


class ScaLearnMean(ScaLearnMethod):
    """Ablation: a vector per source and layer, divided by its sum over the sources, without dropout."""

    name = config = "scalearn_mean"
    title = "ScaLearn, mean"


class ScaLearnSoftmax(ScaLearnMethod):
    """Ablation: a vector per source and layer, softmax over the sources, without dropout."""

    name = config = "scalearn_softmax"
    title = "ScaLearn, softmax"


class ScaLearnInit1(ScaLearnMethod):
    """Ablation: a vector per source and layer that starts at 1/T instead of 2/T."""

    name = config = "scalearn_init_1"
    title = "ScaLearn, init 1/T"


class ScaLearnNoDropout(ScaLearnMethod):
    """Ablation: a vector per source and layer without dropout."""

    name = config = "scalearn_no_dropout"
    title = "ScaLearn, no dropout"


class ScaLearnPenalty10(ScaLearnMethod):
    """Ablation: a vector per source and layer, whose means are pulled to one with λ = 0.1."""

    name = config = "scalearn_penalty_0_1"
    title = "ScaLearn, λ 0.1"


class ScaLearnPenalty1(ScaLearnMethod):
    """Ablation: a vector per source and layer, whose means are pulled to one with λ = 0.01."""

    name = config = "scalearn_penalty_0_01"
    title = "ScaLearn, λ 0.01"


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
