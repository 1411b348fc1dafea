"""How long a run may train and how its best state is selected: the published settings, and four shorter ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from ..errors import UserError, unknown
from ..methods import Method
from ..tasks import Task

PRECISIONS = ("float32", "bf16", "fp16")
"""What numbers a run computes with; the latter two by autocast: weights that learn, sums and losses stay float32."""


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
        weight_decay: AdamW's.
        warmup_ratio: share of the steps in which the learning rate rises from 0.
        select_on: the split that the best state is selected on. "test" repeats what the paper's runs did on record, and
            overstates the score.
        precision: one of `PRECISIONS`; "fp16" needs a GPU.
        sampling_temperature: of the draw of tasks in joint training, where the chance of a task with n examples is
            proportional to n ** (1 / temperature). The paper's text says 10, its runs had 1.
        group_by_length: whether batches are of texts of similar length, which makes steps shorter; not in the paper.
        official: whether the mistakes of the paper's runs are repeated (docs/differences.md).
        transfer_learning_rate: peak learning rate of all that is learned apart from heads (ω, attention, an adapter);
            `None`: `learning_rate`, as in the paper.
        random_sources: how many sources that know nothing a two-stage method gets beside its own: adapters of random
            values, as large as those of a trained one.
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
    weight_decay: float = 0.0
    warmup_ratio: float = 0.0
    select_on: str = "validation"
    precision: str = "float32"
    sampling_temperature: float = 1.0
    group_by_length: bool = True
    official: bool = False
    transfer_learning_rate: float | None = None
    random_sources: int = 0

    def __post_init__(self) -> None:
        numbers = "epochs max_steps eval_steps patience batch_size max_train max_validation max_test".split()
        for name in numbers:
            value = getattr(self, name)
            if value is None and name in ("eval_steps", "max_train", "max_validation", "max_test"):
                continue  # once an epoch; all rows
            if type(value) is not int or value < 1:
                raise UserError(f"{name} must be a whole number of at least 1, got {value!r}.")
        if type(self.random_sources) is not int or self.random_sources < 0:
            raise UserError(f"random_sources must be a whole number of at least 0, got {self.random_sources!r}.")
        if self.select not in ("loss", "metric"):
            raise unknown("selection rule", self.select, ("loss", "metric"))
        if self.select_on not in ("validation", "test"):
            raise unknown("split to select on", self.select_on, ("validation", "test"))
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        for name in ("learning_rate", "sampling_temperature", "transfer_learning_rate"):
            value = getattr(self, name)
            if value is None and name == "transfer_learning_rate":
                continue
            if type(value) not in (int, float) or not 0 < value < math.inf:
                raise UserError(f"{name} must be positive, got {value!r}.")
        for name in ("group_by_length", "official"):
            if type(getattr(self, name)) is not bool:
                raise UserError(f"{name} must be true or false, got {getattr(self, name)!r}.")
        for name in ("weight_decay", "warmup_ratio"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < 1:
                raise UserError(f"{name} must be at least 0 and below 1, got {value!r}.")


NO_LIMIT = 10**9

BUDGETS = ("paper", "converged", "medium", "quick", "smoke")

SOURCE_BUDGET = dict.fromkeys(BUDGETS, "converged") | {"paper": "paper", "smoke": "smoke"}
"""The budget of a two-stage run's source adapters, by its own: in the paper, sources have their full training."""


_FULL = {
    "converged": {"max_steps": 3000, "eval_steps": 100, "patience": 5, "max_validation": 500, "max_test": 1500},
    "medium": {"max_steps": 160, "eval_steps": 80, "max_validation": 300},
    "quick": {"max_steps": 72, "eval_steps": 36, "batch_size": 16, "max_validation": 200, "max_test": 500},
    "smoke": {"max_steps": 4, "eval_steps": 2, "batch_size": 8, "max_train": 64, "max_validation": 32, "max_test": 32},
}
"""Settings of the shorter budgets; patience is 30 where it is not said."""

