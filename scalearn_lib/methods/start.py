"""ScaLearn with another height of the start: ω at `scale / T` where the paper has 2/T."""

from __future__ import annotations

from ..composition import ScaLearnConfig
from .fusion import ScaLearn


class ScaledStart(ScaLearn):
    """A vector of coefficients per source and layer, as in ScaLearn.

    Options:
        scale: what the coefficients of the T sources sum to at first.
    """

    loses_coefficients = False

    @property
    def config(self) -> ScaLearnConfig:
        """What the block is made by; it has no name."""
        return ScaLearnConfig(init_scale=self.options["scale"])
