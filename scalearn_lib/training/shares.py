"""How unevenly sources count while a target learns: the entropy of their shares, layer by layer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
import xarray as xr
from adapters import Fuse
from datasets import Dataset
from scipy.special import entr
from torch import Tensor, nn
from transformers import BatchEncoding, TrainerCallback

from ..composition import ScaLearn, scaling_coefficients
from .history import ENTROPY, RANDOM

ROWS = 32
"""Examples that attention is averaged over."""


class Shares(TrainerCallback):
    """Notes how sources' shares stand before the first step and at each evaluation; numbers stay as they are.

    Args:
        batch: validation examples, which AdapterFusion's attention is averaged over.
    """

    def __init__(self, batch: BatchEncoding) -> None:
        self.batch = batch
        self.by_step: dict[int, dict[str, float]] = {}

    def on_train_begin(self, args, state, control, model, **kwargs) -> None:
        self._note(0, model)

    def on_evaluate(self, args, state, control, model, **kwargs) -> None:
        self._note(state.global_step, model)

    def _note(self, step: int, model: nn.Module) -> None:
        found = shares_of(model, self.batch)
        if found is None:
            return
        noted = {f"{ENTROPY}{layer}": float(value) for layer, value in entropy(found).to_series().items()}
        random = found.sel(source=[name for name in found["source"].values if re.fullmatch(r"random_\d+", name)])
        if random.size:
            noted[RANDOM] = float(random.sum("source").mean())
        self.by_step[step] = {key: round(value, 4) for key, value in noted.items()}

    def beside(self, history: list[dict[str, float]]) -> list[dict[str, float]]:
        """Return a history with the entropies in the entries of their evaluations, the first before all others."""
        start = self.by_step.get(0)
        noted = [entry | (self.by_step.get(entry["step"], {}) if "eval_loss" in entry else {}) for entry in history]
        return [{"step": 0, **start}, *noted] if start else noted


def some_rows(rows: Dataset, collate: Callable[[list[dict]], BatchEncoding]) -> BatchEncoding:
    """Return a batch of at most `ROWS` encoded rows, taken evenly from the first to the last."""
    taken = [*range(0, len(rows), -(-len(rows) // ROWS))]
    keys = {"input_ids", "attention_mask", "token_type_ids", "labels"} & set(rows.column_names)
    return collate(rows.select(taken).select_columns(sorted(keys)).to_list())


def shares_of(model: nn.Module, batch: BatchEncoding) -> xr.DataArray | None:
    """Return each source's share by `layer` and `source`, or `None` where nothing is shared out.

    It is the mean of |ω| over the hidden width, over the sum of all sources'; with AdapterFusion the attention,
    averaged over the tokens of `batch`.

    Args:
        model: with a ScaLearn block or AdapterFusion over several sources for its active setup.
        batch: encoded texts, with padding.
    """
    setup = model.active_adapters
    if not isinstance(setup, Fuse) or len(setup.children) < 2:
        return None
    if isinstance(setup, ScaLearn):
        counts = abs(scaling_coefficients(model, setup)).mean("hidden").fillna(0.0)  # a layer may lack a source
    else:
        attention = _attention(model, batch)
        coords = {"layer": list(attention), "source": list(setup.children)}
        counts = xr.DataArray(torch.stack(list(attention.values())).numpy(), coords, ("layer", "source"))
    return counts / counts.sum("source")


def entropy(shares: xr.DataArray) -> xr.DataArray:
    """Return by `layer` the entropy of shares over the largest there can be: 1 if all count alike."""
    return xr.apply_ufunc(entr, shares).sum("source") / math.log(shares.sizes["source"])


@torch.no_grad()
def _attention(model: nn.Module, batch: BatchEncoding) -> dict[str, Tensor]:
    """AdapterFusion's attention by place, `(sources,)`, averaged over all tokens that are no padding."""
    inputs = {key: value.to(model.device) for key, value in batch.items() if key != "labels"}
    was_training = model.training
    model.eval()
    # The class's own forward: accelerate puts autocast around the model's, and adapters cannot hand out bfloat16.
    output = type(model).forward(model, **inputs, output_adapter_fusion_attentions=True)
    model.train(was_training)
    mask = inputs["attention_mask"].bool().cpu().flatten()
    (layers,) = output.adapter_fusion_attentions.values()
    found = {}
    for layer, places in layers.items():
        for place, weights in places.items():
            name = str(layer) if len(places) == 1 else f"{layer}.{place}"
            found[name] = torch.as_tensor(weights).reshape(len(mask), -1)[mask].mean(0)
    return found
