"""Writing one LoRA from matrices, map by map: what folding and reading PEFT's files have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch
from adapters import LoRAConfig
from adapters.methods.lora import LoRALayer
from torch import Tensor, nn

from .block import ScaLearn
from .lora import maps_of, part
from .reading import transfer_layers
from .stacking import output_scaling, spread, stack_projections

_KEYS = {"query": "q", "key": "k", "value": "v"}


class LoRAWeights(NamedTuple):
    """A `(rank, in)` and B `(out, rank)` of one LoRA in one linear map."""

    down: Tensor
    up: Tensor


Place = tuple[LoRALayer, str]
"""A linear map: the layer of adapters, and the kind of map, of which merged projections hold several."""


def fold_loras(model: nn.Module, setup: ScaLearn, configs: Mapping[str, LoRAConfig], name: str) -> None:
    """Add Σ_t ω_t ⊙ (s_t B_t A_t) as one LoRA, in every map that a source changes; its rank is the sum of theirs."""
    folded: dict[Place, LoRAWeights] = {}
    for _, module, layer in transfer_layers(model, setup):
        with torch.no_grad():
            by_source = layer.by_source(module.rows(layer), configs)
            if not by_source:
                continue
            sources = [module.loras[source] for source in by_source]
            down, _, up, _ = stack_projections(sources, partial(part, module, layer.kind))
            omega = torch.stack([*by_source.values()]).to(up.device) * output_scaling(sources)
            folded[module, layer.kind] = LoRAWeights(down, up * spread(omega, [lora.r for lora in sources]))
    add_lora(model, name, folded, like=next(iter(configs.values())))


def add_lora(
    model: nn.Module,
    name: str,
    weights: Mapping[Place, LoRAWeights],
    scaling: float = 1.0,
    like: LoRAConfig | None = None,
) -> None:
    """Add a LoRA of these weights to `model` under `name`, with modules in exactly the maps that they are given for.

    adapters gives a LoRA one rank: where maps differ in it, the narrower ones are filled up with zeros.

    Args:
        weights: by map.
        scaling: the LoRA's own, alpha over the rank, which acts in all maps and is not within B.
        like: the configuration to take all else from, by default adapters' own.
    """
    rank = max(len(down) for down, _ in weights.values())
    modules = {module for module, _ in weights}
    locations = {module.location_key for module in modules}
    alpha = rank * scaling
    layer_of = {m: index for index, layer in model.iter_layers() for m in layer.modules() if isinstance(m, LoRALayer)}
    config = (like or LoRAConfig()).replace(
        r=rank,
        alpha=int(alpha) if alpha == int(alpha) else alpha,
        attn_matrices=[key for kind, key in _KEYS.items() if any(place.endswith(kind) for _, place in weights)],
        leave_out=sorted(set(layer_of.values()) - {layer_of[module] for module in modules}),
        dropout=0.0,
        init_weights="lora",
        **{key: key in locations for key in ("selfattn_lora", "intermediate_lora", "output_lora")},
    )
    model.add_adapter(name, config=config)
    for module in layer_of:
        if name in module.loras and module not in modules:
            module.delete_adapter(name)
    with torch.no_grad():
        for module in modules:
            lora = module.loras[name]
            lora.to(next(down for (place, _), (down, _) in weights.items() if place is module))
            nn.init.zeros_(lora.lora_A)
            nn.init.zeros_(lora.lora_B)
            for kind in maps_of(module, lora):
                if (module, kind) in weights:
                    down, up = weights[module, kind]
                    target = part(module, kind, lora)
                    target.down[: len(down)] = down
                    target.up[:, : len(down)] = up
