"""Probing heads of many settings and seeds, trained at once on stored features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..tasks import Task
from ..training.optimizer import AdamW


def train_heads(
    task: Task,
    features: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    seeds: Sequence[int],
    epochs: int = 30,
    patience: int = 5,
    batch_size: int = 32,
    learning_rate: float = 3e-4,
) -> dict[str, Tensor]:
    """Train a head per setting and seed, all at once, and return their logits by split.

    The heads are adapters' two-layer classification head without its dropout. They share no parameter and AdamW works
    element by element, so this gives what training them one after the other would, from the same initial values and in
    the same order of examples, which the seed decides. Each keeps its best state by validation loss, sought until
    `patience` epochs bring none.

    Args:
        features: `(settings, rows, hidden)` by split; of a multiple-choice task `(settings, rows, choices, hidden)`.
        labels: `(rows,)` by split; of a multi-label task `(rows, classes)`.
        seeds: seeds of initial values and order.

    Returns:
        `(settings, seeds, rows, outputs)` for `validation` and `test`.
    """
    settings, rows, *_, hidden = features["train"].shape
    outputs = 1 if task.kind == "multiple_choice" else task.num_labels
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    initial = [initial_head(hidden, outputs, generator) for generator in generators]
    # One head after the other: all seeds of the first setting, all seeds of the second, ...
    heads = [torch.stack(parts).repeat(settings, 1, 1).requires_grad_() for parts in zip(*initial, strict=True)]
    labels = {split: y.expand(settings, len(seeds), *y.shape) for split, y in labels.items()}
    features = {split: x.unsqueeze(1).expand(-1, len(seeds), *x.shape[1:]) for split, x in features.items()}
    optimizer = AdamW(heads, lr=learning_rate, weight_decay=0.0, fused=True)
    batches = -(-rows // batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (epochs * batches))
    best, best_loss = [head.detach().clone() for head in heads], torch.full((len(heads[0]),), torch.inf)
    waited = torch.zeros(len(heads[0]))
    each_seed = torch.arange(len(seeds)).unsqueeze(1)
    for _ in range(epochs):
        order = torch.stack([torch.randperm(rows, generator=generator) for generator in generators])
        for batch in order.split(batch_size, dim=1):
            x, y = (t["train"][:, each_seed, batch].flatten(0, 1) for t in (features, labels))
            optimizer.zero_grad()
            losses(task, forward(heads, x), y).sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            x, y = (t["validation"].flatten(0, 1) for t in (features, labels))
            loss = losses(task, forward(heads, x), y)
        better = (loss < best_loss) & (waited < patience)
        best_loss = torch.where(better, loss, best_loss)
        for kept, head in zip(best, heads, strict=True):
            kept[better] = head.detach()[better]
        waited = torch.where(better, 0.0, waited + 1.0)
        if (waited >= patience).all():
            break
    with torch.no_grad():
        logits = {split: forward(best, features[split].flatten(0, 1)) for split in ("validation", "test")}
    return {split: values.view(settings, len(seeds), *values.shape[1:]) for split, values in logits.items()}


def initial_head(hidden: int, outputs: int, generator: torch.Generator) -> list[Tensor]:
    """W1, b1, W2, b2 of a head as transformers initialises one; biases are `(1, width)`."""
    first, second = (torch.empty(width, hidden).normal_(0, 0.02, generator=generator) for width in (hidden, outputs))
    return [first, torch.zeros(1, hidden), second, torch.zeros(1, outputs)]


def forward(heads: Sequence[Tensor], x: Tensor) -> Tensor:
    """tanh(x W1 + b1) W2 + b2 of each head: `(heads, rows, hidden)` to `(heads, rows, outputs)`.

    Choices are scored alike, by one output: `(heads, rows, choices, hidden)` to `(heads, rows, choices)`.
    """
    w1, b1, w2, b2 = heads
    hidden = torch.tanh(torch.baddbmm(b1, x.flatten(1, -2), w1.mT))
    logits = torch.baddbmm(b2, hidden, w2.mT)
    return logits.view(x.shape[:-1]) if x.dim() == 4 else logits


def losses(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each head, `(heads,)`: cross-entropy (of each class if multi-label), or squared error."""
    if task.kind == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((1, 2))
    if task.kind == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.float(), reduction="none").mean(1)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(len(logits), -1).mean(1)
