"""Teaching an adapters model the ScaLearn block. All that adapters must learn is here; loading.py has its loader."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import adapters
import torch
from adapters import BnConfig
from adapters.composition import AdapterCompositionBlock, Fuse, parse_composition
from adapters.methods.adapter_layer_base import ComposableAdapterLayerBase
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState
from adapters.model_mixin import ModelAdaptersMixin
from torch import Tensor, nn

from .block import ScaLearn, scalearn_blocks
from .config import ARCHITECTURE, VARIANTS, as_scalearn
from .layer import ScaLearnLayer, why_not_fused
from .reading import no_block, other_sources, transfer_layers

# Where an adapter takes its input and its residual is decided once per block, by the last source: all must agree.
_PLACEMENT = (
    *("mh_adapter", "output_adapter", "cross_adapter"),
    *("original_ln_before", "original_ln_after", "residual_before_ln"),
)


def init(model: nn.Module) -> None:
    """Teach `model` the ScaLearn block, once; a plain transformers model goes through `adapters.init` first.

    Adapters, AdapterFusion and everything else on the model keep working as before.

    Raises:
        ValueError: the model has no place for bottleneck adapters.
    """
    adapters.init(model)
    layers = [module for module in model.modules() if isinstance(module, BottleneckLayer)]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no place for bottleneck adapters, so ScaLearn cannot be used on it."
        )
    for layer in layers:
        _extend(layer, ScaLearnBottleneckLayer)
    for module in model.modules():
        if isinstance(module, ComposableAdapterLayerBase):  # LoRA and others too: one may lie below a block in a Stack
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


class ScaLearnBottleneckLayer:
    """What a `BottleneckLayer` of adapters additionally does for ScaLearn; AdapterFusion passes through."""

    def add_fusion_layer(self, adapter_names: list[str] | str) -> None:
        """Add the ω of a ScaLearn block to this layer, where any of its sources has a module here."""
        name = adapter_names if isinstance(adapter_names, str) else ",".join(adapter_names)
        config, sources = self.adapters_config.get_fusion(name)
        config = as_scalearn(config)
        if config is None:
            return super().add_fusion_layer(adapter_names)
        present = [self.adapters[source] for source in sources if source in self.adapters]
        if present:
            like = next(present[0].parameters())
            layer = ScaLearnLayer(config, sources, self.model_config.hidden_size, like)
            self.adapter_fusion_layer[name] = layer.train(self.training)

    def compose_fuse(self, adapter_setup: Fuse, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """Run a ScaLearn block on the layer's state, as `compose_fuse` of adapters runs AdapterFusion."""
        layer = self.get_adapter_fusion(adapter_setup.name)
        if not isinstance(layer, ScaLearnLayer):
            if not isinstance(adapter_setup, ScaLearn):
                return super().compose_fuse(adapter_setup, state, lvl)
            if layer is None and not any(source in self.adapters for source in adapter_setup.sources):
                return state  # no source has a module in this layer
            raise no_block(adapter_setup.name)
        if [_last(child) for child in adapter_setup] != layer.sources:
            raise other_sources(adapter_setup.name, layer.sources)
        children = [(row, child) for row, child in enumerate(adapter_setup) if self._is_here(child)]
        last = _last(children[-1][1])
        hidden, _, residual = self.adapters[last].pre_forward(state.hidden_states, state.input_tensor, state.layer_norm)
        state = state._replace(hidden_states=hidden, adapter_residual=residual)
        omega = layer.scaling([row for row, _ in children]).to(hidden.device)  # a shared ω lies on the first layer's
        reason = self._why_loop(layer, children)
        layer.path = f"loop: {reason}" if reason else "fused"
        if reason:
            outputs = [self._source_output(child, state, lvl) for _, child in children]
            scaled = layer.loop(omega, outputs)
        else:
            scaled = layer.fused(omega, hidden, [self.adapters[child] for _, child in children])
        return state._replace(hidden_states=scaled + residual, last=last)

    def _is_here(self, child: AdapterCompositionBlock | str) -> bool:
        """Whether the source has a module in this layer; a configuration may leave layers out."""
        source = _last(child)
        if source not in self.adapters_config:
            raise ValueError(f"The source adapter '{source}' was deleted, but the active ScaLearn block scales it.")
        return source in self.adapters

    def _why_loop(self, layer: ScaLearnLayer, children: list) -> str | None:
        if not layer.config.fused:
            return "switched on by the configuration"
        if not all(isinstance(child, str) for _, child in children):
            return "a source is a Stack"
        return why_not_fused([self.adapters[child] for _, child in children])

    def _source_output(self, child: AdapterCompositionBlock | str, state: BottleneckState, lvl: int) -> Tensor:
        """o_t: what the source adds to its residual stream, gate, dropout and layer norm of its own included."""
        compose = self.compose_single if isinstance(child, str) else self._get_compose_func(type(child))
        done = compose(child, state, lvl=lvl + 1)
        adapter = self.adapters[done.last]
        if adapter.use_gating or adapter.add_layer_norm_after or adapter.dropout.p > 0:
            return done.hidden_states - done.adapter_residual
        return done.bottleneck_up


