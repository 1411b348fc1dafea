"""How long a run may train and how its best state is selected: the published settings, and two shorter ones."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ..errors import UserError, unknown
from ..methods import Method


@dataclass(frozen=True)
class Budget:
    """Settings of one training run; AdamW with linear decay throughout.

    Args:
        learning_rate: peak learning rate.
        epochs: passes over the training set at most.
        max_steps: optimiser steps at most.
        eval_steps: steps between evaluations on the validation split; `None` means once per epoch.
        patience: evaluations without improvement after which training stops.
        select: the best state has the lowest validation "loss" or the highest validation "metric".
        batch_size: examples per step.
        max_train: training examples at most (a fixed random subset); `None` means all.
        max_validation: validation examples at most (a fixed random subset); `None` means all.
        max_test: the same for test examples.
    """

    learning_rate: float
    epochs: int
    max_steps: int
    eval_steps: int | None
    patience: int
    select: str = "loss"
    batch_size: int = 32
    max_train: int | None = None
    max_validation: int | None = None
    max_test: int | None = None

    def __post_init__(self) -> None:
        numbers = "epochs max_steps eval_steps patience batch_size max_train max_validation max_test".split()
        for name in numbers:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UserError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if not isinstance(self.learning_rate, int | float) or not self.learning_rate > 0:
            raise UserError(f"learning_rate must be positive, got {self.learning_rate!r}.")
        if self.select not in ("loss", "metric"):
            raise unknown("selection rule", self.select, ("loss", "metric"))


NO_LIMIT = 10**9

BUDGETS = ("paper", "quick", "smoke")


def make_budget(name: str, method: Method, k: int | None, overrides: dict[str, object]) -> Budget:
    """Return the settings of a run.

    `paper` has the published ones: 30 epochs evaluated each epoch, or for k-shot runs 1,000 steps with patience 20 and
    selection on the metric. `quick` fits many runs into minutes on two CPU cores: few small steps, and five times the
    published learning rate where that is below 1e-3. `smoke` only shows that everything runs.

    Raises:
        UserError: an unknown budget, or an override that is no setting or out of range.
    """
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    if name == "paper":
        budget = Budget(method.learning_rate, 30, NO_LIMIT, None, method.patience)
        if k is not None:
            budget = replace(budget, epochs=NO_LIMIT, max_steps=1000, patience=20, select="metric")
    else:
        # Few steps: rates that are meant for thousands of them would hardly move anything.
        rate = method.learning_rate if method.learning_rate > 1e-3 else 5 * method.learning_rate
        budget = Budget(rate, NO_LIMIT, 72, 36, 30, batch_size=16, max_validation=200, max_test=500)
        if name == "smoke":
            budget = replace(
                budget, max_steps=4, eval_steps=2, batch_size=8, max_train=64, max_validation=32, max_test=32
            )
        elif k is not None:
            budget = replace(budget, max_steps=20, eval_steps=10, max_validation=100, max_test=300, select="metric")
    settings = {field.name for field in fields(Budget)}
    for key in overrides:
        if key not in settings:
            raise unknown("setting", key, sorted(settings))
    return replace(budget, **overrides)
