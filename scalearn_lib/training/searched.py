"""Training around a search without gradients: the head learns, the search runs with it, and the head learns on.

A search that judges weights by the loss of a random head would be blind, so the head first learns with the weights at
their start. It then has the run's budget twice.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import replace

from datasets import Dataset, DatasetDict
from torch import nn
from transformers import PreTrainedTokenizerBase, PrinterCallback, Trainer

from ..methods import Learner
from ..tasks import Task
from ..tasks.encoding import collator
from .budget import Budget
from .parallel import go_parallel, processes
from .single import Diverged, KeepBest, Outcome, by_length, count_no_flops, train, training_arguments


def search_and_train(
    model: nn.Module,
    method: Learner,
    task: Task,
    data: DatasetDict,
    tokenizer: PreTrainedTokenizerBase,
    budget: Budget,
    seed: int,
    title: str,
) -> Outcome:
    """Train the head, search, train the head again; arguments and errors are those of `train`.

    Returns:
        What the second training gave; seconds are those of everything, with "search" apart.
    """
    common = (task, data, tokenizer, budget, seed)
    first = train(model, method, *common, f"{title}, head")
    started = time.perf_counter()
    rows = data["train"].shuffle(seed=seed)
    rows = by_length(rows.select(range(min(len(rows), method.options["examples"]))))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = loss_meter(model, task, tokenizer, rows, budget, seed, scratch)

        def loss() -> float:
            value = trainer.evaluate()["eval_loss"]
            if not math.isfinite(value):
                raise Diverged(f"the loss is {value} in the search")
            return value

        method.search(model, loss, seed)
    searched = time.perf_counter() - started
    second = train(model, method, *common, title)
    seconds = {part: round(second.seconds[part] + first.seconds[part], 3) for part in second.seconds}
    return replace(second, seconds=seconds | {"search": round(searched, 3)})


def loss_meter(
    model: nn.Module,
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
    budget: Budget,
    seed: int,
    folder: str,
) -> Trainer:
    """Return a trainer that only evaluates: its `evaluate` gives the loss on `rows`, without dropout."""
    arguments = training_arguments(folder, budget, 1, 1, seed, KeepBest("eval_loss", False))
    meter = Trainer(model=model, args=arguments, data_collator=collator(task, tokenizer), eval_dataset=rows)
    meter.remove_callback(PrinterCallback)
    count_no_flops(meter)
    if processes() > 1:
        go_parallel(meter)
    return meter
