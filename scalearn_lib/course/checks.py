"""What the assignments' tests are made of: each failure is an `AssertionError` in words that a student can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..composition import ScaLearnConfig
from ..composition.layer import ScaLearnLayer


class Unanswered(Exception):
    """Stands in a release where the solution was: the task has no answer yet."""


def attempt(function: Callable[..., object], *args: object, **kwargs: object) -> object:
    """Return what a student's function returns.

    Raises:
        AssertionError: it returned nothing or raised something; the message says what, in one sentence.
    """
    name = getattr(function, "__name__", "The function")
    try:
        result = function(*args, **kwargs)
    except Unanswered:
        raise AssertionError(f"{name} has no answer yet.") from None
    except Exception as error:  # whatever a student's code raises is an answer to report
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise AssertionError(f"{name} stopped with {reason[:300]}") from error
    assert result is not None, f"{name} returns nothing: is the `return` missing?"
    return result


def compare(
    result: object,
    expected: Tensor,
    what: str,
    mistakes: Mapping[str, Tensor] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Compare a student's tensor with the right one, and name the mistake where it is a known one.

    Args:
        result: what the student's function returned.
        expected: the right answer.
        what: what was computed, for the message.
        mistakes: what known mistakes would have given, by the sentence that explains each.
        tolerance: largest difference that is no mistake, for values of about one.

    Raises:
        AssertionError: `result` differs.
    """
    assert torch.is_tensor(result), f"{what}: a tensor is expected, not {type(result).__name__}."
    if _same(result, expected, tolerance):
        return
    for sentence, wrong in (mistakes or {}).items():
        assert not _same(result, wrong, tolerance), f"{what}: {sentence}"
    shapes = f"shape {tuple(expected.shape)} is expected, yours is {tuple(result.shape)}"
    assert result.shape == expected.shape, f"{what}: {shapes}."
    assert bool(result.isfinite().all()), f"{what}: your result has infinite values or NaN."
    difference = (result - expected).abs().max().item()
    raise AssertionError(f"{what}: your numbers are off by up to {difference:.3g}, and no known mistake explains it.")


def _same(result: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree; a tensor of another shape never does."""
    return result.shape == expected.shape and torch.allclose(
        result.detach().double(), expected.detach().double(), rtol=tolerance, atol=tolerance
    )


@contextmanager
def given(namespace: dict[str, object], **functions: object) -> Iterator[None]:
    """Put functions in place of a notebook's own for a while, so that a mistake in one task costs nothing in the next.

    Args:
        namespace: the notebook's `globals()`.
        **functions: what stands for what, by name.
    """
    own = {name: namespace[name] for name in functions if name in namespace}
    namespace.update(functions)
    try:
        yield
    finally:
        for name in functions:
            del namespace[name]
        namespace.update(own)


def library_sum(omega: Tensor, outputs: Tensor) -> Tensor:
    """Return Σ_t ω_t ⊙ o_t as the library computes it, from outputs `(sources, batch, tokens, hidden)`."""
    sources = [str(number) for number in range(len(omega))]
    config = ScaLearnConfig(uniform=omega.shape[1] == 1)
    return ScaLearnLayer(config, sources, outputs.shape[-1], omega).loop(omega, list(outputs))


def library_layer_output(h: Tensor, omega: Tensor, outputs: Tensor) -> Tensor:
    """Return a layer's hidden states after its sources, by the library's sum."""
    return h + library_sum(omega, outputs)


def series(
    result: object,
    expected: pd.Series | pd.DataFrame,
    what: str,
    mistakes: Mapping[str, pd.Series | pd.DataFrame] | None = None,
) -> None:
    """Compare a student's pandas table with the right one, labels and their order included; see `compare`.

    Raises:
        AssertionError: `result` differs.
    """
    kind = type(expected)
    assert isinstance(result, kind), f"{what}: a {kind.__name__} is expected, not {type(result).__name__}."

    def same(one: pd.Series | pd.DataFrame, other: pd.Series | pd.DataFrame) -> bool:
        labels = one.shape == other.shape and all(list(a) == list(b) for a, b in zip(one.axes, other.axes, strict=True))
        return labels and np.allclose(one.to_numpy(dtype=float), other.to_numpy(dtype=float), equal_nan=True)

    if same(result, expected):
        return
    for sentence, wrong in (mistakes or {}).items():
        assert not (isinstance(wrong, kind) and same(result, wrong)), f"{what}: {sentence}"
    assert result.shape == expected.shape, f"{what}: shape {expected.shape} is expected, yours is {result.shape}."
    raise AssertionError(f"{what}: labels or numbers differ from what is expected, and no known mistake explains it.")


def close(result: object, expected: float, what: str, mistakes: Mapping[str, float] | None = None) -> None:
    """Compare a student's number with the right one, to four digits; see `compare`.

    Raises:
        AssertionError: `result` differs.
    """
    try:
        number = float(result)
    except (TypeError, ValueError):
        raise AssertionError(f"{what}: a number is expected, not {result!r}.") from None
    if np.isclose(number, expected, rtol=1e-3, atol=1e-4):
        return
    for sentence, wrong in (mistakes or {}).items():
        assert not np.isclose(number, wrong, rtol=1e-3, atol=1e-4), f"{what}: {sentence}"
    raise AssertionError(f"{what}: {expected:.4g} is expected, yours is {number:.4g}.")