def _last(child: AdapterCompositionBlock | str) -> str:
    return child if isinstance(child, str) else child.last()


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
        self._check_sources(setup.sources)
        if scalearn.fixed is not None and len(scalearn.fixed) != len(sources):
            raise ValueError(
                f"{len(scalearn.fixed)} fixed coefficients do not fit {len(sources)} sources: give one each."
            )
        if "." in setup.name or hasattr(nn.ModuleDict, setup.name):
            raise ValueError(f"A block cannot be named '{setup.name}': PyTorch gives no module that name.")
        active = self.active_adapters
        super().add_adapter_fusion(setup.sources, scalearn, setup.name, overwrite_ok)
        if scalearn.shared:
            first, *others = (layer for _, _, layer in transfer_layers(self, setup))
            for layer in others:
                layer.share(first)
        if set_active:
            self.set_active_adapters(setup)
        elif setup in scalearn_blocks(active):
            self.set_active_adapters(active)

    def _check_sources(self, sources: list[str]) -> None:
        missing = [source for source in sources if source not in self.adapters_config]
        if missing:
            raise ValueError(f"Source adapters not on the model: {', '.join(missing)}; add or load them first.")
        configs = [self.adapters_config.get(source) for source in sources]
        for source, config in zip(sources, configs, strict=True):
            if not isinstance(config, BnConfig) or config.is_parallel:
                raise ValueError(f"ScaLearn needs sequential bottleneck adapters, but '{source}' is not one.")
            differing = [key for key in _PLACEMENT if config.get(key) != configs[0].get(key)]
            if differing:
                raise ValueError(f"'{source}' and '{sources[0]}' differ in {', '.join(differing)}: train them alike.")

    def set_active_adapters(self, adapter_setup: object, skip_layers: list[int] | None = None) -> None:
        """Activate a setup, as adapters does; a ScaLearn block in it must have been added before."""
        for block in scalearn_blocks(parse_composition(adapter_setup)):
            config, sources = self.adapters_config.get_fusion(block.name)
            if as_scalearn(config) is None:
                raise no_block(block.name)
            if block.sources != sources:
                raise other_sources(block.name, sources)
            known = [name for name in sorted(block.flatten()) if name in self.adapters_config]
            strange = [name for name in known if not isinstance(self.adapters_config.get(name), BnConfig)]
            if strange:
                raise ValueError(f"ScaLearn runs over bottleneck adapters, but {', '.join(strange)} is none.")
        super().set_active_adapters(adapter_setup, skip_layers)

    def delete_adapter_fusion(self, adapter_names: Fuse | list[str] | str) -> None:
        """Delete a block; an active setup that contains it becomes inactive (adapters would leave it dangling)."""
        name = adapter_names.name if isinstance(adapter_names, Fuse) else adapter_names
        name = name if isinstance(name, str) else ",".join(name)
        super().delete_adapter_fusion(adapter_names)
        active = self.active_adapters
        if name in (block.name for block in (active, *(active or ())) if isinstance(block, Fuse)):
            self.active_adapters = None

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


# A model that was not taught would take a ScaLearn block for AdapterFusion, silently: all adapters models refuse it.
_adapters_add, _adapters_set_active = ModelAdaptersMixin.add_adapter_fusion, ModelAdaptersMixin.set_active_adapters
ModelAdaptersMixin.add_adapter_fusion = functools.wraps(_adapters_add)(_add_adapter_fusion)
ModelAdaptersMixin.set_active_adapters = functools.wraps(_adapters_set_active)(_set_active_adapters)
