"""What need not run again: the encoder below the first adapter, on a batch that it has seen."""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from adapters.methods.bottleneck import BottleneckLayer
from torch import Tensor, nn
from transformers import Trainer

from ..tasks import Task

KEPT_BYTES = 2**28
"""What is kept of the batches of a task for later evaluations; the batches beyond are computed each time."""


@dataclass
class Kept:
    """Outputs of the modules below by batch and name, the parameters that they rest on, and their bytes."""

    parameters: list[Tensor] = field(default_factory=list)
    outputs: dict[str, dict[str, object]] = field(default_factory=dict)
    size: int = 0


@functools.lru_cache(maxsize=1)
def _kept(task: Task) -> Kept:
    """The outputs kept in this process: those of the latest task."""
    return Kept()


def share_below(trainer: Trainer, task: Task) -> None:
    """Let a trainer's evaluations take up what earlier ones on this task computed below the first adapter.

    Validation repeats in a run, and so do validation and test in all runs on a task. What does not learn and lies
    below all that does gives the same numbers each time, bit for bit. Models without bottleneck adapters, and such
    that learn below them, are left as they are.
    """
    step = trainer.prediction_step
    below: dict[str, nn.Module] | None = None

    def prediction_step(model: nn.Module, inputs: dict[str, Tensor], *arguments, **more):
        nonlocal below
        if below is None:
            below = modules_below(model, lambda: model(**{name: value[:1] for name, value in inputs.items()}))
            parameters = [p for module in below.values() for p in module.parameters()]
            if any(p.requires_grad for p in parameters):
                below = {}
            elif below:
                _rest_on(_kept(task), parameters)
        if not below:
            return step(model, inputs, *arguments, **more)
        kept, batch = _kept(task), _digest(inputs)
        outputs = kept.outputs.get(batch, {})
        with each_once(below, outputs):
            result = step(model, inputs, *arguments, **more)
        size = sum(map(_bytes, outputs.values()))
        if batch not in kept.outputs and kept.size + size <= KEPT_BYTES:
            kept.outputs[batch] = outputs
            kept.size += size
        return result

    trainer.prediction_step = prediction_step


def _rest_on(kept: Kept, parameters: list[Tensor]) -> None:
    """Forget what was computed with other parameters than these."""
    same = len(kept.parameters) == len(parameters) and all(map(torch.equal, kept.parameters, parameters))
    if not same:
        kept.parameters, kept.outputs, kept.size = parameters, {}, 0


def _digest(inputs: Mapping[str, Tensor]) -> str:
    """A batch's fingerprint: its names, shapes and numbers, of which the labels bear on nothing below."""
    digest = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        if name != "labels":
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


def _bytes(output: object) -> int:
    parts = output if isinstance(output, (tuple, list)) else (output,)
    return sum(part.nbytes for part in parts if isinstance(part, Tensor))


@torch.no_grad()
def modules_below(model: nn.Module, forward: Callable[[], object]) -> dict[str, nn.Module]:
    """Return the encoder's modules, by name, that have done their work before its first adapter begins.

    They are found in one forward pass; modules that it runs more than once, that run by a `forward` of their own
    instance, or that are parts of another that is returned are left out. Without a bottleneck adapter there are none.

    Args:
        model: a model of adapters.
        forward: runs it once.
    """
    first = next((m for m in model.base_model.modules() if isinstance(m, BottleneckLayer) and len(m.adapters)), None)
    if first is None:
        return {}
    compose = first.bottleneck_layer_forward
    done: dict[str, nn.Module] = {}
    runs: Counter[nn.Module] = Counter()
    reached = False

    def begin(*arguments, **more) -> Tensor:
        nonlocal reached
        reached = True
        return compose(*arguments, **more)

    def ends(name: str, module: nn.Module, *_) -> None:
        runs[module] += 1
        if not reached:
            done[name] = module

    with ExitStack() as undo:
        first.bottleneck_layer_forward = begin
        undo.callback(delattr, first, "bottleneck_layer_forward")
        for name, module in model.base_model.named_modules():
            undo.callback(module.register_forward_hook(functools.partial(ends, name)).remove)
        forward()
    own = {name: module for name, module in done.items() if runs[module] == 1 and "forward" not in vars(module)}
    return {name: module for name, module in own.items() if not any(name.startswith(f"{of}.") for of in own)}


@contextmanager
def each_once(modules: Mapping[str, nn.Module], outputs: dict[str, object]) -> Iterator[None]:
    """Let modules give the `outputs` that are there under their names; what is not there is computed, and put there."""

    def remember(name: str, forward: Callable[..., object]) -> Callable[..., object]:
        def once(*arguments, **more) -> object:
            if name not in outputs:
                outputs[name] = forward(*arguments, **more)
            return outputs[name]

        return once

    for name, module in modules.items():
        module.forward = remember(name, module.forward)
    try:
        yield
    finally:
        for module in modules.values():
            del module.forward
