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
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor

from ..tasks import Task, get_task
from ..tasks.encoders import load_tokenizer
from ..tasks.metrics import score
from .execution import at_most, encoded, source_versions
from .features import scaled_features, with_fixed_coefficients
from .locks import locked
from .result import code_label
from .run import slug
from .versions import PROBING, UNKNOWN, code_version

ROWS = {"paper": (None, None, None), "medium": (1000, 300, 1000), "quick": (200, 100, 300), "smoke": (16, 8, 16)}
"""Training, validation and test examples at most that a budget probes with; `None` means all."""


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
    initial = [_initial_head(hidden, outputs, generator) for generator in generators]
    # One head after the other: all seeds of the first setting, all seeds of the second, ...
    heads = [torch.stack(parts).repeat(settings, 1, 1).requires_grad_() for parts in zip(*initial, strict=True)]
    labels = {split: y.expand(settings, len(seeds), *y.shape) for split, y in labels.items()}
    features = {split: x.unsqueeze(1).expand(-1, len(seeds), *x.shape[1:]) for split, x in features.items()}
    optimizer = torch.optim.AdamW(heads, lr=learning_rate, weight_decay=0.0, fused=True)
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
            _losses(task, _forward(heads, x), y).sum().backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            x, y = (t["validation"].flatten(0, 1) for t in (features, labels))
            loss = _losses(task, _forward(heads, x), y)
        better = (loss < best_loss) & (waited < patience)
        best_loss = torch.where(better, loss, best_loss)
        for kept, head in zip(best, heads, strict=True):
            kept[better] = head.detach()[better]
        waited = torch.where(better, 0.0, waited + 1.0)
        if (waited >= patience).all():
            break
    with torch.no_grad():
        logits = {split: _forward(best, features[split].flatten(0, 1)) for split in ("validation", "test")}
    return {split: values.view(settings, len(seeds), *values.shape[1:]) for split, values in logits.items()}


def _initial_head(hidden: int, outputs: int, generator: torch.Generator) -> list[Tensor]:
    """W1, b1, W2, b2 of a head as transformers initialises one; biases are `(1, width)`."""
    first, second = (torch.empty(width, hidden).normal_(0, 0.02, generator=generator) for width in (hidden, outputs))
    return [first, torch.zeros(1, hidden), second, torch.zeros(1, outputs)]


def _forward(heads: Sequence[Tensor], x: Tensor) -> Tensor:
    """tanh(x W1 + b1) W2 + b2 of each head: `(heads, rows, hidden)` to `(heads, rows, outputs)`.

    Choices are scored alike, by one output: `(heads, rows, choices, hidden)` to `(heads, rows, choices)`.
    """
    w1, b1, w2, b2 = heads
    hidden = torch.tanh(torch.baddbmm(b1, x.flatten(1, -2), w1.mT))
    logits = torch.baddbmm(b2, hidden, w2.mT)
    return logits.view(x.shape[:-1]) if x.dim() == 4 else logits


def _losses(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean loss of each head, `(heads,)`: cross-entropy (of each class if multi-label), or squared error."""
    if task.kind == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((1, 2))
    if task.kind == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.float(), reduction="none").mean(1)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(len(logits), -1).mean(1)


def store_pairs(
    pairs: pd.DataFrame, made: Mapping[str, dict[str, object]], output: Path, suite: str, encoder: str, budget: str
) -> Path:
    """Add probes of pairs of source adapters, the target's own and a partner's, to those stored for `load_pairs`.

    Stored probes with the same strengths and head are replaced, others stay. The versions of the code and of the source
    adapters' data are stored with them.

    Args:
        pairs: what `probe` returned for two sources, the target's own first.
        made: the results of the source adapters' runs by task.
    """
    file = pairs_file(output, suite, encoder, budget, *pairs.columns[:2])
    about = source_versions(made)
    pairs = pairs.assign(code=code_label({"code": code_version(PROBING)} | about), data=about["source_data"])
    keys = [*pairs.columns[:2], "seed"]
    with locked(file.with_suffix(".lock")):
        every = [read_pairs(file), pairs]
        pairs = pd.concat([frame for frame in every if frame is not None]).drop_duplicates(keys, keep="last")
        temporary = file.with_suffix(".tmp")
        pairs.sort_values(keys).to_csv(temporary, index=False)
        temporary.replace(file)
    return file


def read_pairs(file: Path) -> pd.DataFrame | None:
    """A file of `store_pairs`; `None` where there is none, or a damaged one."""
    try:
        pairs = pd.read_csv(file)
    except (FileNotFoundError, ValueError):  # pandas' errors of parsing are ValueErrors
        return None
    if not {"seed", "score"} <= set(pairs.columns[2:]):
        return None
    for column in {"code", "data"} - set(pairs):  # the first files lack them
        pairs[column] = UNKNOWN
    return pairs


def pairs_file(output: Path, suite: str, encoder: str, budget: str, target: str, partner: str) -> Path:
    """Where the probes of a pair of source adapters lie."""
    return output / "probing" / suite / slug(encoder) / budget / f"{target}+{partner}.csv"


def load_pairs(output: Path, suite: str, encoder: str, budget: str) -> pd.DataFrame:
    """Return all stored probes of pairs.

    Columns: `target`, `partner`, `omega_target`, `omega_partner`, `seed`, `score`, and `code` and `data`, the versions
    that they were made by and from. Damaged files are named in a line and left out.
    """
    columns = "target partner omega_target omega_partner seed score code data".split()
    frames = [pd.DataFrame(columns=columns)]
    for file in sorted((output / "probing" / suite / slug(encoder) / budget).glob("*.csv")):
        frame = read_pairs(file)
        if frame is None:
            print(f"Left out: {file} is no table of probes; remove it and probe again.")
            continue
        target, partner = frame.columns[:2]
        names = {target: "omega_target", partner: "omega_partner"}
        frames.append(frame.rename(columns=names).assign(target=target, partner=partner)[columns])
    return pd.concat(frames[1:] or frames, ignore_index=True)
