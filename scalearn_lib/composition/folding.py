"""A trained ScaLearn block as one plain adapter: the fused forward's algebra, written down for good."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from adapters import BnConfig, LoRAConfig
from torch import nn

from .block import ScaLearn
from .layer import why_not_plain
from .lora_weights import fold_loras
from .reading import transfer_layers
from .sources import config_of
from .stacking import output_scaling, spread, stack_projections


def fold(model: nn.Module, setup: ScaLearn, name: str, sources: Collection[str] | None = None) -> None:
    """Add the block's equal to `model` under `name`: one plain adapter of the sources' own kind.

    In evaluation mode it gives the block's numbers, whatever the widths or ranks of the sources; its own is their sum.
    It needs nothing of this package: `save_adapter` it, and load it with adapters alone; a folded LoRA can also be
    merged into the frozen weights by `merge_adapter`, and written for PEFT by `save_peft`.

    Args:
        model, setup: the model and its block.
        name: of the new adapter.
        sources: fold only these, as if the coefficients of all others were 0 (pruning); all by default.

    Raises:
        ValueError: the block is not on the model, `name` is taken, `sources` are none or not the block's, or they
            cannot be expressed by one plain adapter (Stacks; layer norm, gating or activation of their own).
    """
    if not all(isinstance(child, str) for child in setup):
        raise ValueError("A ScaLearn block over Stacks cannot be folded: a stacked adapter feeds the next one.")
    if name in model.adapters_config:
        raise ValueError(f"The model has an adapter named '{name}' already: fold into another name.")
    wanted = set(setup.sources if sources is None else sources)
    if not wanted or not wanted <= set(setup.sources):
        strange = ", ".join(sorted(wanted - set(setup.sources))) or "none"
        raise ValueError(f"sources must be some of the block's, {', '.join(setup.sources)}, not {strange}.")
    missing = [source for source in setup.sources if source not in model.adapters_config]
    if missing:
        raise ValueError(f"Source adapters not on the model: {', '.join(missing)}; they were deleted.")
    configs = {source: config_of(model, source) for source in setup.sources if source in wanted}
    if isinstance(next(iter(configs.values())), LoRAConfig):
        fold_loras(model, setup, configs, name)
    else:
        _fold_bottlenecks(model, setup, configs, name)


def _fold_bottlenecks(model: nn.Module, setup: ScaLearn, configs: Mapping[str, BnConfig], name: str) -> None:
    if any(config.inv_adapter for config in configs.values()):
        raise ValueError("A block over sources with invertible adapters cannot be folded: those act on embeddings.")
    folded = {}
    for _, module, layer in transfer_layers(model, setup):
        omega = layer.by_source(module.rows(layer), configs)
        sources = [module.adapters[source] for source in omega]
        if not sources:
            continue
        reason = why_not_plain(sources)
        if reason:
            raise ValueError(f"The sources cannot be folded into one plain adapter: {reason}.")
        with torch.no_grad():
            folded[module] = _fold_layer(torch.stack([*omega.values()]), sources)

    widths = {module: (module.model_config.hidden_size, len(down)) for module, (down, _, _, _) in folded.items()}
    factors = {str(module.layer_idx): reduction_factor(*sizes) for module, sizes in widths.items()}
    model.add_adapter(name, config=_plain_config([*configs.values()], factors))
    with torch.no_grad():
        for module, weights in folded.items():
            adapter = module.adapters[name].to(weights[0])
            linears = adapter.adapter_down[0], adapter.adapter_up
            targets = (linears[0].weight, linears[0].bias, linears[1].weight, linears[1].bias)
            for target, value in zip(targets, weights, strict=True):
                target.copy_(value)


def _fold_layer(omega: torch.Tensor, sources: list[nn.Module]) -> tuple[torch.Tensor, ...]:
    """Return the folded D, its bias, [diag(ω_1) U_1 … diag(ω_T) U_T] and Σ_t ω_t ⊙ b_t."""
    down, down_bias, up, up_bias = stack_projections(sources)
    omega = omega * output_scaling(sources)
    widths = [source.adapter_up.in_features for source in sources]
    return down, down_bias, up * spread(omega, widths), (omega * up_bias).sum(0)


def _plain_config(configs: list[BnConfig], factors: dict[str, float]) -> BnConfig:
    """The sources' configuration with the folded widths, in every layer where any of them has a module."""
    everywhere = set(configs[0].leave_out).intersection(*(c.leave_out for c in configs[1:]))
    same = len(set(factors.values())) == 1
    return configs[0].replace(
        reduction_factor=next(iter(factors.values())) if same else factors,
        leave_out=sorted(everywhere),
        scaling=1.0,
        dropout=0.0,
    )


def reduction_factor(hidden: int, width: int) -> float:
    """Return a factor for which adapters' `int(hidden // factor)` is exactly `width`.

    The plain quotient can fall one short (384 // (384 / 168) is 167), so the factor aims at half a unit more.
    """
    factor = hidden / width
    return factor if int(hidden // factor) == width else hidden / (width + 0.5)
