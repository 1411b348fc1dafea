"""Joint training: one model for all tasks of a suite, one task per batch."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from torch import nn
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, PrinterCallback, Trainer

from ..errors import UserError
from ..methods import Learner
from ..tasks import Task
from ..tasks.encoding import collator
from .budget import Budget
from .optimizer import optimizer_for
from .parallel import processes
from .single import (
    KeepBest,
    Outcome,
    Watch,
    by_length,
    count_no_flops,
    logged,
    test_scores,
    training_arguments,
)

OFFICIAL_ROWS = 100_730
"""Rows of ReCoRD that official joint runs drew from: meant was its number of questions, each of which has several."""


def task_probabilities(sizes: Sequence[int], temperature: float) -> np.ndarray:
    """Return the chance of each task, proportional to n ** (1 / temperature) with its n training examples."""
    weights = np.array(sizes, dtype=np.float64) ** (1 / temperature)
    return weights / weights.sum()


def examples(rows: Dataset) -> int:
    """Number of examples of a training split: questions where an entity answers them (ReCoRD), else rows."""
    return len(set(rows["question"][:])) if "answers" in rows.column_names else len(rows)


class TaskBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (task, row), each of one task: drawn with temperature, its rows shuffled anew for each pass over them.

    Args:
        sizes: rows of each task.
        probabilities: chance of each task.
        batch_size: rows of a batch, fewer where a task has fewer.
        steps: number of batches.
        seed: seed of all draws.
    """

    def __init__(self, sizes: Sequence[int], probabilities: np.ndarray, batch_size: int, steps: int, seed: int) -> None:
        self.sizes, self.probabilities = sizes, probabilities
        self.batch_size, self.steps, self.seed = batch_size, steps, seed

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.RandomState(self.seed)
        left: list[np.ndarray] = [np.empty(0, dtype=np.int64) for _ in self.sizes]
        for task in random.choice(len(self.sizes), size=self.steps, p=self.probabilities):
            size = min(self.batch_size, self.sizes[task])
            if len(left[task]) < size:
                left[task] = random.permutation(self.sizes[task])
            batch, left[task] = left[task][:size], left[task][size:]
            yield [(int(task), int(row)) for row in batch]


class JointTrainer(Trainer):
    """Trains on batches of one task each, and evaluates on the others than ReCoRD: `eval_loss` is their mean loss.

    As in the official runs, ReCoRD bears on no selection; its 118,000 rows would take longer than all other tasks'.
    """

    def __init__(
        self,
        method: Learner,
        tasks: Sequence[Task],
        data: Mapping[str, DatasetDict],
        tokenizer,
        batches,
        select_on,
        **more,
    ) -> None:
        self.method, self.tasks, self.batches = method, tasks, batches
        self.collators = [collator(task, tokenizer) for task in tasks]
        self.rows = [self._model_inputs(data[task.name]["train"], tokenizer) for task in tasks]
        self.selection = [by_length(data[task.name][select_on]) for task in tasks]
        self.selecting = [number for number, task in enumerate(tasks) if "answers" not in task.extra]
        # The datasets are only there for Trainer's own checks.
        super().__init__(train_dataset=self.rows[0], eval_dataset=self.selection[0], **more)
        self._get_eval_sampler = SequentialSampler

    @staticmethod
    def _model_inputs(rows: Dataset, tokenizer: PreTrainedTokenizerBase) -> Dataset:
        return rows.select_columns([c for c in rows.column_names if c in (*tokenizer.model_input_names, "labels")])

    def get_train_dataloader(self) -> DataLoader:
        def collate(batch: list[tuple[int, int]]) -> dict[str, object]:
            task = batch[0][0]
            return {**self.collators[task]([self.rows[task][row] for _, row in batch]), "task": task}

        return DataLoader(_Pairs(), batch_sampler=self.batches, collate_fn=collate)

    def compute_loss(self, model: nn.Module, inputs: dict[str, object], *arguments, **more):
        task = inputs.pop("task", None)
        if task is not None:
            self.method.activate(self.model, self.tasks[task])
        return super().compute_loss(model, inputs, *arguments, **more)

    def scores(self, task: int, rows: Dataset, suffix: str = "") -> dict[str, float]:
        """Loss and scores of one task on encoded rows."""
        self.method.activate(self.model, self.tasks[task])
        self.data_collator = self.collators[task]
        return test_scores(self, self.tasks[task], rows, suffix)

    def evaluate(self, *_, **__) -> dict[str, float]:
        metrics, losses, primary = {}, [], []
        for number in self.selecting:
            task, scores = self.tasks[number], self.scores(number, self.selection[number])
            losses.append(scores["loss"])
            primary.append(scores[task.metric])
            metrics |= {f"eval_{task.name}_{name}": value for name, value in scores.items()}
        metrics |= {"eval_loss": float(np.mean(losses)), "eval_metric": float(np.mean(primary))}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class _Pairs(torch.utils.data.Dataset):
    """Hands the (task, row) pairs of a batch on to the collator."""

    def __getitem__(self, pair: tuple[int, int]) -> tuple[int, int]:
        return pair


