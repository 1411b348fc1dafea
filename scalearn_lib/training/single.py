"""Training a prepared model on a task with the trainers of adapters and transformers."""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import torch
from adapters import AdapterTrainer
from datasets import Dataset, DatasetDict
from torch import nn
from torch.utils.data import SequentialSampler
from tqdm.auto import tqdm
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from ..errors import UserError
from ..methods import Learner
from ..tasks import Task
from ..tasks.encoding import EVALUATION_BATCH, collator
from ..tasks.metrics import score
from .budget import Budget
from .optimizer import optimizer_for
from .parallel import go_parallel, is_first, processes
from .shares import Shares, some_rows
from .tracking import tracking


class Diverged(RuntimeError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class Outcome:
    """What training and testing gave.

    Scores by metric, the selected epoch and step, `history` (each logged training loss and each evaluation, by step),
    and seconds.
    """

    test: dict[str, float]
    validation: dict[str, float]
    selected_epoch: float
    selected_step: int
    steps: int
    history: list[dict[str, float]]
    seconds: dict[str, float]


class KeepBest(TrainerCallback):
    """Keeps the best state of what is learned in memory and restores it at the end.

    `load_best_model_at_end` would write every frozen source adapter to disk at each evaluation, hundreds of times in a
    few-shot run, and adapters' trainer does not restore a head that is named unlike its adapter.

    Args:
        metric: what selects, a name in an evaluation's results.
        greater_is_better: whether high values of it are good.
        heads_only: whether only heads are restored, as in the official runs of the ++ variants.
    """

    def __init__(self, metric: str, greater_is_better: bool, heads_only: bool = False) -> None:
        self.metric, self.sign, self.heads_only = metric, 1 if greater_is_better else -1, heads_only
        self.best: dict[str, float] | None = None
        self.state: dict[str, torch.Tensor] = {}

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True  # the last step counts even where it is no multiple of eval_steps

    def on_evaluate(self, args, state, control, metrics, model, **kwargs) -> None:
        value = metrics[self.metric]
        if not math.isfinite(value):
            raise Diverged(f"validation {self.metric.removeprefix('eval_')} is {value} at step {state.global_step}")
        if self.best is None or self.sign * (value - self.best[self.metric]) > 0:
            self.best = {**metrics, "epoch": state.epoch, "step": state.global_step}
            learned = {name: p for name, p in model.named_parameters() if p.requires_grad}
            if self.heads_only:
                learned = {name: p for name, p in learned.items() if name.startswith("heads.")}
            self.state = {name: p.detach().clone() for name, p in learned.items()}

    def on_train_end(self, args, state, control, model, **kwargs) -> None:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in self.state:
                    p.copy_(self.state[name])


class Watch(TrainerCallback):
    """One progress bar per run, with the time left and the latest losses; stops a run whose loss is NaN."""

    def __init__(self, title: str) -> None:
        self.title, self.shown = title, {}

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.bar = tqdm(
            total=state.max_steps, desc=self.title, unit="step", mininterval=1, leave=False, disable=not is_first()
        )

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs, **kwargs) -> None:
        for key, short in (("loss", "loss"), ("eval_loss", "validation loss")):
            if key in logs:
                if not math.isfinite(logs[key]):
                    raise Diverged(f"{short} is {logs[key]} at step {state.global_step}")
                self.shown[short] = f"{logs[key]:.3f}"
                self.bar.set_postfix(self.shown, refresh=False)

    def close(self) -> None:
        if hasattr(self, "bar"):
            self.bar.close()


def train(
    model: nn.Module,
    method: Learner,
    task: Task,
    data: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    budget: Budget,
    seed: int,
    title: str,
) -> Outcome:
    """Train what requires a gradient, restore the state that was best on validation, and score it on test.

    Args:
        model: a model prepared by `method`, changed in place.
        data: encoded splits `train`, `validation` and `test`, with a `length` column.
        seed: seed of dropout and data order.
        title: what the progress bar says.

    Raises:
        Diverged: the loss or the validation score is not finite.
    """
    per_epoch = math.ceil(len(data["train"]) / budget.batch_size)
    steps = min(budget.max_steps, budget.epochs * per_epoch)
    by_metric = budget.select == "metric"
    metric = f"eval_{task.metric}" if by_metric else "eval_loss"
    keep, watch = KeepBest(metric, by_metric, method.loses_coefficients), Watch(title)
    selection = by_length(data[budget.select_on])

    def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
        return score(task, prediction.predictions, prediction.label_ids, selection)

    collate = collator(task, tokenizer)
    shares = Shares(some_rows(selection, collate))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = training_arguments(scratch, budget, steps, per_epoch, seed, keep, title)
        trainer = (AdapterTrainer if model.active_adapters else Trainer)(
            model=model,
            args=arguments,
            data_collator=collate,
            train_dataset=data["train"],
            eval_dataset=selection,
            compute_metrics=compute_metrics,
            callbacks=[keep, watch, shares, EarlyStoppingCallback(budget.patience)],
            optimizers=(optimizer_for(model, method, budget), None),
        )
        trainer.remove_callback(PrinterCallback)  # Watch shows the same in one line
        trainer.penalty_unscaled = budget.official  # read by composition/repairs.py
        # Rows are sorted by length already, and scores by question need their order.
        trainer._get_eval_sampler = SequentialSampler
        count_no_flops(trainer)
        if processes() > 1:
            go_parallel(trainer)
        started = time.perf_counter()
        try:
            trainer.train()
        finally:
            watch.close()
        trained = time.perf_counter()
        trainer.compute_metrics = None
        test = {}
        for split in data:
            if split.startswith("test"):
                test |= test_scores(trainer, task, by_length(data[split]), split.removeprefix("test"))
        tested = time.perf_counter()

    best = keep.best
    return Outcome(
        test=test,
        validation={key: float(best[f"eval_{key}"]) for key in test if f"eval_{key}" in best},
        selected_epoch=float(best["epoch"]),
        selected_step=int(best["step"]),
        steps=int(trainer.state.global_step),
        history=shares.beside(logged(trainer, f"eval_{task.metric}")),
        seconds={"train": round(trained - started, 3), "test": round(tested - trained, 3)},
    )


