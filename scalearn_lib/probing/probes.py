"""The paper's scaling analysis: fixed coefficients on source adapters, and a head as the only thing that learns.

Encoder and adapters are frozen, so each example is encoded once per setting of the coefficients, and the heads of all
settings are trained at once on the stored features. Features are taken in evaluation mode: the encoder's own dropout,
which is on in the paper's runs, is off here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import pandas as pd
import torch
from datasets import Dataset

from ..runs.data import at_most, encoded
from ..runs.execution import execute, weights_of
from ..runs.locks import sole_maker
from ..tasks import Task, get_task
from ..tasks.encoders import load_tokenizer
from ..tasks.metrics import score
from .features import scaled_features, with_fixed_coefficients
from .heads import train_heads
from .pairs import ROWS, Probe
from .store import store_pairs


def probing_data(suite: str, task: str, encoder: str, budget: str) -> dict[str, Dataset]:
    """Return the encoded splits of a task, cut to the budget's sizes by a fixed draw."""
    data = encoded(get_task(suite, task), encoder)
    sizes = zip(("train", "validation", "test"), ROWS[budget], strict=True)
    return {split: at_most(data[split], size) for split, size in sizes}


@torch.inference_mode(False)
@torch.enable_grad()  # heads learn, wherever this is called
def probe(
    task: Task,
    data: Mapping[str, Dataset],
    encoder: str,
    sources: Mapping[str, Path],
    settings: Sequence[Sequence[float]],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Train a probing head for every setting of the coefficients and every seed.

    Args:
        task: the target task.
        data: encoded splits `train`, `validation` and `test`.
        encoder: name of the encoder.
        sources: folders of the source adapters by name; a setting has one coefficient for each, in this order.
        settings: the coefficients to try, such as `[(0.0,), (0.5,), (1.0,)]`.
        seeds: seeds of the heads' initial values and of the order of examples.

    Returns:
        One row per setting and seed: a column per source with its coefficient, `seed`, `score` (the task's primary
        metric on test) and `validation`.
    """
    (model, block), tokenizer = with_fixed_coefficients(encoder, sources), load_tokenizer(encoder)
    features = {split: scaled_features(model, block, settings, task, tokenizer, rows) for split, rows in data.items()}
    labels = {split: torch.tensor(rows["labels"][:]) for split, rows in data.items()}
    logits = train_heads(task, features, labels, seeds)
    rows = []
    for (number, setting), (place, seed) in product(enumerate(settings), enumerate(seeds)):
        scores = {
            split: score(task, logits[split][number, place].numpy(), labels[split].numpy(), data[split])[task.metric]
            for split in ("validation", "test")
        }
        row = dict(zip(sources, setting, strict=True)) | {"seed": seed, "score": scores["test"]}
        rows.append(row | {"validation": scores["validation"]})
    return pd.DataFrame(rows)


def execute_probe(wanted: Probe, output: Path) -> Path:
    """Return the file of a probe: the stored one, or one that this probe is added to now.

    Raises:
        UserError: as `execute`, for the source adapters.
    """
    file = wanted.file(output)
    made = {name: execute(source, output, "adapter") for name, source in wanted.sources().items()}
    with sole_maker(file):
        if not wanted.is_stored(output):
            data = probing_data(wanted.suite, wanted.target, wanted.encoder, wanted.budget)
            settings = list(product(wanted.grid, repeat=2))
            target = get_task(wanted.suite, wanted.target)
            for seed, heads in wanted.heads_by_adapters().items():
                runs = {name: run for (name, of), run in wanted.sources().items() if of == seed}
                folders = {name: weights_of(run, output) for name, run in runs.items()}
                scores = probe(target, data, wanted.encoder, folders, settings, heads)
                results = {name: made[name, seed] for name in runs}
                store_pairs(scores, results, output, wanted.suite, wanted.encoder, wanted.budget)
    return file
