"""What the assignments' tests are made of: each failure is an `AssertionError` in words that a student can use."""

from __future__ import annotations

import builtins
import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from ..composition import ScaLearnConfig
from ..composition.layer import ScaLearnLayer


class Unanswered(Exception):
    """Stands in a release where the solution was: the task has no answer yet."""


_notebooks: list[dict[str, object]] = []
"""The namespaces of the notebooks whose test is running, the innermost last."""


def apart(test: FunctionType) -> None:
    """Run a test at once, in a namespace of its own.

    It sees what its parameters name, taken from the notebook, what it imports itself, and Python's builtins: no name
    of the notebook can change what it computes, and it leaves none behind. (As a decorator, under the name `_`.)

    Raises:
        AssertionError: the test fails, or the notebook lacks what it asks for.
    """
    notebook = test.__globals__
    names = inspect.signature(test).parameters
    for name in names:
        assert name in notebook, f"There is no {name}: was a cell above not executed, renamed, or did it fail?"
    own = FunctionType(test.__code__, {"__builtins__": builtins, "__name__": "test"}, test.__name__)
    _notebooks.append(notebook)
    try:
        own(*(notebook[name] for name in names))
    finally:
        _notebooks.pop()


def attempt(function: Callable[..., object], *args: object, **kwargs: object) -> object:
    """Return what a student's function returns for copies of the arguments, which it may change.

    Raises:
        AssertionError: it returned nothing or raised something; the message says what, in one sentence.
    """
    name = getattr(function, "__name__", "The function")
    try:
        result = function(*map(_copy, args), **kwargs)
    except Unanswered:
        raise AssertionError(f"{name} has no answer yet.") from None
    except Exception as error:  # whatever a student's code raises is an answer to report
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise AssertionError(f"{name} stopped with {reason[:300]}") from error
    assert result is not None, f"{name} returns nothing: is the `return` missing?"
    return result


def _copy(value: object) -> object:
    """A copy that keeps a tensor's place in the graph of gradients."""
    if torch.is_tensor(value):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copy, value))
    return copy.deepcopy(value)


def learns(function: Callable[[Tensor], object], omega: Tensor, what: str) -> None:
    """Check that a gradient reaches ω through a student's function.

    Raises:
        AssertionError: none does, so that training would leave ω as it is.
    """
    omega = omega.detach().clone().requires_grad_()
    result = function(omega)
    reached = torch.is_tensor(result) and result.requires_grad
    assert reached and torch.autograd.grad(result.sum(), omega, allow_unused=True)[0] is not None, (
        f"{what}: no gradient reaches ω (is it detached, or its data taken?), so nothing would learn it."
    )


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
    if same(result, expected, tolerance):
        return
    for sentence, wrong in (mistakes or {}).items():
        assert not same(result, wrong, tolerance), f"{what}: {sentence}"
    shapes = f"shape {tuple(expected.shape)} is expected, yours is {tuple(result.shape)}"
    assert result.shape == expected.shape, f"{what}: {shapes}."
    assert bool(result.isfinite().all()), f"{what}: your result has infinite values or NaN."
    difference = (result - expected).abs().max().item()
    raise AssertionError(f"{what}: your numbers are off by up to {difference:.3g}, and no known mistake explains it.")


def same(result: Tensor, expected: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree, in whatever precision; a tensor of another shape never does."""
    return result.shape == expected.shape and torch.allclose(
        result.detach().double(), expected.detach().double(), rtol=tolerance, atol=tolerance
    )


@contextmanager
def given(**functions: object) -> Iterator[None]:
    """Put functions in place of a notebook's own for a while, so that a mistake in one task costs nothing in the next.

    Only inside a test that runs `apart`.

    Args:
        **functions: what stands for what, by name.
    """
    namespace = _notebooks[-1]
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


def source_output(h: Tensor, adapter: tuple[Tensor, ...]) -> Tensor:
    """Return o = U relu(D h + a) + b, (batch, tokens, d), as assignment 1 defines it."""
    D, a, U, b = adapter
    return F.linear(torch.relu(F.linear(h, D, a)), U, b)


def folded_output(h: Tensor, folded: object) -> Tensor:
    """Return the output of a student's folded adapter.

    Raises:
        AssertionError: it is not four tensors that fit together.
    """
    assert isinstance(folded, tuple | list) and len(folded) == 4, "fold must return the four tensors (D, a, U, b)."
    assert all(map(torch.is_tensor, folded)), "fold must return four tensors, one of yours is none."
    try:
        return source_output(h.double(), tuple(part.double() for part in folded))
    except RuntimeError:
        raise AssertionError("The shapes of your (D, a, U, b) do not fit together.") from None


def random_adapters(T: int, L: int, d: int, r: int, seed: int) -> list[list[tuple[Tensor, ...]]]:
    """Return a list over layers of lists over sources of random adapters of width r, as assignment 1 makes them."""
    torch.manual_seed(seed)
    shapes = (r, d), (r,), (d, r), (d,)
    return [[tuple(0.4 * torch.randn(shape) for shape in shapes) for _ in range(T)] for _ in range(L)]


def series(
    result: object,
    expected: pd.Series | pd.DataFrame,
    what: str,
    mistakes: Mapping[str, pd.Series | pd.DataFrame] | None = None,
    ordered: bool = True,
) -> None:
    """Compare a student's pandas table with the right one; see `compare`.

    Args:
        result, expected, what, mistakes: as in `compare`.
        ordered: whether the order of the rows was asked for.

    Raises:
        AssertionError: `result` differs.
    """
    kind = type(expected)
    assert isinstance(result, kind), f"{what}: a {kind.__name__} is expected, not {type(result).__name__}."

    def alike(one: pd.Series | pd.DataFrame, other: pd.Series | pd.DataFrame) -> bool:
        if not ordered:
            one, other = one.sort_index(), other.sort_index()
        labels = one.shape == other.shape and all(list(a) == list(b) for a, b in zip(one.axes, other.axes, strict=True))
        return labels and np.allclose(one.to_numpy(dtype=float), other.to_numpy(dtype=float), equal_nan=True)

    if alike(result, expected):
        return
    for sentence, wrong in (mistakes or {}).items():
        assert not (isinstance(wrong, kind) and alike(result, wrong)), f"{what}: {sentence}"
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
