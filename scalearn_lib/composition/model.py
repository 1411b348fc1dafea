"""Teaching an adapters model the ScaLearn block. All that adapters must learn is here; loading.py has its loader."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import adapters
import torch
from adapters.composition import Fuse, parse_composition
from adapters.methods.adapter_layer_base import ComposableAdapterLayerBase
from adapters.methods.bottleneck import BottleneckLayer
from adapters.methods.lora import LoRALinear, LoRAMergedLinear
from adapters.model_mixin import ModelAdaptersMixin
from adapters.wrappers.configuration import init_adapters_config
from torch import Tensor, nn
from transformers import PretrainedConfig

from .block import ScaLearn, no_block, other_sources, scalearn_blocks
from .bottleneck import ScaLearnBottleneckLayer
from .config import ARCHITECTURE, VARIANTS, as_scalearn
from .layer import ScaLearnLayer
from .lora import ScaLearnLoRALayer, ScaLearnLoRALinear, ScaLearnLoRAMergedLinear, name_maps
from .reading import transfer_layers
from .sources import check_block, check_sources

_TAUGHT = {
    BottleneckLayer: ScaLearnBottleneckLayer,
    LoRALinear: ScaLearnLoRALinear,
    LoRAMergedLinear: ScaLearnLoRAMergedLinear,
}


def init(model: nn.Module) -> None:
    """Teach `model` the ScaLearn block, once; a plain transformers model goes through `adapters.init` first.

    Adapters, AdapterFusion and everything else on the model keep working as before.

    Raises:
        ValueError: the model has no place for bottleneck adapters or LoRAs.
    """
    adapters.init(model)
    layers = [module for module in model.modules() if isinstance(module, tuple(_TAUGHT))]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no place for bottleneck adapters or LoRAs, so ScaLearn cannot be used on it."
        )
    for layer in layers:
        _extend(layer, next(mixin for kind, mixin in _TAUGHT.items() if isinstance(layer, kind)))
    name_maps(model)
    for module in model.modules():
        if isinstance(module, ComposableAdapterLayerBase):  # prefixes too: one may lie below a block in a Stack
            module.composition_to_func_map[ScaLearn] = "compose_fuse"
    for part in {id(m): m for m in (model, model.base_model)}.values():
        _extend(part, ScaLearnModelMixin)


def _extend(module: nn.Module, mixin: type) -> None:
    if not isinstance(module, mixin):
        module.__class__ = _extended(mixin, type(module))


@functools.cache
def _extended(mixin: type, cls: type) -> type:
    # The class keeps its names: transformers looks up what a model's class can record by them.
    return type(cls.__name__, (mixin, cls), {"__module__": cls.__module__, "__qualname__": cls.__qualname__})


class ScaLearnModelMixin:
    """What a model of adapters additionally does for ScaLearn, under adapters' own method names."""

    def add_adapter_fusion(
        self,
        adapter_names: Fuse | list[str] | str,
        config: object = None,
        name: str | None = None,
        overwrite_ok: bool = False,
        set_active: bool = False,
    ) -> None:
        """Add a ScaLearn block (for a ScaLearn setup or configuration) or plain AdapterFusion, as adapters does.

        Args:
            adapter_names: the setup, `ScaLearn(...)`; or, with a ScaLearn config, a list or comma-separated names.
            config: a variant's name, a `ScaLearnConfig` or its dictionary; `"scalearn"` for a ScaLearn setup.
            name: name of the block, by default that of the setup.
            overwrite_ok: replace a block of that name; if it was active, it stays so unless its sources change.

        Raises:
            ValueError: sources missing, named twice or of different placement, an unknown or unfitting configuration,
                a name that is taken or that no module can have. The model is unchanged then.
        """
        is_block = isinstance(adapter_names, ScaLearn)
        config = "scalearn" if is_block and config is None else config
        scalearn = as_scalearn(config)
        if scalearn is None:
            if is_block:
                raise ValueError(f"A ScaLearn setup needs a ScaLearn configuration, not {config!r}.")
            return super().add_adapter_fusion(adapter_names, config, name, overwrite_ok, set_active)
        sources = adapter_names.split(",") if isinstance(adapter_names, str) else list(adapter_names)
        setup = ScaLearn(*sources, name=name or getattr(adapter_names, "name", None))
        check_sources(self, setup)
        for what, values in (("fixed coefficients", scalearn.fixed), ("starting coefficients", scalearn.start)):
            if values is not None and len(values) != len(sources):
                raise ValueError(f"{len(values)} {what} do not fit {len(sources)} sources: give one each.")
        width = getattr(self.config, "hidden_size", 0)
        if scalearn.blocks is not None and width % scalearn.blocks:
            raise ValueError(f"{scalearn.blocks} blocks do not divide the hidden size of {width}: choose a divisor.")
        if "." in setup.name or hasattr(nn.ModuleDict, setup.name):
            raise ValueError(f"A block cannot be named '{setup.name}': PyTorch gives no module that name.")
        active = self.active_adapters
        super().add_adapter_fusion(setup.sources, scalearn, setup.name, overwrite_ok)
        if scalearn.shared:
            _share(self, setup.name)
        if set_active:
            self.set_active_adapters(setup)
        elif setup in scalearn_blocks(active):
            self.set_active_adapters(active)

    def set_active_adapters(self, adapter_setup: object, skip_layers: list[int] | None = None) -> None:
        """Activate a setup, as adapters does; a ScaLearn block in it must have been added before."""
        setup = parse_composition(adapter_setup)
        for block in scalearn_blocks(setup):
            config, sources = self.adapters_config.get_fusion(block.name)
            if as_scalearn(config) is None:
                raise no_block(block.name)
            if block.sources != sources:
                raise other_sources(block.name, sources)
        check_block(self, setup)
        for module in self.modules():
            if isinstance(module, ScaLearnLayer):
                module.forget_sources()
        super().set_active_adapters(adapter_setup, skip_layers)

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter; an active setup with a block that has no source left becomes inactive."""
        super().delete_adapter(adapter_name)
        for block in scalearn_blocks(self.active_adapters):
            if not any(source in self.adapters_config for source in block.sources):
                self.active_adapters = None

    def delete_adapter_fusion(self, adapter_names: Fuse | list[str] | str) -> None:
        """Delete a block; an active setup that contains it becomes inactive (adapters would leave it dangling)."""
        name = _name_of(adapter_names)
        super().delete_adapter_fusion(adapter_names)
        active = self.active_adapters
        if name in (block.name for block in (active, *(active or ())) if isinstance(block, Fuse)):
            self.active_adapters = None

    def adapter_fusion_to(
        self,
        adapter_names: Fuse | list[str] | str,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Move a block's ω, as adapters moves a fusion layer; it looks for those in bottleneck layers alone."""
        name = _name_of(adapter_names)
        super().adapter_fusion_to(name, device, dtype)
        for module in self.modules():
            for layer in module.scalings(name) if isinstance(module, ScaLearnLoRALayer) else ():
                layer.to(device=device, dtype=dtype)

    def get_fusion_regularization_loss(self) -> Tensor | None:
        """Return AdapterFusion's penalty plus ScaLearn's over all ω that learn; `AdapterTrainer` adds it each step."""
        configs = [as_scalearn(self.adapters_config.get_fusion(name)[0]) for name in self.adapters_config.fusions]
        terms = [super().get_fusion_regularization_loss()] if any(c is None for c in configs) else []
        # Walking over all modules costs a small step a percent, so it is done only where some ω has a penalty.
        penalised = any(config is not None and config.regularization for config in configs)
        for module in self.base_model.modules() if penalised else ():
            if isinstance(module, ScaLearnLayer) and module.owner is module and module.config.regularization:
                if module.omega.requires_grad:
                    terms.append(module.penalty())
        terms = [term for term in terms if term is not None]
        return torch.stack(terms).sum() if terms else None


