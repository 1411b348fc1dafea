"""How much each source adapter of a trained ScaLearn model adds: the mean of |ω| |o| over training texts."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import pandas as pd
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from ..composition import ScaLearn, ScaLearnConfig
from ..composition.layer import ScaLearnLayer
from ..composition.reading import transfer_layers
from ..tasks import Task
from ..tasks.encoding import EVALUATION_BATCH, collator


@torch.no_grad()
def source_sizes(
    model: nn.Module, block: ScaLearn, task: Task, tokenizer: PreTrainedTokenizerBase, rows: Dataset
) -> pd.Series:
    """Return mean |ω| |o| by source, the largest first; a layer that lacks a source counts as 0 for it.

    Measured in evaluation mode and the model's own precision, over layers, tokens that are no padding, and the hidden
    width. Of equal sources the earlier in the block comes first.

    Args:
        model: a trained model whose active setup is `block`; it is moved to the GPU where there is one.
        rows: encoded rows of `task`.
    """
    model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    places = [(module.rows(layer), layer) for _, module, layer in transfer_layers(model, block)]
    configs = [layer.config for _, layer in places]
    sizes, tokens = torch.zeros(len(block.sources), dtype=torch.float64), 0

    def see(layer: ScaLearnLayer, here: Sequence[int], omega: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        for row, omega_t, output in zip(here, omega, outputs, strict=True):  # output: (batch, tokens, hidden)
            sizes[row] += (omega_t * output)[mask].abs().double().mean(-1).sum().cpu()
        return ScaLearnLayer.loop(layer, omega, outputs)

    try:
        for here, layer in places:  # source by source, so that each output is there
            layer.config = ScaLearnConfig.load(layer.config, fused=False)
            layer.loop = functools.partial(see, layer, here)
        for batch in text_batches(task, tokenizer, rows, model.device):
            mask = batch["attention_mask"].bool()
            tokens += int(mask.sum())
            model.base_model(**batch)
    finally:
        for (_, layer), config in zip(places, configs, strict=True):
            layer.config = config
            vars(layer).pop("loop", None)
    values = pd.Series((sizes / (tokens * len(places))).numpy(), index=block.sources)
    return values.sort_values(ascending=False, kind="stable")


def text_batches(
    task: Task, tokenizer: PreTrainedTokenizerBase, rows: Dataset, device: torch.device
) -> list[dict[str, Tensor]]:
    """Return encoded rows as an encoder's inputs, `(texts, tokens)` each, padded by batch; each choice is a text."""
    names = [name for name in tokenizer.model_input_names if name in rows.column_names]
    inputs, collate = rows.select_columns([*names, "labels"]), collator(task, tokenizer)
    size = EVALUATION_BATCH.get(device.type, EVALUATION_BATCH["cpu"])
    batches = [collate([inputs[i] for i in range(s, min(s + size, len(rows)))]) for s in range(0, len(rows), size)]
    return [{name: batch[name].flatten(0, -2).to(device) for name in names} for batch in batches]
