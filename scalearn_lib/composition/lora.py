"""ScaLearn over LoRAs: in each linear map that sources change, y = W x + Σ_t ω_t ⊙ (s_t B_t A_t x)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from adapters.composition import Fuse
from adapters.methods.lora import LoRA, LoRALayer, LoRAMergedLinear, LoRAState
from torch import Tensor, nn

from .block import scalearn_blocks
from .config import ScaLearnConfig
from .layer import ScaLearnLayer
from .sources import LORA, check_stacks
from .stacking import Projections, Read, projections
from .transfer import TransferLayer

_NAMES = {"q": "query", "k": "key", "v": "value"}
MERGED = tuple(_NAMES.values())
"""The maps that merged projections (GPT-2) hold side by side, in the order of their rows."""


def name_maps(model: nn.Module) -> None:
    """Prepare all linear maps that may have LoRAs: `map_kind` ("query", "cross_query", "output"), and room for ω."""
    for parent in model.modules():
        # adapters tells cross attention from self attention only by where their prefixes go
        place = getattr(getattr(parent, "prefix_tuning", None), "location_key", None) or ""
        for module in parent.children():
            if isinstance(module, LoRALayer):
                kind = _NAMES.get(getattr(module, "attn_key", None)) or module.location_key.removesuffix("_lora")
                module.map_kind = ("cross_" if place.startswith("cross") else "") + kind
                if not hasattr(module, "adapter_fusion_layer"):
                    module.adapter_fusion_layer = nn.ModuleDict()


def maps_of(module: LoRALayer, lora: LoRA) -> list[str]:
    """Return the kinds of map that a LoRA changes in `module`: one, or several of `MERGED`."""
    if isinstance(module, LoRAMergedLinear):
        return [kind for kind, on in zip(MERGED, lora.enable_lora, strict=True) if on]
    return [module.map_kind]


def part(module: LoRALayer, kind: str, lora: LoRA) -> Projections:
    """Return A `(r, in)` and B `(out, r)` for one of the maps that a LoRA changes in `module`."""
    maps = maps_of(module, lora)
    down, _, up, _ = projections(lora)
    if len(maps) > 1:
        down, up = down.chunk(len(maps))[maps.index(kind)], up.chunk(len(maps))[maps.index(kind)]
    return Projections(down, None, up, None)


class ScaLearnLoRALayer(TransferLayer):
    """What linear maps with LoRAs additionally do for ScaLearn, merged or not."""

    def get_adapter_fusion(self, adapter_names: list[str] | str) -> nn.Module | None:
        """Return the ω of a block, as bottleneck layers of adapters return a fusion layer."""
        name = adapter_names if isinstance(adapter_names, str) else ",".join(adapter_names)
        return self.adapter_fusion_layer[name] if name in self.adapter_fusion_layer else None

    def delete_fusion_layer(self, adapter_names: list[str] | str) -> None:
        """Delete the ω of a block."""
        name = adapter_names if isinstance(adapter_names, str) else ",".join(adapter_names)
        if name in self.adapter_fusion_layer:
            del self.adapter_fusion_layer[name]

    def enable_adapters(self, adapter_setup: object, unfreeze_adapters: bool, unfreeze_fusion: bool) -> None:
        """Let the setup's LoRAs, the ω of its blocks, or both learn."""
        super().enable_adapters(adapter_setup, unfreeze_adapters, unfreeze_fusion)
        for block in scalearn_blocks(adapter_setup) if unfreeze_fusion else ():
            for layer in self.scalings(block.name):
                layer.requires_grad_(True)

    def block_of(self, setup: Fuse) -> list[ScaLearnLayer]:
        """Return `scalings` of a setup that is about to run; a LoRA in a `Stack` is an error."""
        layers = super().block_of(setup)
        if layers:
            check_stacks(setup, LORA)
        return layers

    def scaled_sum(self, layer: ScaLearnLayer, hidden: Tensor, inputs: dict[str, Tensor], read: Read) -> Tensor:
        """Return Σ_t ω_t ⊙ (s_t B_t A_t x), `(..., out)`.

        Args:
            layer: ω of this map.
            hidden: x, `(..., in)`.
            inputs: x for each source by name, with that source's own dropout.
            read: what of a source belongs to this map.
        """
        rows = self.rows(layer)
        loras = [self.loras[layer.sources[row]] for row in rows]
        omega = layer.scaling(rows).to(hidden.device)
        reason = why_not_fused(loras) if layer.config.fused else "switched on by the configuration"
        layer.path = f"loop: {reason}" if reason else "fused"
        if not reason:
            return layer.fused(omega, hidden, loras, read)
        outputs = []
        for row, lora in zip(rows, loras, strict=True):
            down, _, up, _ = read(lora)
            outputs.append(F.linear(F.linear(inputs[layer.sources[row]], down), up) * lora.scaling)
        return layer.loop(omega, outputs)

    def inputs(self, hidden: Tensor, sources: Sequence[str]) -> dict[str, Tensor]:
        """Return x for each source that has a module here, with its dropout."""
        return {name: self.loras[name].lora_dropout(hidden) for name in sources if name in self.loras}