def _share(model: nn.Module, name: str) -> None:
    """Let all layers of a kind read the ω of the first one."""
    owners: dict[tuple[str, int], ScaLearnLayer] = {}
    for _, _, layer in transfer_layers(model, name):
        owner = owners.setdefault((layer.kind, layer.width), layer)
        if owner is not layer:
            layer.share(owner)


def _name_of(block: Fuse | list[str] | str) -> str:
    name = block.name if isinstance(block, Fuse) else block
    return name if isinstance(name, str) else ",".join(name)


def _check_taught(model: ModelAdaptersMixin, setup: object, config: object = None) -> None:
    named = isinstance(config, str) and config in VARIANTS
    ours = named or isinstance(config, Mapping) and config.get("architecture") == ARCHITECTURE
    if (ours or scalearn_blocks(setup)) and not isinstance(model, ScaLearnModelMixin):
        raise RuntimeError("This model cannot hold ScaLearn yet: call scalearn_lib.init(model) first, once.")


def _add_adapter_fusion(
    self: ModelAdaptersMixin, adapter_names: object, config: object = None, *args, **kwargs
) -> None:
    _check_taught(self, adapter_names, config)
    return _adapters_add(self, adapter_names, config, *args, **kwargs)


def _set_active_adapters(self: ModelAdaptersMixin, adapter_setup: object, *args, **kwargs):
    _check_taught(self, adapter_setup)
    return _adapters_set_active(self, adapter_setup, *args, **kwargs)


def _init_adapters(self: ModelAdaptersMixin, model_config: PretrainedConfig, adapters_config: object, **kwargs) -> None:
    """Give a model the adapters of its configuration, as adapters does, and its ScaLearn blocks (`from_pretrained`)."""
    init_adapters_config(self, model_config, adapters_config)
    fusions = self.adapters_config.fusions
    blocks = {name: key for name, key in fusions.items() if as_scalearn(self.adapters_config.get_fusion(name)[0])}
    for name in blocks:  # adapters' own layers cannot hold them: they wait until the layers are taught
        del fusions[name]
    _adapters_init(self, model_config, self.adapters_config, **kwargs)
    if blocks:
        init(self)
    for name, key in blocks.items():
        fusions[name] = key
        self.apply_to_adapter_layers(lambda index, layer, name=name: layer.add_fusion_layer(name))
        if as_scalearn(self.adapters_config.get_fusion(name)[0]).shared:
            _share(self, name)


_adapters_init = ModelAdaptersMixin.init_adapters
ModelAdaptersMixin.init_adapters = functools.wraps(_adapters_init)(_init_adapters)

# A model that was not taught would take a ScaLearn block for AdapterFusion, silently: all adapters models refuse it.
_adapters_add, _adapters_set_active = ModelAdaptersMixin.add_adapter_fusion, ModelAdaptersMixin.set_active_adapters
ModelAdaptersMixin.add_adapter_fusion = functools.wraps(_adapters_add)(_add_adapter_fusion)
ModelAdaptersMixin.set_active_adapters = functools.wraps(_adapters_set_active)(_set_active_adapters)
