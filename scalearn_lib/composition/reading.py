"""Reading the ScaLearn blocks that a model has: their layers, their coefficients, and how their forward ran."""

from __future__ import annotations

import torch
import xarray as xr
from adapters.methods.bottleneck import BottleneckLayer
from torch import nn

from .block import ScaLearn
from .layer import ScaLearnLayer


def transfer_layers(model: nn.Module, setup: ScaLearn | str) -> list[tuple[str, BottleneckLayer, ScaLearnLayer]]:
    """Return a block's place, adapter layer and ω for each layer of the model, first to last.

    Places are layer indices ("0", "1", ...), followed by the location where a layer has adapters in several.

    Raises:
        ValueError: the model has no such block, or one over other sources.
    """
    name = setup if isinstance(setup, str) else setup.name
    found = []
    for index, layer in model.iter_layers():
        for module in layer.modules():
            if isinstance(module, BottleneckLayer):
                if isinstance(fusion := module.get_adapter_fusion(name), ScaLearnLayer):
                    found.append((index, module, fusion))
    if not found:
        raise no_block(name)
    if isinstance(setup, ScaLearn) and setup.sources != found[0][2].sources:
        raise other_sources(name, found[0][2].sources)
    several = len({module.location_key for _, module, _ in found}) > 1
    return [(f"{i}.{module.location_key}" if several else str(i), module, fusion) for i, module, fusion in found]


def scaling_coefficients(model: nn.Module, setup: ScaLearn | str) -> xr.DataArray:
    """Return ω as it applies in evaluation (constrained, no dropout), labelled for plotting.

    Args:
        model: a model that `init` has taught.
        setup: the block, or its name.

    Returns:
        Dimensions `layer`, `source` and `hidden` (of the hidden width, or 1 for the uniform variants), float32. Where
        ω is shared (++), every layer shows the same values; where a source leaves a layer out, NaN.
    """
    layers = transfer_layers(model, setup)
    sources = layers[0][2].sources
    omega = torch.full((len(layers), *layers[0][2].owner.omega.shape), torch.nan)
    for values, (_, module, layer) in zip(omega, layers, strict=True):
        rows = [row for row, source in enumerate(sources) if source in module.adapters]
        values[rows] = layer.coefficients(rows).detach().float().cpu()
    coords = {"layer": [place for place, _, _ in layers], "source": sources}
    return xr.DataArray(omega.numpy(), dims=("layer", "source", "hidden"), coords=coords, name="omega")


def forward_path(model: nn.Module, setup: ScaLearn | str) -> dict[str, str]:
    """Return, for each transfer layer, how its last forward ran: `"fused"`, or `"loop: "` and the reason."""
    return {place: layer.path for place, _, layer in transfer_layers(model, setup)}


def no_block(name: str) -> ValueError:
    """Return the error for a block that the model does not have."""
    return ValueError(f"No ScaLearn block named '{name}' on the model: call add_adapter_fusion first.")


def other_sources(name: str, sources: list[str]) -> ValueError:
    """Return the error for a setup that names other sources than the block has coefficients for."""
    return ValueError(
        f"The block '{name}' has coefficients for {', '.join(sources)}: name these sources, in this order."
    )
