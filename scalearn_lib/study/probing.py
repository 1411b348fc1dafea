"""The paper's scaling analysis: fixed coefficients on source adapters, and a head as the only thing that learns.

Encoder and adapters are frozen, so each example is encoded once per setting of the coefficients, and the heads of all
settings are trained at once on the stored features. Features are taken in evaluation mode: the encoder's own dropout,
which is on in the paper's runs, is off here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..composition import ScaLearn, ScaLearnConfig, init
from ..methods.fusion import load_sources
from ..tasks import Task, get_task
from ..tasks.encoders import load_model, load_tokenizer
from ..tasks.metrics import score
from .execution import at_most, encoded

ROWS = {"paper": (None, None, None), "quick": (200, 100, 300), "smoke": (16, 8, 16)}
"""Training, validation and test examples at most that a budget probes with; `None` means all."""


def probing_data(suite: str, task: str, encoder: str, budget: str) -> dict[str, Dataset]:
    """Return the encoded splits of a task, cut to the budget's sizes by a fixed draw."""
    data = encoded(get_task(suite, task), encoder)
    sizes = zip(("train", "validation", "test"), ROWS[budget], strict=True)
    return {split: at_most(data[split], size) for split, size in sizes}


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
    model, tokenizer = load_model(encoder), load_tokenizer(encoder)
    init(model)
    load_sources(model, sources)
    features = {split: [] for split in data}
    for number, setting in enumerate(tqdm(settings, desc="encoding settings", leave=False, disable=None)):
        block = ScaLearn(*sources, name=f"fixed{number}")
        model.add_adapter_fusion(block, ScaLearnConfig(fixed=list(setting)), set_active=True)
        for split, rows in data.items():
            features[split].append(first_token_features(model, tokenizer, rows))
        model.delete_adapter_fusion(block)
    stacked = {split: torch.stack(parts) for split, parts in features.items()}
    labels = {split: torch.tensor(rows["labels"]) for split, rows in data.items()}
    rows = []
    for seed in seeds:
        logits = train_heads(task, stacked, labels, seed)
        for index, setting in enumerate(settings):
            scores = {
                split: score(task, logits[split][index].numpy(), labels[split].numpy())[task.metric]
                for split in ("validation", "test")
            }
            row = dict(zip(sources, setting, strict=True)) | {"seed": seed, "score": scores["test"]}
            rows.append(row | {"validation": scores["validation"]})
    return pd.DataFrame(rows)


@torch.no_grad()
def first_token_features(model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: Dataset) -> Tensor:
    """Return the last layer's first-token vectors `(rows, hidden)`, which the head reads, in the order of `rows`."""
    model.eval()
    collate = DataCollatorWithPadding(tokenizer)
    order = np.argsort(rows["length"])[::-1]
    inputs = rows.select_columns([name for name in tokenizer.model_input_names if name in rows.column_names])
    features = torch.empty(len(rows), model.config.hidden_size)
    for start in range(0, len(rows), 64):
        batch = order[start : start + 64]
        encoded = collate([inputs[int(i)] for i in batch])
        features[batch.copy()] = model.base_model(**encoded.to(model.device)).last_hidden_state[:, 0].float().cpu()
    return features


def train_heads(
    task: Task,
    features: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    seed: int,
    epochs: int = 30,
    patience: int = 5,
    batch_size: int = 32,
    learning_rate: float = 3e-4,
) -> dict[str, Tensor]:
    """Train one head per setting, all at once, and return their logits `(settings, rows, outputs)` by split.

    The heads are adapters' two-layer classification head without its dropout. They share no parameter and AdamW works
    element by element, so this gives what training them one after the other would, from the same initial values and in
    the same order of examples. Each keeps its best state by validation loss, sought until `patience` epochs bring none.

    Args:
        features: `(settings, rows, hidden)` by split.
        labels: `(rows,)` by split.
    """
    settings, rows, hidden = features["train"].shape
    generator = torch.Generator().manual_seed(seed)
    first, second = nn.Linear(hidden, hidden), nn.Linear(hidden, task.num_labels)
    for linear in (first, second):  # as transformers initialises heads
        linear.weight.data.normal_(0, 0.02, generator=generator)
        linear.bias.data.zero_()
    heads = [
        p.detach().expand(settings, *p.shape).clone() for p in (first.weight, first.bias, second.weight, second.bias)
    ]
    heads = [head.requires_grad_() for head in heads]
    optimizer = torch.optim.AdamW(heads, lr=learning_rate, weight_decay=0.0, fused=True)
    batches = -(-rows // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (epochs * batches))
    best, best_loss = [head.detach().clone() for head in heads], torch.full((settings,), torch.inf)
    waited = torch.zeros(settings)
    for _ in range(epochs):
        for batch in torch.randperm(rows, generator=generator).split(batch_size):
            optimizer.zero_grad()
            _losses(task, _forward(heads, features["train"][:, batch]), labels["train"][batch]).sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            loss = _losses(task, _forward(heads, features["validation"]), labels["validation"])
        better = (loss < best_loss) & (waited < patience)
        best_loss = torch.where(better, loss, best_loss)
        for kept, head in zip(best, heads, strict=True):
            kept[better] = head.detach()[better]
        waited = torch.where(better, 0.0, waited + 1.0)
        if (waited >= patience).all():
            break
    with torch.no_grad():
        return {split: _forward(best, features[split]) for split in ("validation", "test")}


def _forward(heads: Sequence[Tensor], x: Tensor) -> Tensor:
    """tanh(x W1 + b1) W2 + b2 of each setting: `(settings, rows, hidden)` to `(settings, rows, outputs)`."""
    w1, b1, w2, b2 = heads
    x = torch.tanh(torch.baddbmm(b1.unsqueeze(1), x, w1.mT))
    return torch.baddbmm(b2.unsqueeze(1), x, w2.mT)


def _losses(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each setting, `(settings,)`: cross-entropy, or squared error for regression."""
    labels = labels.expand(len(logits), -1)
    if task.kind == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.float(), reduction="none").mean(1)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(len(logits), -1).mean(1)
