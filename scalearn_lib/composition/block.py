"""The composition block: which source adapters are scaled and summed, and where the block may nest."""

from __future__ import annotations

import adapters.composition
from adapters.composition import ALLOWED_NESTINGS, Fuse, Stack


class ScaLearn(Fuse):
    """Scale the outputs of source adapters by learned coefficients and sum them (paper section 3).

    Used like `Fuse`: `ScaLearn("mnli", "qqp", "rte")`. A child is the name of a source adapter or a `Stack` that ends
    in one. The name of the block is the comma-separated list of its sources unless `name` is given; two blocks over
    the same sources on one model need different names.

    Raises:
        ValueError: no sources, a source named twice, or a child that is neither a name nor a `Stack` of names.
    """

    def __init__(self, *sources: str | Stack, name: str | None = None) -> None:
        for source in sources:
            if not (isinstance(source, str) or type(source) is Stack and all(isinstance(c, str) for c in source)):
                raise ValueError(f"ScaLearn takes adapter names or Stacks of adapter names, not {source!r}.")
        if not all(len(source) > 0 for source in sources) or not sources:
            raise ValueError(
                "ScaLearn needs at least one source adapter and no empty names, for instance ScaLearn('a', 'b')."
            )
        super().__init__(*sources, name=name)
        twice = sorted({s for s in self.sources if self.sources.count(s) > 1})
        if twice:
            raise ValueError(f"ScaLearn sources must differ, but {', '.join(twice)} is given more than once.")

    @property
    def sources(self) -> list[str]:
        """Names of the adapters whose outputs are scaled, in the order of ω's rows; of a `Stack`, its last."""
        return [child if isinstance(child, str) else child.last() for child in self.children]

    def __eq__(self, other: object) -> bool:
        # adapters compares children pairwise and forgets names and lengths; two blocks here may differ just in those
        return type(other) is ScaLearn and self.name == other.name and self.children == other.children

    __hash__ = None

    def _get_save_kwargs(self) -> dict[str, str] | None:
        return {"name": self._name} if self._name else None


# adapters looks classes up in its own module when it reads a saved setup, and nestings in its own table.
adapters.composition.ScaLearn = ScaLearn
ALLOWED_NESTINGS[ScaLearn] = [str, Stack]
ALLOWED_NESTINGS[Stack].append(ScaLearn)


def scalearn_blocks(setup: object) -> list[ScaLearn]:
    """Return the ScaLearn blocks of an adapter setup: itself, or those stacked directly in it."""
    if isinstance(setup, ScaLearn):
        return [setup]
    return [child for child in setup if isinstance(child, ScaLearn)] if isinstance(setup, Stack) else []


def no_block(name: str) -> ValueError:
    """Return the error for a block that the model does not have."""
    return ValueError(f"No ScaLearn block named '{name}' on the model: call add_adapter_fusion first.")


def other_sources(name: str, sources: list[str]) -> ValueError:
    """Return the error for a setup that names other sources than the block has coefficients for."""
    return ValueError(
        f"The block '{name}' has coefficients for {', '.join(sources)}: name these sources, in this order."
    )