class ScaLearnLoRALinear(ScaLearnLoRALayer):
    """What a `LoRALinear` of adapters additionally does for ScaLearn."""

    def new_scaling(self, config: ScaLearnConfig, sources: list[str], like: Tensor) -> ScaLearnLayer:
        """ω for one linear map, of its output width."""
        return ScaLearnLayer(config, sources, self.out_features, like, self.map_kind)

    def compose_fuse(self, adapter_setup: Fuse, state: LoRAState, lvl: int = 0) -> LoRAState:
        """Run a ScaLearn block; for AdapterFusion, adapters says that LoRAs have none."""
        if not self.is_block(adapter_setup):
            return super().compose_fuse(adapter_setup, state, lvl)
        for layer in self.block_of(adapter_setup):  # none where no source has a module in this map
            hidden = state.layer_input if state.hidden_states is None else state.hidden_states
            inputs = self.inputs(hidden, layer.sources)
            self.tell_coefficients(adapter_setup.name, layer, self.rows(layer), hidden)
            scaled = self.scaled_sum(layer, hidden, inputs, projections)
            state = state._replace(hidden_states=scaled, last=[*inputs][-1])
        return state


class ScaLearnLoRAMergedLinear(ScaLearnLoRALayer):
    """What a `LoRAMergedLinear` of adapters (q, k, v as one) additionally does; each of the three is a map."""

    def new_scaling(self, config: ScaLearnConfig, sources: list[str], like: Tensor) -> nn.ModuleDict:
        """ω for each of the maps that a source changes."""
        maps = {kind for source in sources if source in self.loras for kind in maps_of(self, self.loras[source])}
        width = self.out_features // len(MERGED)
        layers = {kind: ScaLearnLayer(config, sources, width, like, kind) for kind in MERGED if kind in maps}
        return nn.ModuleDict(layers)

    def scalings(self, name: str) -> list[ScaLearnLayer]:
        """Return the ω that a block has here, one for each map."""
        return [*(self.get_adapter_fusion(name) or {}).values()]

    def rows(self, layer: ScaLearnLayer) -> list[int]:
        """Return the rows of ω whose sources change this map."""
        here = super().rows(layer)
        return [row for row in here if layer.kind in maps_of(self, self.loras[layer.sources[row]])]

    def forward(self, x: torch.Tensor) -> Tensor:
        """Run an active ScaLearn block; adapters itself knows only single LoRAs here."""
        setup = None if self.merged else self.get_active_setup()
        blocks = [block for block in scalearn_blocks(setup) if not block.flatten().isdisjoint(self.loras)]
        if not blocks or len(setup.flatten() & set(self.loras)) > len(blocks[0].flatten() & set(self.loras)):
            return super().forward(x)  # also says so where a LoRA is stacked with the block
        result = F.linear(x, self.weight.t() if self.fan_in_fan_out else self.weight, self.bias)
        maps = dict(zip(MERGED, result.chunk(len(MERGED), -1), strict=True))
        inputs = self.inputs(x, blocks[0].sources)
        for layer in self.block_of(blocks[0]):
            read = functools.partial(part, self, layer.kind)
            self.tell_coefficients(blocks[0].name, layer, self.rows(layer), x)
            maps[layer.kind] = maps[layer.kind] + self.scaled_sum(layer, x, inputs, read)
        return torch.cat([*maps.values()], -1)


def why_not_fused(loras: Sequence[LoRA]) -> str | None:
    """Return why the fused forward cannot run these LoRAs as they are now, or `None` where it can."""
    for lora in loras:
        if lora.training and isinstance(lora.lora_dropout, nn.Dropout) and lora.lora_dropout.p > 0:
            return f"'{lora.name}' has dropout in training"
        if torch.is_grad_enabled() and (lora.lora_A.requires_grad or lora.lora_B.requires_grad):
            return f"'{lora.name}' is not frozen"
    return None
