"""The vectors that a head reads, for many settings of the coefficients on the same frozen source adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from ..composition import ScaLearn, ScaLearnConfig, init
from ..composition.reading import transfer_layers
from ..methods.fusion import load_sources
from ..tasks import Task
from ..tasks.encoders import load_model
from ..tasks.encoding import EVALUATION_BATCH, collator


def with_fixed_coefficients(encoder: str, sources: Mapping[str, Path]) -> tuple[nn.Module, ScaLearn]:
    """Return a frozen encoder with source adapters under fixed coefficients, all 1 at first, and their active block.

    The encoder lies on the GPU where there is one.

    Args:
        encoder: name of the encoder.
        sources: folders of the source adapters by name.
    """
    model, block = load_model(encoder), ScaLearn(*sources, name="fixed")
    init(model)
    load_sources(model, sources)
    model.add_adapter_fusion(block, ScaLearnConfig(fixed=[1.0] * len(sources)), set_active=True)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), block


@torch.no_grad()
def scaled_features(
    model: nn.Module,
    block: ScaLearn,
    settings: Sequence[Sequence[float]],
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset,
) -> Tensor:
    """Return the last layer's first-token vectors under each setting of a block's fixed coefficients.

    Each batch is padded once for all settings. Features are taken in evaluation mode.

    Args:
        model: an encoder whose active setup is `block`, with fixed coefficients; they end as the last of `settings`.
        settings: one coefficient per source each.
        rows: encoded rows of `task`.

    Returns:
        `(settings, rows, hidden)`, of a multiple-choice task `(settings, rows, choices, hidden)`, in the order of
        `rows`, on the CPU.
    """
    model.eval()
    layers = [layer for _, _, layer in transfer_layers(model, block)]
    values = [torch.tensor(setting, device=model.device).unsqueeze(1) for setting in settings]
    collate = collator(task, tokenizer)
    names = [name for name in tokenizer.model_input_names if name in rows.column_names]
    inputs = rows.select_columns([*names, "labels"])
    choices = (task.num_labels,) if task.kind == "multiple_choice" else ()
    features = torch.empty(len(settings), len(rows), *choices, model.config.hidden_size)
    order = np.argsort(rows["length"][:])[::-1]
    size = EVALUATION_BATCH.get(model.device.type, EVALUATION_BATCH["cpu"])
    title = f"encoding {len(rows)} examples, {len(settings)} settings"
    for start in tqdm(range(0, len(rows), size), desc=title, leave=False, disable=None):
        batch = order[start : start + size]
        encoded = collate([inputs[int(row)] for row in batch])
        encoded = {name: encoded[name].flatten(0, -2).to(model.device) for name in names}
        for number, value in enumerate(values):
            for layer in layers:
                layer.omega.copy_(value)
            hidden = model.base_model(**encoded).last_hidden_state[:, 0].float().cpu()
            features[number, batch.copy()] = hidden.view(len(batch), *features.shape[2:])
    return features