def check_precision(budget: Budget) -> None:
    """Raise `UserError` if a budget's precision needs a GPU and there is none."""
    if budget.precision == "fp16" and not torch.cuda.is_available():
        raise UserError(
            "The precision fp16, which the paper's runs had, needs a GPU; take --set precision=bf16 or --set "
            "precision=float32 here."
        )


def training_arguments(
    folder: str, budget: Budget, steps: int, per_epoch: int, seed: int, keep: KeepBest, title: str = ""
) -> TrainingArguments:
    """Return the settings of transformers' trainer for a budget.

    Args:
        folder: an empty folder, for what the trainer insists on.
        steps, per_epoch: optimiser steps in all, and in an epoch.
        keep: says what selects the best state.
        title: the run's name, under which trackers follow it; without, none does.
    """
    # Accelerate reads it, and transformers writes it, but only ever to switch a precision on: a run that follows
    # another in this process would have that one's.
    os.environ["ACCELERATE_MIXED_PRECISION"] = {"float32": "no"}.get(budget.precision, budget.precision)
    arguments = TrainingArguments(
        output_dir=folder,  # nothing is saved there: KeepBest holds the checkpoint
        save_strategy="no",
        **(tracking(title) if title else {"report_to": []}),
        disable_tqdm=True,
        log_level="error",
        logging_steps=max(1, min(10, steps // 8)),
        logging_nan_inf_filter=False,
        seed=seed,
        data_seed=seed,
        per_device_train_batch_size=budget.batch_size,
        per_device_eval_batch_size=EVALUATION_BATCH["cuda" if torch.cuda.is_available() else "cpu"],
        learning_rate=budget.learning_rate,
        lr_scheduler_type="linear",
        max_steps=steps,
        eval_strategy="steps",
        eval_steps=min(budget.eval_steps or per_epoch, steps),
        metric_for_best_model=keep.metric,
        greater_is_better=keep.sign > 0,
        group_by_length=budget.group_by_length,
        label_names=["labels"],
        weight_decay=budget.weight_decay,
        warmup_ratio=budget.warmup_ratio,
        fp16=budget.precision == "fp16",
        bf16=budget.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # One run per GPU: Trainer would copy the model to all that are visible, and take a batch for each.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def count_no_flops(trainer: Trainer) -> None:
    """Spare each step a walk over all modules: Trainer would count operations for a log that nobody reads."""
    trainer.floating_point_ops = lambda inputs: 0


def logged(trainer: Trainer, metric: str) -> list[dict[str, float]]:
    """Return each logged training loss and each evaluation, with one metric of it, by step."""
    keys = ("step", "loss", "eval_loss", metric)
    logs = (log for log in trainer.state.log_history if "loss" in log or "eval_loss" in log)
    return [{key: log[key] for key in keys if key in log} for log in logs]


def test_scores(trainer: Trainer, task: Task, rows: Dataset, suffix: str) -> dict[str, float]:
    """Return the loss and the scores on a test split, with a suffix such as "_mismatched" to their names.

    Raises:
        Diverged: the predictions are not finite.
    """
    prediction = trainer.predict(rows)
    if not np.isfinite(prediction.predictions).all():
        raise Diverged("the test predictions are not finite")
    scores = {"loss": prediction.metrics["test_loss"]} | score(task, prediction.predictions, prediction.label_ids, rows)
    return {name + suffix: float(value) for name, value in scores.items()}


def by_length(rows: Dataset) -> Dataset:
    """Return encoded rows from the longest to the shortest, for batches of similar length."""
    return rows.select(np.argsort(-np.array(rows["length"][:]), kind="stable"))
