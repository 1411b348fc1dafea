"""One run in several processes: data-parallel training, started by `accelerate launch`, of which the first writes.

Each step has the batch that one process would have, cut into parts. The processes agree on the order of the
examples, each evaluates on all rows, and so all select the same best state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer

Value = TypeVar("Value")


def processes() -> int:
    """How many processes train together, 1 unless a launcher started more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def agreed(compute: Callable[[], Value]) -> Value:
    """Return in every process what the first one computes; the others wait for it."""
    if processes() == 1:
        return compute()
    PartialState(cpu=not torch.cuda.is_available())  # joins the other processes
    box = [compute() if is_first() else None]
    broadcast_object_list(box)
    return box[0]


class AgreedOrder(Sampler[int]):
    """The order of another sampler, drawn anew by the first process for each pass over the rows."""

    def __init__(self, sampler: Sampler[int]) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[int]:
        return iter(agreed(lambda: list(self.sampler)))


def go_parallel(trainer: Trainer) -> None:
    """Have a trainer's processes train on parts of the same batches and evaluate on the same rows."""
    own_sampler, collate, compute_loss = trainer._get_train_sampler, trainer.data_collator, trainer.compute_loss

    def part(rows: list[dict[str, object]]) -> dict[str, object]:
        # The mean over processes of their weighted losses is the batch's loss, even where it has no equal parts.
        mine = rows[int(os.environ["RANK"]) :: processes()]
        return {**collate(mine or rows[:1]), "weight": len(mine) * processes() / len(rows)}

    def weighted_loss(model: nn.Module, inputs: dict[str, object], *arguments, **more):
        weight = inputs.pop("weight", None)
        loss = compute_loss(model, inputs, *arguments, **more)
        return loss if weight is None else weight * loss

    def loader(rows: Dataset, purpose: str, **more: object) -> DataLoader:
        return DataLoader(trainer._remove_unused_columns(rows, purpose), **more)

    def batches() -> DataLoader:
        order = AgreedOrder(own_sampler(trainer.train_dataset))
        size = trainer.args.train_batch_size
        return loader(trainer.train_dataset, "training", batch_size=size, sampler=order, collate_fn=part)

    def all_rows(rows: Dataset | None = None) -> DataLoader:
        rows = trainer.eval_dataset if rows is None else rows
        return loader(rows, "evaluation", batch_size=trainer.args.eval_batch_size, collate_fn=collate)

    # Every batch would be multiplied by the number of processes, for losses that are sums.
    trainer.args.average_tokens_across_devices = False
    trainer.get_train_dataloader, trainer.compute_loss = batches, weighted_loss
    trainer.get_eval_dataloader = trainer.get_test_dataloader = all_rows
    trainer.gather_function = trainer.accelerator.gather_for_metrics = lambda rows, **_: rows
