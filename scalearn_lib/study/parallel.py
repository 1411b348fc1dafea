"""One run in several processes: data-parallel training, started by `accelerate launch`, of which the first writes.

Each step has the batch that one process would have, cut into equal parts. The processes agree on the order of the
examples, each evaluates on all rows, and so all select the same best state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..errors import UserError

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
    PartialState()  # joins the other processes
    box = [compute() if is_first() else None]
    broadcast_object_list(box)
    return box[0]


def parallel_settings(batch_size: int) -> dict[str, object]:
    """Further settings of transformers' trainer where several processes train together.

    Raises:
        UserError: the batch cannot be cut into equal parts.
    """
    count = processes()
    if count == 1:
        return {}
    if batch_size % count:
        raise UserError(
            f"A batch of {batch_size} cannot be cut into {count} equal parts: start a number of processes that divides "
            "it, or change batch_size."
        )
    # The mean over processes of their mean losses is the batch's; Trainer would multiply it for another kind of loss.
    return {"accelerator_config": {"split_batches": True}, "average_tokens_across_devices": False}


def go_parallel(trainer: Trainer) -> None:
    """Have a trainer's processes train on parts of the same batches and evaluate on the same rows."""

    class AgreedOrder(LengthGroupedSampler):
        def __iter__(self) -> Iterator[int]:
            return iter(agreed(lambda: list(super(AgreedOrder, self).__iter__())))

    def train_sampler(rows: Dataset) -> LengthGroupedSampler:
        return AgreedOrder(trainer.args.train_batch_size, rows, rows["length"][:])

    def all_rows(rows: Dataset | None = None) -> DataLoader:
        rows = trainer._remove_unused_columns(trainer.eval_dataset if rows is None else rows, "evaluation")
        return DataLoader(rows, trainer.args.eval_batch_size, collate_fn=trainer.data_collator)

    trainer._get_train_sampler = train_sampler
    trainer.get_eval_dataloader = trainer.get_test_dataloader = all_rows
    trainer.gather_function = trainer.accelerator.gather_for_metrics = lambda rows, **_: rows
