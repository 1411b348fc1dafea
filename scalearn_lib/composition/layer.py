"""The scaling coefficients ω of one layer, and the weighted sum of its source adapters: the method itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from adapters.methods.lora import LoRA
from adapters.methods.modeling import Adapter
from torch import Tensor, nn

from .config import ScaLearnConfig
from .stacking import KeptStack, Read, output_scaling, projections, spread


class ScaLearnLayer(nn.Module):
    """ω of one transfer layer: `(sources, width)`, `(sources, 1)` for the uniform variants, or `(sources, blocks)`.

    The output is Σ_t ω_t ⊙ o_t (paper section 3), where o_t is what source t adds: a bottleneck adapter to the residual
    stream, a LoRA to the output of its linear map. `width` is that of o_t, `kind` what sort of place this is
    (`"query"`, ...; empty for bottleneck adapters).
    `omega` is a parameter, or a buffer where the coefficients are fixed. A layer that shares ω (the ++ variants) owns
    none: it reads that of `owner`, the first of its kind, so ω is counted, saved and loaded once.
    `sources` names the rows of ω. `path` tells how the last forward ran: `"fused"`, or `"loop: "` and the reason.
    """

    def __init__(
        self, config: ScaLearnConfig, sources: Sequence[str], width: int, like: Tensor, kind: str = ""
    ) -> None:
        super().__init__()
        self.config, self.sources, self.width, self.kind = config, list(sources), width, kind
        self.path = "not run yet"
        self._other = None
        self._stack = KeptStack()
        options = {"device": like.device, "dtype": like.dtype}
        if config.fixed is not None:
            self.register_buffer("omega", torch.tensor(config.fixed, **options).unsqueeze(1))
            return
        if config.blocks is not None and width % config.blocks:
            raise ValueError(f"{config.blocks} blocks do not divide the width of {width}: choose a divisor.")
        shape = (len(sources), 1 if config.uniform else config.blocks or width)
        noise = torch.randn(shape) * config.init_std  # on the CPU: the same seed gives the same ω on every device
        start = config.init_scale / len(sources) if config.start is None else torch.tensor(config.start).unsqueeze(1)
        self.omega = nn.Parameter((start + noise).to(**options))

    def share(self, owner: ScaLearnLayer) -> None:
        """Give up this layer's own ω and read the one of `owner` from now on."""
        del self.omega
        object.__setattr__(self, "_other", owner)  # not a submodule: a shared ω must appear once in the state dict

    @property
    def owner(self) -> ScaLearnLayer:
        """The layer whose ω this one reads. A layer holds no reference to itself: its replicas on other GPUs would
        read the original's ω instead of their own."""
        return self._other or self

    def coefficients(self, rows: Sequence[int] | None = None) -> Tensor:
        """Return the coefficients that apply in this layer, shaped as `omega`: constrained, without dropout.

        Args:
            rows: the sources that are present in this layer; all of them by default.
        """
        omega = self.owner.omega
        if rows is not None and len(rows) < len(omega):
            omega = omega[list(rows)]
        if self.config.constraint == "mean":
            return omega / omega.sum(0, keepdim=True)
        if self.config.constraint == "softmax":
            return omega.softmax(0)
        return omega

    def widened(self, omega: Tensor) -> Tensor:
        """Return coefficients as the sum takes them, `(sources, width or 1)`: those of blocks are repeated."""
        return omega if self.config.blocks is None else omega.repeat_interleave(self.width // self.config.blocks, 1)

    def scaling(self, rows: Sequence[int] | None = None) -> Tensor:
        """Return `coefficients` widened, in training with dropout on the coefficients themselves."""
        omega = self.coefficients(rows)
        if self.config.fixed is None:
            omega = F.dropout(omega, self.config.dropout_prob, self.training)
        return self.widened(omega)

    def by_source(self, rows: Sequence[int], wanted: Collection[str]) -> dict[str, Tensor]:
        """Return the coefficients, `(width or 1,)` each, of the wanted among the sources that are present (`rows`)."""
        omega = zip(rows, self.widened(self.coefficients(rows)), strict=True)
        return {self.sources[row]: values for row, values in omega if self.sources[row] in wanted}

    def forget_sources(self) -> None:
        """Read the sources anew at the next forward pass: they may have learned since."""
        self._stack.forget()

    def penalty(self) -> Tensor:
        """Return λ · mean_t (1 − mean_d ω_t)², which pulls each source's mean coefficient to one (a scalar)."""
        return self.config.regularization * (1 - self.omega.mean(1)).square().mean()

    def loop(self, omega: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """Return Σ_t ω_t ⊙ o_t from the sources' outputs, each `(batch, tokens, hidden)`: equation and reference."""
        return sum(omega_t * output for omega_t, output in zip(omega, outputs, strict=True))

    def fused(
        self, omega: Tensor, hidden: Tensor, sources: Sequence[Adapter | LoRA], read: Read = projections
    ) -> Tensor:
        """Return Σ_t ω_t ⊙ (U_t φ(D_t h) + b_t) with one product down, one activation and one product up.

        Args:
            omega: coefficients, `(sources, width or 1)`.
            hidden: the sources' input h, `(batch, tokens, in)`.
            sources: those for which nothing gave a reason against it. LoRAs have neither φ nor b_t.
            read: what to take of a source, as `stack_projections` has it.
        """
        down, down_bias, up, up_bias = self._stack.get(sources, read)
        omega = omega * output_scaling(sources)
        z = F.linear(hidden, down, down_bias)
        if not isinstance(sources[0], LoRA):
            z = sources[0].non_linearity(z)
        widths = [read(source).up.shape[1] for source in sources]
        if omega.shape[1] == 1:  # a scalar per source: scaling the narrow activations costs no product for ω's gradient
            z = z * spread(omega, widths)
        else:
            up = up * spread(omega, widths)
        return F.linear(z, up, None if up_bias is None else (omega * up_bias).sum(0))


def why_not_plain(adapters: Sequence[Adapter]) -> str | None:
    """Return why the sources' sum is no single bottleneck adapter (for folding and the fused forward), or `None`."""
    first = adapters[0].non_linearity.f
    for adapter in adapters:
        if adapter.add_layer_norm_before or adapter.add_layer_norm_after:
            return f"'{adapter.name}' has a layer norm of its own"
        if adapter.use_gating:
            return f"'{adapter.name}' is gated"
        if type(adapter.adapter_up) is not nn.Linear or hasattr(adapter, "DropPath"):
            return f"'{adapter.name}' has no plain linear projections"
        if any(True for _ in adapter.non_linearity.parameters()):
            return f"'{adapter.name}' has an activation that learned"
        f = adapter.non_linearity.f
        if not (f is first or isinstance(f, nn.Module) and type(f) is type(first)):
            return f"'{adapter.name}' has another activation than '{adapters[0].name}'"
    return None


def why_not_fused(adapters: Sequence[Adapter]) -> str | None:
    """Return why the fused forward cannot run these sources as they are now, or `None` where it can."""
    reason = why_not_plain(adapters)
    if reason:
        return reason
    learning = torch.is_grad_enabled()
    for adapter in adapters:
        if adapter.dropout.p > 0 and adapter.training:
            return f"'{adapter.name}' has dropout in training"
        if learning and adapter.adapter_up.weight.requires_grad:
            return f"'{adapter.name}' is not frozen"
    return None
