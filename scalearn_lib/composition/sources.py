"""Which adapters a ScaLearn block can scale: all of one kind, and each one clear sentence where it cannot."""

from __future__ import annotations

from adapters import BnConfig, LoRAConfig, PrefixTuningConfig, PromptTuningConfig
from adapters.composition import AdapterCompositionBlock, Stack
from adapters.configuration import AdapterConfig, ConfigUnion, MTLLoRAConfig, ReftConfig
from torch import nn

from .block import ScaLearn, scalearn_blocks

# Where an adapter takes its input and its residual is decided once per block, by the last source: all must agree.
_PLACEMENT = (
    *("mh_adapter", "output_adapter", "cross_adapter"),
    *("original_ln_before", "original_ln_after", "residual_before_ln"),
)
SEQUENTIAL, PARALLEL, LORA = "sequential bottleneck adapter", "parallel bottleneck adapter", "LoRA"


def config_of(model: nn.Module, name: str) -> AdapterConfig:
    """Return the configuration of an adapter on the model; that of a model loaded whole is still a dictionary."""
    config = model.adapters_config.get(name)
    return config if isinstance(config, AdapterConfig) else AdapterConfig.load(config)


def kind_of(name: str, config: AdapterConfig) -> str:
    """Return what kind of source an adapter is: `SEQUENTIAL`, `PARALLEL` or `LORA`.

    Raises:
        ValueError: it is none of these, with the reason.
    """
    if isinstance(config, BnConfig):
        return PARALLEL if config.is_parallel else SEQUENTIAL
    reason = _why_no_source(config)
    if reason:
        raise ValueError(f"ScaLearn scales bottleneck adapters and LoRAs, but '{name}' {reason}: train a plain one.")
    return LORA


def _why_no_source(config: AdapterConfig) -> str | None:
    if isinstance(config, LoRAConfig):
        if isinstance(config, MTLLoRAConfig):
            return "is an MTL-LoRA, whose weights depend on the task"
        if config.composition_mode != "add":
            return "is (IA)³, which multiplies what a map gives instead of adding to it"
        if config.vera_d is not None or config.vera_b is not None:
            return "is VeRA, whose projections belong to all layers together"
        if config.use_dora:
            return "is DoRA, which also rescales the frozen weights"
        return "is a gated LoRA, whose output depends on more than its own projections" if config.use_gating else None
    if isinstance(config, PrefixTuningConfig | PromptTuningConfig):
        return "is a prefix or prompt, which lengthens the input instead of adding to what a layer gives"
    if isinstance(config, ReftConfig):
        return "is ReFT, which replaces what a layer gives"
    return "joins several kinds of adapter" if isinstance(config, ConfigUnion) else "is of another kind"


def check_sources(model: nn.Module, setup: ScaLearn) -> None:
    """Raise a ValueError unless the sources are on the model and one block can scale them."""
    missing = [source for source in setup.sources if source not in model.adapters_config]
    if missing:
        raise ValueError(f"Source adapters not on the model: {', '.join(missing)}; add or load them first.")
    configs = {source: config_of(model, source) for source in setup.sources}
    kinds = {source: kind_of(source, config) for source, config in configs.items()}
    first = setup.sources[0]
    for source, config in configs.items():
        if kinds[source] != kinds[first]:
            raise ValueError(
                f"A ScaLearn block takes sources of one kind, but '{first}' is a {kinds[first]} and '{source}' "
                f"a {kinds[source]}: give each kind a block of its own."
            )
        differing = [key for key in _PLACEMENT if config.get(key) != configs[first].get(key)]
        if differing:
            raise ValueError(f"'{source}' and '{first}' differ in {', '.join(differing)}: train them alike.")
    check_stacks(setup, kinds[first])


def check_stacks(setup: AdapterCompositionBlock, kind: str) -> None:
    """Raise a ValueError where a child of a block is a `Stack`, but its kind of source is none that stacks."""
    if kind != SEQUENTIAL and not all(isinstance(child, str) for child in setup):
        raise ValueError(f"A ScaLearn block over {kind}s takes their names, not Stacks: only sequential ones stack.")


def check_block(model: nn.Module, setup: AdapterCompositionBlock | None) -> None:
    """Raise a ValueError where the blocks of a setup cannot run as they are nested in it."""
    config = model.adapters_config
    for block in scalearn_blocks(setup):
        kind = kind_of(block.sources[0], config_of(model, block.sources[0])) if block.sources[0] in config else None
        if kind is None:
            continue  # adapters itself says which adapter the model lacks
        check_stacks(block, kind)
        below = sorted(name for name in block.flatten() if name in config)
        strange = [name for name in below if kind != LORA and not isinstance(config_of(model, name), BnConfig)]
        if strange:
            raise ValueError(f"This ScaLearn block runs over bottleneck adapters, but {', '.join(strange)} is none.")
        around = [child for child in setup if isinstance(child, str)] if isinstance(setup, Stack) else []
        lost = [name for name in around if kind == PARALLEL and isinstance(config_of(model, name), BnConfig)]
        if lost:
            raise ValueError(
                f"Parallel adapters read the layer's own input, so a block over them would drop '{lost[0]}' of its "
                "Stack: activate the block alone."
            )
