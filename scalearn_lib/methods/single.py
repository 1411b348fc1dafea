"""One task, one stage: full fine-tuning, and what adapters has for training few parameters instead.

Among them the bottleneck adapter that stage 2 uses as a source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters import AdapterConfig, BnConfig
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.modeling import Adapter
from safetensors.torch import load_file, save_file
from torch import nn

from ..errors import UserError
from ..tasks import Task
from .base import Learner, add_head

REDUCTION = 16
"""Hidden size over bottleneck width, in every method with a bottleneck (paper, appendix)."""


class LearnedState(Learner):
    """A method that saves whatever requires a gradient, heads included, in one file."""

    _file = "model.safetensors"

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        learned = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(learned, folder / self._file)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        """Read what `save` wrote into a prepared model.

        Raises:
            UserError: the file holds other parameters, or other shapes, than the model learns.
        """
        learned = {name: p.shape for name, p in model.named_parameters() if p.requires_grad}
        stored = load_file(folder / self._file)
        if learned != {name: tensor.shape for name, tensor in stored.items()}:
            raise UserError(
                f"{folder / self._file} does not hold the parameters that this model learns; prepare the model with "
                "the method, encoder and tasks that it was saved with."
            )
        model.load_state_dict(stored, strict=False)


def add_plain(model: nn.Module, name: str, config: BnConfig) -> list[tuple[Adapter, Adapter]]:
    """Add a bottleneck adapter that is to equal the one called `name`; return both, place by place.

    The new one is called `name` with "_plain" behind it.
    """
    model.add_adapter(f"{name}_plain", config=config)
    places = [m.adapters for m in model.modules() if isinstance(m, BottleneckLayer) and name in m.adapters]
    return [(adapters[name], adapters[f"{name}_plain"].to(model.device)) for adapters in places]


class FullFineTuning(LearnedState):
    """All parameters of the encoder and a head."""

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        add_head(model, task)
        model.freeze_model(False)


class SingleAdapter(Learner):
    """One adapter of a configuration of adapters: the bottleneck that stage 2 uses as a source, or another.

    (IA)³ learns (2 d + f) L parameters with hidden size d, intermediate size f and L layers. adapters scales the
    intermediate layer before its activation, the paper after it.
    """

    @property
    def config(self) -> AdapterConfig:
        """The configuration that the option "config" names, with all other options and the paper's reduction factor."""
        config = AdapterConfig.load(**self.options)
        return config.replace(reduction_factor=REDUCTION) if "reduction_factor" in config else config

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        model.add_adapter(task.name, config=self.config)
        add_head(model, task)
        model.train_adapter(task.name)

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        return task.name

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.save_adapter(str(folder), tasks[0].name, with_head=True, use_safetensors=True)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.load_adapter(str(folder), load_as=tasks[0].name, with_head=True, use_safetensors=True)


class Compacter(SingleAdapter):
    """A bottleneck adapter whose weights are sums of Kronecker products (Mahabadi et al., 2021), after the FFN only.

    With hidden size d, bottleneck b, L layers and n = `phm_dim` it learns 3 (d + b) L + n³ parameters: in each layer
    two factors and a bias per projection, and one n × n × n tensor that all layers share.
    """

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        """See `Learner.prepare`.

        Raises:
            UserError: the Kronecker products do not fit the encoder's hidden size.
        """
        width, parts = model.config.hidden_size, self.config.phm_dim
        bottleneck = width // REDUCTION
        if width % parts or bottleneck % parts or not bottleneck:
            raise UserError(
                f"{self.title} needs a hidden size and a bottleneck (hidden size / {REDUCTION}) that {parts} divides, "
                f"but the encoder has {width} and {bottleneck}; use an encoder whose hidden size is a multiple of "
                f"{parts * REDUCTION}."
            )
        super().prepare(model, tasks, sources)
