"""What a method is: one row of the paper's tables, as data."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Method:
    """The facts of a method. What it does to a model is the work of its `learner`, which imports torch and adapters.

    Args:
        name: name on the command line and in folders.
        title: name in tables and figures, as the paper has it.
        about: one line for humans.
        learning_rate: the published one (paper, appendix; see the budgets).
        made_by: its learner's class, as "module:Class" with the module's full name.
        patience: published early-stopping patience, in evaluations.
        patience_by_suite: published patience where a suite had another one.
        epochs: published number of epochs by task, where it is not 30.
        source_method: name of the stage-1 method that trains its source adapters, of a two-stage method.
        needs_texts: whether it reads the texts of its source tasks, so that adapters trained elsewhere are none for it.
        joint: whether one model is trained for all tasks of a suite at once.
        searched: whether a search without gradients finds what it learns, head apart (`training/searched.py`).
        weight_decay: AdamW's.
        rate_factors: multiples of the learning rate for parameters whose name contains the key.
        options: what its learner is told besides, by name.
        official: whether its learner repeats the mistakes of the paper's runs (docs/differences.md).
    """

    name: str
    title: str
    about: str
    learning_rate: float
    made_by: str
    patience: int = 5
    patience_by_suite: Mapping[str, int] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)
    source_method: str | None = None
    needs_texts: bool = False
    joint: bool = False
    searched: bool = False
    weight_decay: float = 0.0
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    official: bool = False

    @property
    def two_stage(self) -> bool:
        """Whether it builds on trained source adapters."""
        return self.source_method is not None

    def learner(self, *, official: bool = False, **options: object) -> Method:
        """Return the `Learner` that prepares, saves and loads a model, with some of its options changed.

        `official` repeats the mistakes of the paper's runs.
        """
        values = {each.name: getattr(self, each.name) for each in fields(Method)}
        values |= {"official": official, "options": {**self.options, **options}}
        return pkgutil.resolve_name(self.made_by)(**values)

    def __post_init__(self) -> None:
        """Check the options; learners with options of their own do."""
