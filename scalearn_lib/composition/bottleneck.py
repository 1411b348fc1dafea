"""ScaLearn over bottleneck adapters: in each layer, h ← h + Σ_t ω_t ⊙ (U_t φ(D_t h) + b_t)."""

from __future__ import annotations

import torch
from adapters.composition import AdapterCompositionBlock, Fuse
from adapters.methods.bottleneck import BottleneckState
from adapters.methods.modeling import ParallelAdapter
from torch import Tensor

from .config import ScaLearnConfig
from .layer import ScaLearnLayer, why_not_fused
from .transfer import TransferLayer, source_of


class ScaLearnBottleneckLayer(TransferLayer):
    """What a `BottleneckLayer` of adapters additionally does for ScaLearn; AdapterFusion passes through."""

    def new_scaling(self, config: ScaLearnConfig, sources: list[str], like: Tensor) -> ScaLearnLayer:
        """ω for one bottleneck layer: what adapters add to the residual stream has the hidden width."""
        return ScaLearnLayer(config, sources, self.model_config.hidden_size, like)

    def compose_fuse(self, adapter_setup: Fuse, state: BottleneckState, lvl: int = 0) -> BottleneckState:
        """Run a ScaLearn block on the layer's state, as `compose_fuse` of adapters runs AdapterFusion."""
        if not self.is_block(adapter_setup):
            return super().compose_fuse(adapter_setup, state, lvl)
        layers = self.block_of(adapter_setup)  # none where no source has a module in this layer
        if not layers and state.last is None:
            state = self._passed_through(adapter_setup, state)
        for layer in layers:
            children = [(row, adapter_setup[row]) for row in self.rows(layer)]
            name = source_of(children[-1][1])
            last = self.adapters[name]
            hidden, _, residual = last.pre_forward(state.hidden_states, state.input_tensor, state.layer_norm)
            state = state._replace(hidden_states=hidden, adapter_residual=residual)
            rows = [row for row, _ in children]
            self.tell_coefficients(adapter_setup.name, layer, rows, hidden)
            omega = layer.scaling(rows).to(hidden.device)  # a shared ω lies on the first layer's
            reason = self._why_loop(layer, children)
            layer.path = f"loop: {reason}" if reason else "fused"
            if reason:
                outputs = [self._source_output(child, state, lvl) for _, child in children]
                scaled = layer.loop(omega, outputs)
            else:
                scaled = layer.fused(omega, hidden, [self.adapters[child] for _, child in children])
            if not isinstance(last, ParallelAdapter):  # a parallel one leaves its residual to the layer itself
                scaled = scaled + residual
            state = state._replace(hidden_states=scaled, last=name)
        return state

    def _passed_through(self, setup: Fuse, state: BottleneckState) -> BottleneckState:
        """The state where at most what lies below the sources in Stacks has a module in this layer: there is no o_t."""
        below = sorted(name for name in setup.flatten() if name in self.adapters)
        if not below:
            return state
        last = self.adapters[below[0]]
        _, _, residual = last.pre_forward(state.hidden_states, state.input_tensor, state.layer_norm)
        nothing = torch.zeros_like(residual) if isinstance(last, ParallelAdapter) else residual
        return state._replace(hidden_states=nothing, last=below[0])

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
        if isinstance(adapter, ParallelAdapter):
            return done.hidden_states
        if adapter.use_gating or adapter.add_layer_norm_after or adapter.dropout.p > 0:
            return done.hidden_states - done.adapter_residual
        return done.bottleneck_up
