"""ScaLearn (Findings of ACL 2024) for the adapters package, and the study that replicates it."""

from .composition import VARIANTS, ScaLearn, ScaLearnConfig, fold, forward_path, init, scaling_coefficients

__version__ = "0.1.0"

__all__ = ["VARIANTS", "ScaLearn", "ScaLearnConfig", "fold", "forward_path", "init", "scaling_coefficients"]