_FEW = {
    "converged": {"max_steps": 400, "eval_steps": 20, "patience": 5, "batch_size": 16, "max_validation": 200},
    "medium": {"max_steps": 80, "eval_steps": 20},
    "quick": {"max_steps": 40, "eval_steps": 20, "max_validation": 100, "max_test": 300},
}
"""What of them is different for k shots, which select on the metric."""


def make_budget(
    name: str, method: Method, task: Task, k: int | None, overrides: dict[str, object], tasks: int = 1
) -> Budget:
    """Return the settings of a run.

    `paper` has the published ones: 30 epochs evaluated each epoch, for joint methods 375,000 steps, for k-shot runs
    1,000 steps with patience 20, selection on the metric and at most 5,000 validation rows; in fp16, as the official
    runs. `converged` trains until validation stops improving, in bf16: one stage at the published rate, up to 500 steps
    without a gain; stage 2, joint (per task) and k-shot at the faster rate of the shorter budgets, up to 250, 250 and
    100. It ends after 3,000 steps, stage 2 after 1,000, k-shot after 400, and joint training after 250 per task, which
    is often too early (docs/findings.md counts such runs). `medium` takes a minute or two per run on two CPU cores,
    with whole test splits. `quick` fits many runs into minutes: few small steps. `smoke` only shows that everything
    runs. These three learn at five times the published rate where that is 1e-3 or less: it is meant for thousands of
    steps. All but `paper` group batches by length. Joint training of `tasks` tasks has as many times the steps in all
    but `paper`, and selects on the mean loss in all.

    Raises:
        UserError: an unknown budget, or an override that is no setting, out of range or not for this method.
    """
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    budget = _paper(method, task, k) if name == "paper" else _shorter(name, method, task, k, tasks)
    if method.joint:
        budget = replace(budget, select="loss")
    budget = replace(budget, weight_decay=method.weight_decay)
    settings = {field.name for field in fields(Budget)}
    for key in overrides:
        if key not in settings:
            raise unknown("setting", key, sorted(settings))
    budget = replace(budget, **overrides)
    if budget.random_sources and (method.needs_texts or not method.two_stage):
        raise UserError(f"{method.title} takes no random sources; leave random_sources out.")
    return budget


def _paper(method: Method, task: Task, k: int | None) -> Budget:
    epochs = method.epochs.get(task.name, 30)
    patience = method.patience_by_suite.get(task.suite, method.patience)
    how = {"precision": "fp16", "group_by_length": False}
    budget = Budget(method.learning_rate, epochs, NO_LIMIT, None, patience, task.select, **how)
    if method.joint:
        return replace(budget, epochs=NO_LIMIT, max_steps=375_000, eval_steps=7_500, warmup_ratio=0.1)
    if k is not None:
        return replace(budget, epochs=NO_LIMIT, max_steps=1000, patience=20, select="metric", max_validation=5000)
    return budget


def _shorter(name: str, method: Method, task: Task, k: int | None, tasks: int) -> Budget:
    settings = {"patience": 30, "select": task.select} | _FULL[name]
    if k is not None and name in _FEW:
        settings |= {"select": "metric"} | _FEW[name]
    rate = method.learning_rate if method.learning_rate > 1e-3 else 5 * method.learning_rate
    if name == "converged":
        settings["precision"] = "bf16"
        if k is None and method.joint:
            settings |= {"max_steps": 250, "eval_steps": 50}
        elif k is None and method.two_stage:
            settings |= {"max_steps": 1000, "eval_steps": 50}
        elif k is None:
            rate = method.learning_rate
    budget = Budget(rate, NO_LIMIT, **settings)
    if method.joint:
        budget = replace(budget, max_steps=tasks * budget.max_steps, eval_steps=tasks * budget.eval_steps)
    return budget
