"""Teaching an adapters model the ScaLearn block, and reading its coefficients. All that adapters must learn is here."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import adapters
import torch
import xarray as xr
from adapters import BnConfig
from adapters.composition import AdapterCompositionBlock, Fuse, parse_composition
from adapters.methods.bottleneck import BottleneckLayer, BottleneckState
from adapters.utils import ADAPTERFUSION_CONFIG_NAME
from torch import Tensor, nn

from .block import ScaLearn, scalearn_blocks
from .config import as_scalearn
from .layer import ScaLearnLayer, why_not_fused

# Where an adapter takes its input and its residual is decided once per block, by the last source: all must agree.
_PLACEMENT = ("original_ln_before", "original_ln_after", "residual_before_ln", "is_parallel")


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

    def _get_compose_func(self, composition_type: type) -> callable:
        return super()._get_compose_func(Fuse if composition_type is ScaLearn else composition_type)

    def add_fusion_layer(self, adapter_names: list[str] | str) -> None:
        """Add the ω of a ScaLearn block to this layer, where any of its sources has a module here."""
        name = adapter_names if isinstance(adapter_names, str) else ",".join(adapter_names)
        config, sources = self.adapters_config.get_fusion(name)
        config = as_scalearn(config)
        if config is None:
            return super().add_fusion_layer(adapter_names)
        self.adapters_config.common_config_value(sources, self.location_key)  # raises where the sources disagree
        present = [self.adapters[source] for source in sources if source in self.adapters]
        if present:
            like = next(present[0].parameters())
            layer = ScaLearnLayer(config, len(sources), self.model_config.hidden_size, like)
            self.adapter_fusion_layer[name] = layer.train(self.training)

    def compose_fuse(self, adapter_setup: Fuse, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """Run a ScaLearn block on the layer's state, as `compose_fuse` of adapters runs AdapterFusion."""
        layer = self.get_adapter_fusion(adapter_setup.name)
        if not isinstance(layer, ScaLearnLayer):
            if isinstance(adapter_setup, ScaLearn):
                return state  # no source has a module in this layer
            return super().compose_fuse(adapter_setup, state, lvl)
        children = [(row, child) for row, child in enumerate(adapter_setup) if self._is_here(child)]
        last = _last(children[-1][1])
        hidden, _, residual = self.adapters[last].pre_forward(state.hidden_states, state.input_tensor, state.layer_norm)
        state = state._replace(hidden_states=hidden, adapter_residual=residual)
        omega = layer.scaling([row for row, _ in children])
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

        Raises:
            ValueError: sources missing, named twice or of different placement, an unknown or unfitting configuration.
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
        super().add_adapter_fusion(setup.sources, scalearn, setup.name, overwrite_ok)
        if scalearn.shared:
            first, *others = (layer for _, _, layer in transfer_layers(self, setup))
            for layer in others:
                layer.share(first)
        if set_active:
            self.set_active_adapters(setup)

    def _check_sources(self, sources: list[str]) -> None:
        missing = [source for source in sources if source not in self.adapters_config]
        if missing:
            raise ValueError(f"Source adapters not on the model: {', '.join(missing)}; add or load them first.")
        configs = [self.adapters_config.match(source, BnConfig) for source in sources]
        for source, config in zip(sources, configs, strict=True):
            if config is None or config.is_parallel:
                raise ValueError(f"ScaLearn needs sequential bottleneck adapters, but '{source}' is not one.")
            differing = [key for key in _PLACEMENT if config[key] != configs[0][key]]
            if differing:
                raise ValueError(f"'{source}' and '{sources[0]}' differ in {', '.join(differing)}: train them alike.")

    def set_active_adapters(self, adapter_setup: object, skip_layers: list[int] | None = None) -> None:
        """Activate a setup, as adapters does; a ScaLearn block in it must have been added before."""
        for block in scalearn_blocks(parse_composition(adapter_setup)):
            if as_scalearn(self.adapters_config.get_fusion(block.name)[0]) is None:
                raise ValueError(f"No ScaLearn block named '{block.name}' on the model: call add_adapter_fusion first.")
        super().set_active_adapters(adapter_setup, skip_layers)

    def delete_adapter_fusion(self, adapter_names: Fuse | list[str] | str) -> None:
        """Delete a block; an active setup that contains it becomes inactive (adapters would leave it dangling)."""
        name = adapter_names.name if isinstance(adapter_names, Fuse) else adapter_names
        name = name if isinstance(name, str) else ",".join(name)
        super().delete_adapter_fusion(adapter_names)
        if name in (block.name for block in scalearn_blocks(self.active_adapters)):
            self.active_adapters = None

    def load_adapter_fusion(self, adapter_fusion_name_or_path: str, load_as: str | None = None, *args, **kwargs) -> str:
        """Load a saved block, as adapters does, after checking that it fits this model and its sources are loaded."""
        config_file = Path(adapter_fusion_name_or_path) / ADAPTERFUSION_CONFIG_NAME
        saved = json.loads(config_file.read_text()) if config_file.exists() else {}
        if as_scalearn(saved.get("config")) is not None:
            width, ours = saved["hidden_size"], self.config.hidden_size
            if width != ours:
                raise ValueError(
                    f"The ScaLearn block in {config_file.parent} has hidden size {width}, the model {ours}."
                )
            _, there = self.adapters_config.get_fusion(load_as or saved["name"])
            if there and there != saved["adapter_names"]:
                raise ValueError(f"A block over the sources {there} cannot take one over {saved['adapter_names']}.")
        return super().load_adapter_fusion(adapter_fusion_name_or_path, load_as, *args, **kwargs)

    def get_fusion_regularization_loss(self) -> Tensor | None:
        """Return AdapterFusion's penalty plus ScaLearn's over all ω that learn; `AdapterTrainer` adds it each step."""
        terms = [super().get_fusion_regularization_loss()]
        for module in self.base_model.modules():
            if isinstance(module, ScaLearnLayer) and module.owner is module and module.config.regularization:
                if module.omega.requires_grad:
                    terms.append(module.penalty())
        terms = [term for term in terms if term is not None]
        return torch.stack(terms).sum() if terms else None


