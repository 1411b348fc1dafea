"""One task, one stage: full fine-tuning, and the bottleneck adapter that stage 2 uses as a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters import SeqBnConfig
from safetensors.torch import load_file, save_file
from torch import nn

from ..tasks import Task
from .base import Method, add_head


class FullFineTuning(Method):
    """All parameters of the encoder and a head."""

    name, title, learning_rate = "full", "full fine-tuning", 2e-5
    _file = "model.safetensors"

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        add_head(model, task)
        model.freeze_model(False)

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        learned = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(learned, folder / self._file)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        learned = {name for name, p in model.named_parameters() if p.requires_grad}
        stored = load_file(folder / self._file)
        if learned != set(stored):
            raise ValueError(f"{folder / self._file} does not hold the parameters that this model learns.")
        model.load_state_dict(stored, strict=False)


class SingleAdapter(Method):
    """One sequential bottleneck ("Pfeiffer") adapter with reduction factor 16: stage 1, and the paper's baseline."""

    name, title, learning_rate = "adapter", "adapter", 3e-4

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        model.add_adapter(task.name, config=SeqBnConfig(reduction_factor=16))
        add_head(model, task)
        model.train_adapter(task.name)

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.save_adapter(str(folder), tasks[0].name, with_head=True, use_safetensors=True)

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.load_adapter(str(folder), load_as=tasks[0].name, with_head=True, use_safetensors=True)
