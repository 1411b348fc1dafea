"""Everything that the paper compares, by name. A new method is one module and one line here."""

from __future__ import annotations

from ..errors import unknown
from .base import Method, trainable_parameters, transfer_parameters
from .fusion import (
    AdapterFusion,
    ScaLearn,
    ScaLearnInit1,
    ScaLearnMean,
    ScaLearnNoDropout,
    ScaLearnPenalty1,
    ScaLearnPenalty10,
    ScaLearnPP,
    ScaLearnSoftmax,
    ScaLearnUniform,
    ScaLearnUniformPP,
)
from .hyperformer import HyperFormer, HyperFormerPP
from .multitask import AdapterMultiTask, FullMultiTask
from .propetl import ProPETL, ProPETLMultiTask
from .routing import MultiHeadRouting, Polytropon
from .single import IA3, Compacter, FullFineTuning, SingleAdapter
from .soup import AdapterSoup

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        FullFineTuning(),
        SingleAdapter(),
        ProPETL(),
        Compacter(),
        IA3(),
        FullMultiTask(),
        AdapterMultiTask(),
        ProPETLMultiTask(),
        HyperFormer(),
        HyperFormerPP(),
        AdapterFusion(),
        AdapterSoup(),
        Polytropon(),
        MultiHeadRouting(),
        ScaLearn(),
        ScaLearnUniform(),
        ScaLearnPP(),
        ScaLearnUniformPP(),
        ScaLearnMean(),
        ScaLearnSoftmax(),
        ScaLearnInit1(),
        ScaLearnNoDropout(),
        ScaLearnPenalty10(),
        ScaLearnPenalty1(),
    )
}


def get_method(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        UserError: no method has that name.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


__all__ = ["METHODS", "Method", "get_method", "trainable_parameters", "transfer_parameters"]
