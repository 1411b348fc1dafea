"""What the sliders and switches of notebooks 01 and 03 compute, without any widget.

Coefficients act inside every layer, so features are not linear in them. `ScaledPair` therefore stores the features of a
grid of settings, which are exact, and interpolates between them; `SourceSwitches` computes every setting anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from ..composition.reading import transfer_layers
from ..errors import UserError
from ..probing.features import scaled_features, with_fixed_coefficients
from ..tasks import Task
from ..tasks.encoders import load_tokenizer
from ..tasks.encoding import EVALUATION_BATCH, collator
from ..tasks.metrics import score

RIDGE = 0.1
"""Strength of the ridge head, relative to the mean squared length of the features."""


@dataclass(frozen=True)
class ScaledPair:
    """Stored features of two source adapters under a grid of coefficients, and a head that is refitted at once.

    Args:
        task: the target task.
        names: the two sources.
        grid: the stored values of each coefficient, ascending.
        train, test: features `(grid, grid, rows, hidden)`, of a multiple-choice task `(grid, grid, rows, choices,
            hidden)`; the first axis belongs to the first source.
        train_labels, test_labels: the labels.
        rows: the encoded test rows.
    """

    task: Task
    names: tuple[str, str]
    grid: tuple[float, ...]
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor
    rows: Dataset

    def features(self, first: float, second: float) -> tuple[Tensor, Tensor]:
        """Return training and test features at a pair of coefficients: stored, or interpolated bilinearly."""
        (i, a), (j, b) = self._place(first), self._place(second)
        corners = ((i, j, (1 - a) * (1 - b)), (i + 1, j, a * (1 - b)), (i, j + 1, (1 - a) * b), (i + 1, j + 1, a * b))
        mixed = [sum(w * stored[x, y] for x, y, w in corners if w > 0) for stored in (self.train, self.test)]
        return mixed[0], mixed[1]

    def stored(self, first: float, second: float) -> bool:
        """Whether the features at this pair were computed, not interpolated."""
        return all(min(abs(value - g) for g in self.grid) < 1e-6 for value in (first, second))

    def logits(self, first: float, second: float) -> Tensor:
        """Return the test predictions of a ridge regression fitted to the training features at this pair."""
        train, test = self.features(first, second)
        return ridge(self.task, train, self.train_labels, test)

    def score(self, first: float, second: float) -> float:
        """Return the task's primary metric on the test rows at this pair."""
        return self.metric(self.logits(first, second))

    def metric(self, logits: Tensor) -> float:
        """Return the task's primary metric of test logits."""
        return score(self.task, logits.numpy(), self.test_labels.numpy(), self.rows)[self.task.metric]

    def scores(self) -> np.ndarray:
        """Return the score at each stored pair, `(grid, grid)`; the first axis belongs to the first source."""
        return np.array([[self.score(first, second) for second in self.grid] for first in self.grid])

    def _place(self, value: float) -> tuple[int, float]:
        """The stored value below a coefficient, and how far it is on the way to the next, from 0 to 1."""
        if not self.grid[0] - 1e-9 <= value <= self.grid[-1] + 1e-9:
            raise UserError(f"Coefficients lie between {self.grid[0]:g} and {self.grid[-1]:g} here, got {value:g}.")
        index = min(int(np.searchsorted(self.grid, value + 1e-9, side="right")) - 1, len(self.grid) - 2)
        low, high = self.grid[index], self.grid[index + 1]
        share = (value - low) / (high - low)
        return index, 0.0 if share < 1e-6 else 1.0 if share > 1 - 1e-6 else share


