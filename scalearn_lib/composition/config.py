"""What a ScaLearn block learns: the configuration and the variants that the paper names."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from adapters import AdapterFusionConfig
from adapters.configuration.adapter_fusion_config import ADAPTERFUSION_CONFIG_MAP

ARCHITECTURE = "scalearn"
CONSTRAINTS = (None, "mean", "softmax")

# AdapterFusionConfig describes attention; a ScaLearn layer has none of it. The names stay so that adapters can save
# and load the config, but they are neither arguments nor items.
_ATTENTION = (
    "key query value query_before_ln residual_before temperature value_before_softmax value_initialized".split()
)


def _no_attention() -> bool:
    return field(default=False, init=False, repr=False)


@dataclass(eq=False)
class ScaLearnConfig(AdapterFusionConfig):
    """Configuration of the scaling coefficients ω (paper section 3), accepted wherever adapters takes a fusion config.

    Args:
        uniform: one scalar per source adapter (ScaLearnUniform) instead of a vector of the hidden width.
        blocks: one scalar per source and block of the hidden width, which is cut into so many equal parts; `None`: a
            vector, or with `uniform` a scalar. Not in the paper.
        shared: one ω for all layers (the ++ variants) instead of one per layer.
        init_scale: coefficients start at `init_scale / T` for T sources (the paper: 2; its ablation: 1). With few
            examples ω hardly moves, and 4 was better in the reference study (docs/methods.md, "What to choose").
        start: where each source's coefficients start instead, in the order of the setup (plus the noise).
        init_std: standard deviation of the normal noise around that start.
        dropout_prob: dropout on the coefficients themselves, drawn anew in each layer and step.
        constraint: `None`, `"mean"` (ω divided by its sum over the sources) or `"softmax"` (over the sources).
        regularization: λ of the penalty λ · mean_t (1 − mean_d ω_t)², summed over the layers' ω.
        fixed: one number per source, in the order of the setup; nothing is learned then (probing). Neither dropout,
            nor a constraint, nor the penalty applies to fixed coefficients.
        fused: `False` always runs the sources one by one, to compare with the fused forward.

    Raises:
        ValueError: a value is outside its range; `fixed` is combined with a constraint, a penalty, blocks or a
            start; or `uniform` with blocks.
    """

    uniform: bool = False
    blocks: int | None = None
    shared: bool = False
    init_scale: float = 2.0
    start: list[float] | None = None
    init_std: float = 0.001
    dropout_prob: float = 0.3
    constraint: str | None = None
    regularization: float = 0.0
    fixed: list[float] | None = None
    fused: bool = True
    architecture: str = ARCHITECTURE

    key: bool = _no_attention()
    query: bool = _no_attention()
    value: bool = _no_attention()
    query_before_ln: bool = _no_attention()
    residual_before: bool = _no_attention()
    temperature: bool = _no_attention()
    value_before_softmax: bool = _no_attention()
    value_initialized: str = _no_attention()

    def __post_init__(self) -> None:
        if self.architecture != ARCHITECTURE:
            raise ValueError(f"A ScaLearnConfig has architecture '{ARCHITECTURE}', not '{self.architecture}'.")
        if not math.isfinite(self.init_scale):
            raise ValueError(f"init_scale must be a finite number, got {self.init_scale}.")
        if not (math.isfinite(self.init_std) and self.init_std >= 0):
            raise ValueError(f"init_std must be a finite number of at least 0, got {self.init_std}.")
        if not 0 <= self.dropout_prob < 1:
            raise ValueError(f"dropout_prob must be at least 0 and below 1, got {self.dropout_prob}.")
        if self.constraint not in CONSTRAINTS:
            raise ValueError(f"constraint must be None, 'mean' or 'softmax', got {self.constraint!r}.")
        if not (math.isfinite(self.regularization) and self.regularization >= 0):
            raise ValueError(f"regularization must be a finite number of at least 0, got {self.regularization}.")
        if self.blocks is not None and (type(self.blocks) is not int or self.blocks < 1):
            raise ValueError(f"blocks must be a whole number of at least 1, got {self.blocks!r}.")
        if self.blocks is not None and self.uniform:
            raise ValueError("uniform coefficients have one block: leave out uniform, or blocks.")
        for name in ("start", "fixed"):
            values = getattr(self, name)
            if values is not None:
                # Plain numbers, whatever array they came in: the configuration is saved as JSON.
                object.__setattr__(self, name, [float(value) for value in values])
                if not getattr(self, name) or not all(math.isfinite(value) for value in getattr(self, name)):
                    raise ValueError(f"{name} must hold one finite number per source, got {getattr(self, name)}.")
        if self.fixed is not None and (self.constraint or self.regularization or self.blocks or self.start):
            raise ValueError("fixed coefficients are not learned: leave out constraint, regularization, blocks, start.")

    @classmethod
    def load(cls, config: str | Mapping, **kwargs) -> ScaLearnConfig:
        """Return the configuration that a variant's name, a config object or a saved dictionary stands for.

        Args:
            config: a key of `VARIANTS`, a `ScaLearnConfig`, or what `to_dict` gave.
            **kwargs: fields to change.

        Raises:
            ValueError: an unknown name, or a dictionary with fields that no ScaLearnConfig has.
        """
        if isinstance(config, str):
            if config not in VARIANTS:
                raise _unknown_name(config)
            config = VARIANTS[config]
        if isinstance(config, cls) and not kwargs:
            return config
        fields = {k: v for k, v in {**config, **kwargs}.items() if k not in _ATTENTION}
        strange = sorted(set(fields) - set(cls.__dataclass_fields__))
        if strange:
            raise ValueError(f"A ScaLearn configuration has no field {', '.join(strange)}.")
        return cls(**fields)


VARIANTS: dict[str, ScaLearnConfig] = {
    "scalearn": ScaLearnConfig(),
    "scalearn_uniform": ScaLearnConfig(uniform=True),
    "scalearn_pp": ScaLearnConfig(shared=True),
    "scalearn_uniform_pp": ScaLearnConfig(uniform=True, shared=True, dropout_prob=0.0),
    "scalearn_mean": ScaLearnConfig(constraint="mean", dropout_prob=0.0),
    "scalearn_softmax": ScaLearnConfig(constraint="softmax", dropout_prob=0.0),
    "scalearn_init_1": ScaLearnConfig(init_scale=1.0),
    "scalearn_no_dropout": ScaLearnConfig(dropout_prob=0.0),
    "scalearn_penalty_0_1": ScaLearnConfig(regularization=0.1),
    "scalearn_penalty_0_01": ScaLearnConfig(regularization=0.01),
}


def as_scalearn(config: object) -> ScaLearnConfig | None:
    """Return `config` as a `ScaLearnConfig`, or `None` where it describes plain AdapterFusion.

    Raises:
        ValueError: a name that is neither a ScaLearn variant nor a fusion configuration of adapters, or no
            configuration at all.
    """
    if config is None:
        return None
    if isinstance(config, str):
        if config in VARIANTS:
            return VARIANTS[config]
        if config not in ADAPTERFUSION_CONFIG_MAP:
            raise _unknown_name(config)
        return None
    if not isinstance(config, Mapping):
        raise ValueError(f"A fusion configuration is a name, a configuration object or a dictionary, not {config!r}.")
    return ScaLearnConfig.load(config) if config.get("architecture") == ARCHITECTURE else None


def _unknown_name(name: str) -> ValueError:
    names = [*VARIANTS, *ADAPTERFUSION_CONFIG_MAP]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return ValueError(f"Unknown fusion configuration '{name}'{hint}; valid: {', '.join(names)}, or a ScaLearnConfig.")
