"""What the layers of adapters that can hold ScaLearn blocks have in common: bottleneck layers, and maps with LoRAs."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.composition import AdapterCompositionBlock, Fuse
from adapters.context import ForwardContext
from torch import Tensor, nn

from .block import ScaLearn, no_block, other_sources
from .config import ScaLearnConfig, as_scalearn
from .layer import ScaLearnLayer


def source_of(child: AdapterCompositionBlock | str) -> str:
    """Return the name of the source that a child of a block stands for; of a `Stack`, its last."""
    return child if isinstance(child, str) else child.last()


class TransferLayer:
    """Mixin for a layer of adapters: it keeps the ω of each block in `adapter_fusion_layer`, under the block's name."""

    def add_fusion_layer(self, adapter_names: list[str] | str) -> None:
        """Add the ω of a ScaLearn block to this layer, where any of its sources has a module here."""
        name = adapter_names if isinstance(adapter_names, str) else ",".join(adapter_names)
        config, sources = self.adapters_config.get_fusion(name)
        config = as_scalearn(config)
        if config is None:
            return super().add_fusion_layer(adapter_names)
        present = [source for source in sources if source in self.adapter_modules]
        if present:
            like = next(self.adapter_modules[present[0]].parameters())
            self.adapter_fusion_layer[name] = self.new_scaling(config, sources, like).train(self.training)

    def new_scaling(self, config: ScaLearnConfig, sources: list[str], like: Tensor) -> nn.Module:
        """Return new ω for a block in this layer, on the device and in the dtype of `like`."""
        raise NotImplementedError

    def scalings(self, name: str) -> list[ScaLearnLayer]:
        """Return the ω that a block has here: none, one, or one for each map of merged projections."""
        layer = self.get_adapter_fusion(name)
        return [layer] if isinstance(layer, ScaLearnLayer) else []

    def rows(self, layer: ScaLearnLayer) -> list[int]:
        """Return the rows of ω whose sources have a module in this place; a configuration may leave places out."""
        return [row for row, source in enumerate(layer.sources) if source in self.adapter_modules]

    def block_of(self, setup: Fuse) -> list[ScaLearnLayer]:
        """Return `scalings` of a setup that is about to run; none where no source has a module here.

        Raises:
            ValueError: the block was not added, has other sources, or one of them was deleted since.
        """
        layers, sources = self.scalings(setup.name), [source_of(child) for child in setup]
        if not layers:
            if any(source in self.adapter_modules for source in sources):
                raise no_block(setup.name)
            return []
        if sources != layers[0].sources:
            raise other_sources(setup.name, layers[0].sources)
        self.check_sources_exist(sources)
        return layers

    def tell_coefficients(self, name: str, layer: ScaLearnLayer, rows: list[int], hidden: Tensor) -> None:
        """Hand the coefficients of a block to whoever asked for `output_adapter_fusion_attentions`.

        They are the mean over the hidden width, `(batch, tokens, sources)`: the same for all tokens, so a view.
        """
        context = ForwardContext.get_context()
        if context is not None and getattr(context, "output_adapter_fusion_attentions", False):
            mean = layer.coefficients(rows).detach().mean(1)
            places = context.adapter_fusion_attentions[name].setdefault(self.layer_idx, {})
            places[layer.kind or self.location_key] = mean.expand(*hidden.shape[:-1], -1)

    def check_sources_exist(self, sources: Iterable[str]) -> None:
        """Raise a ValueError where a source of a block was deleted from the model."""
        for source in sources:
            if source not in self.adapters_config:
                raise ValueError(f"The source adapter '{source}' was deleted, but the active ScaLearn block scales it.")

    def is_block(self, setup: Fuse) -> bool:
        """Whether a setup is ScaLearn's to run here, and not plain AdapterFusion."""
        return isinstance(setup, ScaLearn) or bool(self.scalings(setup.name))