def ridge(task: Task, train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Return test logits of a linear head fitted in closed form, in the form that `score` takes.

    Classes are learned as targets of 1 and -1, scores as they are. With fewer rows than dimensions the dual form is the
    small one; either way it takes milliseconds.
    """
    if task.kind == "multiple_choice":
        labels = torch.nn.functional.one_hot(labels, train.shape[1]).flatten()[:, None]
    elif task.kind == "regression":
        labels = labels[:, None]
    elif task.kind != "multi_label":
        labels = torch.nn.functional.one_hot(labels, task.num_labels)
    targets = labels.float() if task.kind == "regression" else 2 * labels.float() - 1
    x, y = train.flatten(0, -2), test.flatten(0, -2)
    center, offset = x.mean(0), targets.mean(0)
    x, y = x - center, y - center
    kernel = x @ x.T
    kernel.diagonal().add_(RIDGE * kernel.diagonal().mean() + 1e-6)
    logits = y @ (x.T @ torch.linalg.solve(kernel, targets - offset)) + offset
    return logits.view(test.shape[:-1]) if task.kind == "multiple_choice" else logits


def encode_pair(
    task: Task, data: Mapping[str, Dataset], encoder: str, sources: Mapping[str, Path], grid: Sequence[float]
) -> ScaledPair:
    """Encode training and test rows under every pair of coefficients of a grid.

    Args:
        task: the target task.
        data: encoded splits, of which `train` and `test` are used.
        encoder: name of the encoder.
        sources: folders of the two source adapters by name.
        grid: the values to store, at least two.

    Raises:
        UserError: there are not two sources, or not two values.
    """
    values = tuple(sorted(set(map(float, grid))))
    if len(sources) != 2 or len(values) < 2:
        raise UserError(f"A pair needs two sources and at least two values; got {len(sources)} and {len(values)}.")
    (model, block), tokenizer = with_fixed_coefficients(encoder, sources), load_tokenizer(encoder)
    settings = [(first, second) for first in values for second in values]
    stored, labels = {}, {}
    for split in ("train", "test"):
        features = scaled_features(model, block, settings, task, tokenizer, data[split])
        stored[split] = features.view(len(values), len(values), *features.shape[1:])
        labels[split] = torch.tensor(data[split]["labels"][:])
    return ScaledPair(
        task,
        tuple(sources),
        values,
        stored["train"],
        stored["test"],
        labels["train"],
        labels["test"],
        data["test"],
    )


@dataclass
class SourceSwitches:
    """A trained ScaLearn model whose sources can be switched off: their coefficients are 0 then, in all layers.

    Every setting is computed by the model itself and remembered.

    Args:
        model: a trained model, its block and head active; between calls its coefficients are as learned.
        block: the block's name.
        task: the task that the active head predicts.
        encoder: the model's encoder, for its tokenizer.
        rows: encoded rows to score.
    """

    model: nn.Module
    block: str
    task: Task
    encoder: str
    rows: Dataset
    _known: dict[frozenset[str], float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        layers = [layer for _, _, layer in transfer_layers(self.model, self.block)]
        if layers[0].config.constraint:
            raise UserError(
                f"The coefficients of '{self.block}' are constrained: a source cannot be switched off by 0."
            )
        self._omegas = {id(layer.owner): layer.owner.omega for layer in layers}.values()
        self.sources = layers[0].sources
        tokenizer = load_tokenizer(self.encoder)
        names = [name for name in tokenizer.model_input_names if name in self.rows.column_names]
        collate, inputs = collator(self.task, tokenizer), self.rows.select_columns([*names, "labels"])
        size = EVALUATION_BATCH["cpu"]  # few rows: any device takes them
        starts = range(0, len(inputs), size)
        batches = [collate([inputs[i] for i in range(s, min(s + size, len(inputs)))]) for s in starts]
        self.batches = [{name: batch[name].to(self.model.device) for name in names} for batch in batches]

    @torch.no_grad()
    def score(self, on: Collection[str]) -> float:
        """Return the task's primary metric with only the sources in `on`.

        Raises:
            UserError: there is no such source.
        """
        strange = sorted(set(on) - set(self.sources))
        if strange:
            raise UserError(f"No source adapter {', '.join(strange)}; there are {', '.join(self.sources)}.")
        key = frozenset(on)
        if key not in self._known:
            learned = [omega.detach().clone() for omega in self._omegas]
            keep = torch.tensor([[float(source in key)] for source in self.sources])
            try:
                for omega in self._omegas:
                    omega.mul_(keep.to(omega.device))
                logits = torch.cat([self.model(**batch).logits.float().cpu() for batch in self.batches])
            finally:
                for omega, before in zip(self._omegas, learned, strict=True):
                    omega.copy_(before)
            labels = np.array(self.rows["labels"][:])
            self._known[key] = score(self.task, logits.numpy(), labels, self.rows)[self.task.metric]
        return self._known[key]

    def without_each(self) -> dict[str, float]:
        """Return the score without each source in turn, by its name."""
        return {source: self.score(set(self.sources) - {source}) for source in self.sources}