def train_jointly(
    model: nn.Module,
    method: Learner,
    tasks: Sequence[Task],
    data: Mapping[str, DatasetDict],
    tokenizer: PreTrainedTokenizerBase,
    budget: Budget,
    seed: int,
    title: str,
) -> tuple[Outcome, dict[str, dict[str, dict[str, float]]]]:
    """Train on all tasks, restore the state that was best on their mean, and score each task on test.

    Args:
        model: a model prepared by the joint `method`, changed in place.
        data: encoded splits by task.
        budget: its steps count batches of any task; an epoch is as many batches as all tasks together have, and tasks
            are drawn with its `sampling_temperature`.
        seed: seed of dropout and of the draws of tasks and rows.
        title: what the progress bar says.

    Returns:
        The outcome, with means over tasks as scores, and by task its `test` and `validation` scores.

    Raises:
        Diverged: a loss or prediction is not finite.
        UserError: several processes train together.
    """
    if processes() > 1:
        raise UserError(
            f"{method.title} cannot be trained by several processes at once, since each batch is of one task; start it "
            "without `accelerate launch`."
        )
    train_rows = [data[task.name]["train"] for task in tasks]
    sizes = [len(rows) for rows in train_rows]
    weights = [examples(rows) for rows in train_rows]
    if budget.official:
        sizes = weights = [
            min(size, OFFICIAL_ROWS) if "answers" in task.extra else size
            for task, size in zip(tasks, sizes, strict=True)
        ]
    per_epoch = sum(-(-size // budget.batch_size) for size in sizes)
    steps = min(budget.max_steps, budget.epochs * per_epoch)
    probabilities = task_probabilities(weights, budget.sampling_temperature)
    batches = TaskBatches(sizes, probabilities, budget.batch_size, steps, seed)
    by_metric = budget.select == "metric"
    keep, watch = KeepBest("eval_metric" if by_metric else "eval_loss", by_metric), Watch(title)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = JointTrainer(
            method,
            tasks,
            data,
            tokenizer,
            batches,
            budget.select_on,
            model=model,
            args=training_arguments(scratch, budget, steps, per_epoch, seed, keep, title),
            callbacks=[keep, watch, EarlyStoppingCallback(budget.patience)],
            optimizers=(optimizer_for(model, method, budget), None),
        )
        trainer.remove_callback(PrinterCallback)  # Watch shows the same in one line
        count_no_flops(trainer)
        started = time.perf_counter()
        try:
            trainer.train()
        finally:
            watch.close()
        trained = time.perf_counter()
        by_task = {}
        for number, task in enumerate(tasks):
            test = {}
            for split, rows in data[task.name].items():
                if split.startswith("test"):
                    test |= trainer.scores(number, by_length(rows), split.removeprefix("test"))
            if number in trainer.selecting:
                selected = {key.removeprefix(f"eval_{task.name}_"): value for key, value in keep.best.items()}
            else:
                selected = trainer.scores(number, trainer.selection[number])
            validation = {key: selected[key] for key in test if key in selected}
            by_task[task.name] = {"metric": task.metric, "test": test, "validation": validation}
        tested = time.perf_counter()
    mean = {
        split: {"mean_metric": float(np.mean([scores[split][scores["metric"]] for scores in by_task.values()]))}
        for split in ("test", "validation")
    }
    outcome = Outcome(
        test=mean["test"],
        validation=mean["validation"],
        selected_epoch=keep.best["step"] / per_epoch,
        selected_step=int(keep.best["step"]),
        steps=int(trainer.state.global_step),
        history=logged(trainer, "eval_metric"),
        seconds={"train": round(trained - started, 3), "test": round(tested - trained, 3)},
    )
    return outcome, by_task
