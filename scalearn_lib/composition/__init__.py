"""ScaLearn for the adapters package: the method itself, and nothing else of ours."""

from . import loading as loading
from . import repairs as repairs
from .block import ScaLearn
from .config import VARIANTS, ScaLearnConfig
from .folding import fold
from .model import init
from .peft import load_peft, save_peft
from .reading import forward_path, scaling_coefficients

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
