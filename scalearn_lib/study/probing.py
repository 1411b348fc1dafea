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
from transformers import PreTrainedTokenizerBase

from ..composition import ScaLearn, ScaLearnConfig, init
from ..methods.fusion import load_sources
from ..tasks import Task, get_task
from ..tasks.encoders import load_model, load_tokenizer
from ..tasks.encoding import collator
from ..tasks.metrics import score
from .execution import at_most, encoded
from .run import slug

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
            features[split].append(first_token_features(model, task, tokenizer, rows))
        model.delete_adapter_fusion(block)
    stacked = {split: torch.stack(parts) for split, parts in features.items()}
    labels = {split: torch.tensor(rows["labels"][:]) for split, rows in data.items()}
    rows = []
    for seed in seeds:
        logits = train_heads(task, stacked, labels, seed)
        for index, setting in enumerate(settings):
            scores = {
                split: score(task, logits[split][index].numpy(), labels[split].numpy(), data[split])[task.metric]
                for split in ("validation", "test")
            }
            row = dict(zip(sources, setting, strict=True)) | {"seed": seed, "score": scores["test"]}
            rows.append(row | {"validation": scores["validation"]})
    return pd.DataFrame(rows)


@torch.no_grad()
def first_token_features(model: nn.Module, task: Task, tokenizer: PreTrainedTokenizerBase, rows: Dataset) -> Tensor:
    """Return the last layer's first-token vectors, which the head reads, in the order of `rows`.

    Returns:
        `(rows, hidden)`, of a multiple-choice task `(rows, choices, hidden)`.
    """
    model.eval()
    collate = collator(task, tokenizer)
    order = np.argsort(rows["length"])[::-1]
    names = [name for name in tokenizer.model_input_names if name in rows.column_names]
    inputs = rows.select_columns([*names, "labels"])
    shape = (len(rows), task.num_labels) if task.kind == "multiple_choice" else (len(rows),)
    features = torch.empty(*shape, model.config.hidden_size)
    for start in range(0, len(rows), 64):
        batch = order[start : start + 64]
        encoded = collate([inputs[int(i)] for i in batch])
        flat = {name: encoded[name].flatten(0, -2).to(model.device) for name in names}
        hidden = model.base_model(**flat).last_hidden_state[:, 0].float().cpu()
        features[batch.copy()] = hidden.view(len(batch), *features.shape[1:])
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
        features: `(settings, rows, hidden)` by split; of a multiple-choice task `(settings, rows, choices, hidden)`.
        labels: `(rows,)` by split; of a multi-label task `(rows, classes)`.
    """
    settings, rows, *_, hidden = features["train"].shape
    generator = torch.Generator().manual_seed(seed)
    outputs = 1 if task.kind == "multiple_choice" else task.num_labels
    first, second = nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)
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
    """tanh(x W1 + b1) W2 + b2 of each setting: `(settings, rows, hidden)` to `(settings, rows, outputs)`.

    Choices are scored alike, by one output: `(settings, rows, choices, hidden)` to `(settings, rows, choices)`.
    """
    w1, b1, w2, b2 = heads
    hidden = torch.tanh(torch.baddbmm(b1.unsqueeze(1), x.flatten(1, -2), w1.mT))
    logits = torch.baddbmm(b2.unsqueeze(1), hidden, w2.mT)
    return logits.view(x.shape[:-1]) if x.dim() == 4 else logits


def _losses(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each setting, `(settings,)`: cross-entropy (of each class if multi-label), or squared error."""
    labels = labels.expand(len(logits), *labels.shape)
    if task.kind == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((1, 2))
    if task.kind == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.float(), reduction="none").mean(1)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(len(logits), -1).mean(1)


def store_pairs(pairs: pd.DataFrame, output: Path, suite: str, encoder: str, budget: str) -> Path:
    """Store the probes of pairs of source adapters, the target's own and a partner's, for `load_pairs`.

    Args:
        pairs: what `probe` returned for two sources, the target's own first.
    """
    target, partner = pairs.columns[:2]
    file = output / "probing" / suite / slug(encoder) / budget / f"{target}+{partner}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    pairs.to_csv(temporary, index=False)
    temporary.replace(file)
    return file


def load_pairs(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored probes of pairs: `target`, `partner`, `omega_target`, `omega_partner`, `seed`, `score`."""
    frames = [pd.DataFrame(columns=["target", "partner", "omega_target", "omega_partner", "seed", "score"])]
    for file in sorted((output / "probing" / suite / slug(encoder) / budget).glob("*.csv")):
        frame = pd.read_csv(file)
        target, partner = frame.columns[:2]
        names = {target: "omega_target", partner: "omega_partner"}
        frames.append(frame.rename(columns=names).assign(target=target, partner=partner)[frames[0].columns])
    return pd.concat(frames[1:] or frames, ignore_index=True)
