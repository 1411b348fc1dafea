"""Reading the ScaLearn blocks that a model has: their layers, their coefficients, and how their forward ran."""

from __future__ import annotations

import torch
import xarray as xr
from torch import nn

from .block import ScaLearn, no_block, other_sources
from .layer import ScaLearnLayer
from .transfer import TransferLayer


def transfer_layers(model: nn.Module, setup: ScaLearn | str) -> list[tuple[str, TransferLayer, ScaLearnLayer]]:
    """Return a block's place, adapter layer and ω for each place of the model, first to last.

    Over bottleneck adapters, places are layer indices ("0", "1", ...), followed by the location where a layer has
    adapters in several ("0.mh_adapter"); over LoRAs, the layer and the kind of linear map ("0.query").

    Raises:
        ValueError: the model has no such block, or one over other sources.
    """
    name = setup if isinstance(setup, str) else setup.name
    found = []
    for index, part in model.iter_layers():
        for module in part.modules():
            if isinstance(module, TransferLayer):
                found += [(index, module, layer) for layer in module.scalings(name)]
    if not found:
        raise no_block(name)
    if isinstance(setup, ScaLearn) and setup.sources != found[0][2].sources:
        raise other_sources(name, found[0][2].sources)
    several = len({module.location_key for _, module, _ in found}) > 1
    kinds = [layer.kind or (module.location_key if several else "") for _, module, layer in found]
    return [(f"{i}.{kind}" if kind else str(i), *rest) for (i, *rest), kind in zip(found, kinds, strict=True)]


def scaling_coefficients(model: nn.Module, setup: ScaLearn | str) -> xr.DataArray:
    """Return ω as it applies in evaluation (constrained, no dropout), labelled for plotting.

    Args:
        model: a model that `init` has taught.
        setup: the block, or its name.

    Returns:
        Dimensions `layer`, `source` and `hidden` (of the widest place, or 1 for the uniform variants), float32. Where
        ω is shared (++), every layer of a kind shows the same values; where a source leaves a layer out, and beyond
        the width of a narrower map, NaN.
    """
    layers = transfer_layers(model, setup)
    sources = layers[0][2].sources
    width = max(layer.owner.omega.shape[1] for _, _, layer in layers)
    omega = torch.full((len(layers), len(sources), width), torch.nan)
    for values, (_, module, layer) in zip(omega, layers, strict=True):
        rows = module.rows(layer)
        here = layer.coefficients(rows).detach().float().cpu()
        values[rows, : here.shape[1]] = here
    coords = {"layer": [place for place, _, _ in layers], "source": sources}
    return xr.DataArray(omega.numpy(), dims=("layer", "source", "hidden"), coords=coords, name="omega")


def forward_path(model: nn.Module, setup: ScaLearn | str) -> dict[str, str]:
    """Return, for each transfer layer, how its last forward ran: `"fused"`, or `"loop: "` and the reason."""
    return {place: layer.path for place, _, layer in transfer_layers(model, setup)}
