"""The one interface of everything that learns, and the heads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from ..tasks import Task
from .method import Method


class Learner(Method, ABC):
    """A method at work: what is trained for a target, from which sources, and how it is saved.

    It works on a fresh encoder with nothing added. `prepare` adds what it learns and one head per task, freezes
    the rest and activates it; then whatever requires a gradient is trained. A method of one task gets one task,
    a `joint` method all tasks of its suite; a two-stage method gets the folders of the trained source adapters.
    """

    @abstractmethod
    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        """Add what is learned and the heads to `model`, freeze the rest, activate it.

        Args:
            model: an adapters model with heads, straight from `load_model`.
            tasks: the target task, or all tasks of a joint method.
            sources: folder of each source adapter by source task, in the order of ω's rows; empty for one stage.
        """

    def activate(self, model: nn.Module, task: Task) -> None:
        """Make a prepared model compute `task` in the next forward pass; only joint methods have anything to choose."""
        model.active_head = task.name

    @property
    def loses_coefficients(self) -> bool:
        """Whether only heads come back with the best state, as in official runs of the ++ variants."""
        return False

    def as_adapter(self, model: nn.Module, task: Task) -> str | None:
        """Give a trained model one plain adapter that does for `task` what the method does, and return its name.

        Such an adapter can be saved and loaded by adapters alone. `None` where there is none: AdapterFusion, whose
        attention depends on the input, and models that learn as a whole.
        """
        return None

    @abstractmethod
    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        """Write what was learned, heads included, as safetensors."""

    @abstractmethod
    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        """Read what `save` wrote into a prepared model."""


def add_head(model: nn.Module, task: Task, one_layer: bool = False) -> None:
    """Add a fresh two-layer head for `task` and make it active; a single output learns by squared error.

    Args:
        model: an adapters model with heads.
        task: what the head is for.
        one_layer: whether the first of two layers stays as it is at first, without dropout before it, where texts are
            chosen from: the pooler of the official runs' stage 2, which was frozen with the encoder.
    """
    if task.kind == "multiple_choice":
        model.add_multiple_choice_head(task.name, num_choices=task.num_labels, layers=2, overwrite_ok=True)
        if one_layer:
            dropout, dense = list(model.heads[task.name])[:2]
            dropout.p = 0.0
            dense.requires_grad_(False)
    else:
        multilabel = task.kind == "multi_label"
        model.add_classification_head(
            task.name, num_labels=task.num_labels, layers=2, multilabel=multilabel, overwrite_ok=True
        )
    model.active_head = task.name


def transfer_parameters(model: nn.Module) -> int:
    """Return how many parameters a prepared model learns apart from its heads, as the paper counts them."""
    return sum(p.numel() for name, p in model.named_parameters() if p.requires_grad and not name.startswith("heads."))


def trainable_parameters(model: nn.Module) -> int:
    """Return how many parameters a prepared model learns, heads included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
