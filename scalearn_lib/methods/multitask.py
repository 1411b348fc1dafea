"""All tasks at once, one stage: one model or one adapter for every task, and a head for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adapters import SeqBnConfig
from torch import nn

from ..errors import UserError
from ..tasks import Task
from .base import add_head
from .single import REDUCTION, LearnedState


class FullMultiTask(LearnedState):
    """All parameters of the encoder, shared by all tasks; `activate` chooses the head."""

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        add_heads(model, tasks)
        model.freeze_model(False)
        self.activate(model, tasks[0])


class AdapterMultiTask(LearnedState):
    """One bottleneck adapter with reduction factor 16, shared by all tasks; `activate` chooses the head."""

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        add_heads(model, tasks)
        model.add_adapter(self.name, config=SeqBnConfig(reduction_factor=REDUCTION))
        model.train_adapter(self.name)
        self.activate(model, tasks[0])

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        return self.name


def add_heads(model: nn.Module, tasks: Sequence[Task]) -> None:
    """Add a fresh head for each of the tasks of a joint method.

    Raises:
        UserError: there are fewer than two tasks.
    """
    if len(tasks) < 2:
        given = ", ".join(task.name for task in tasks) or "none"
        raise UserError(f"Joint training needs at least two tasks, but got {given}; give it all tasks of a suite.")
    for task in tasks:
        add_head(model, task)