def transfer_layers(
    model: nn.Module, setup: ScaLearn | str
) -> list[tuple[str, ScaLearnBottleneckLayer, ScaLearnLayer]]:
    """Return a block's place, adapter layer and ω for each layer of the model, first to last.

    Places are layer indices ("0", "1", ...), followed by the location where a layer has adapters in several.

    Raises:
        ValueError: the model has no such block.
    """
    name = setup if isinstance(setup, str) else setup.name
    found = []
    for index, layer in model.iter_layers():
        for module in layer.modules():
            if isinstance(module, ScaLearnBottleneckLayer):
                if isinstance(fusion := module.get_adapter_fusion(name), ScaLearnLayer):
                    found.append((index, module, fusion))
    if not found:
        raise ValueError(f"No ScaLearn block named '{name}' on the model: call add_adapter_fusion first.")
    several = len({module.location_key for _, module, _ in found}) > 1
    return [(f"{i}.{module.location_key}" if several else str(i), module, fusion) for i, module, fusion in found]


def scaling_coefficients(model: nn.Module, setup: ScaLearn | str) -> xr.DataArray:
    """Return ω as it applies in evaluation (constrained, no dropout), labelled for plotting.

    Args:
        model: a model that `init` has taught.
        setup: the block, or its name.

    Returns:
        Dimensions `layer`, `source` and `hidden` (of the hidden width, or 1 for the uniform variants), float32. Where
        ω is shared (++), every layer shows the same values.
    """
    layers = transfer_layers(model, setup)
    _, sources = model.adapters_config.get_fusion(setup if isinstance(setup, str) else setup.name)
    with torch.no_grad():
        omega = torch.stack([layer.coefficients().float().cpu() for _, _, layer in layers])
    coords = {"layer": [place for place, _, _ in layers], "source": list(sources)}
    return xr.DataArray(omega.numpy(), dims=("layer", "source", "hidden"), coords=coords, name="omega")


def forward_path(model: nn.Module, setup: ScaLearn | str) -> dict[str, str]:
    """Return, for each transfer layer, how its last forward ran: `"fused"`, or `"loop: "` and the reason."""
    return {place: layer.path for place, _, layer in transfer_layers(model, setup)}
