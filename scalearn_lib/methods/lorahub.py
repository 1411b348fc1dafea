"""LoraHub (Huang et al., 2023): one weight per source LoRA, found without gradients.

One LoRA with A = Σ w_t A_t and B = Σ w_t B_t runs: both factors are weighted, so products of different sources' factors
appear, and a source alone counts by w². The paper's model is a sequence-to-sequence one without heads; here the head
has to learn, and does so before and after the search (see `training/searched.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nevergrad
import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

import scalearn_lib.composition as composition

from ..tasks import Task
from .base import add_head
from .single import LearnedState
from .sources import load_sources


class LoraHub(LearnedState):
    """T weights for T source LoRAs, which start at 0; they count as learned although no gradient reaches them.

    Options:
        evaluations: candidates that are tried.
        bound: the largest weight, and with a minus the smallest.
        penalty: factor of the weights' mean absolute value in what is minimised.
        examples: training rows at most whose loss is minimised.
    """

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        (task,) = tasks
        composition.init(model)
        load_sources(model, sources)
        model.source_weights = nn.Parameter(torch.zeros(len(sources)))
        add_head(model, task)
        self.mix(model)

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        return self.name

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        super().load(model, tasks, folder)
        self.mix(model)

    def mix(self, model: nn.Module) -> None:
        """Run one LoRA mixed from the sources by the model's weights; head and weights are left to learn."""
        sources = [name for name in model.adapters_config.adapters if name != self.name]
        if self.name in model.adapters_config:
            model.delete_adapter(self.name)
        weights = model.source_weights.tolist()
        model.average_adapter(self.name, sources, weights, normalize_weights=False, set_active=True)
        model.base_model.freeze_model(True)

    def search(self, model: nn.Module, loss: Callable[[], float], seed: int) -> None:
        """Set the weights to the best that nevergrad's NGOpt finds: least loss + penalty · mean |w|.

        Args:
            model: a prepared model whose head has learned.
            loss: gives the loss of the model as it is.
            seed: of the search.
        """
        bound, evaluations = self.options["bound"], self.options["evaluations"]
        space = nevergrad.p.Array(init=np.zeros(len(model.source_weights)), lower=-bound, upper=bound)
        space.random_state.seed(seed)
        bar = tqdm(total=evaluations, desc="search", unit="mix", leave=False, disable=None)

        def objective(weights: np.ndarray) -> float:
            with torch.no_grad():
                model.source_weights.copy_(torch.from_numpy(weights))
            self.mix(model)
            bar.update()
            return loss() + self.options["penalty"] * float(np.abs(weights).mean())

        with bar, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # nevergrad hands SciPy's COBYLA a tolerance that it mends
            found = nevergrad.optimizers.NGOpt(space, budget=evaluations).minimize(objective).value
        with torch.no_grad():
            model.source_weights.copy_(torch.from_numpy(found))
        self.mix(model)
