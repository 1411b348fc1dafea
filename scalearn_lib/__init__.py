"""ScaLearn (Findings of ACL 2024) for the adapters package, and the study that replicates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .composition import (
        VARIANTS,
        ScaLearn,
        ScaLearnConfig,
        fold,
        forward_path,
        init,
        load_peft,
        save_peft,
        scaling_coefficients,
    )

__version__ = "0.1.0"

__all__ = [
    "VARIANTS",
    "ScaLearn",
    "ScaLearnConfig",
    "fold",
    "forward_path",
    "init",
    "load_peft",
    "save_peft",
    "scaling_coefficients",
]


def __getattr__(name: str) -> object:
    # The method imports torch and adapters, which takes seconds: not before it is asked for (`scalearn --help`).
    if name in __all__:
        from . import composition

        return getattr(composition, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
