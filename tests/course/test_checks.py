"""The sentences that the assignments' tests fail with."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from scalearn_lib.course.checks import Unanswered, attempt, close, compare, given, series


def unanswered() -> None:
    raise Unanswered


def broken() -> None:
    raise ValueError("shapes do not fit\nsecond line")


@pytest.mark.parametrize(
    ("function", "words"),
    [(unanswered, "unanswered has no answer yet"), (broken, "ValueError: shapes do not fit"), (lambda: None, "return")],
)
def test_attempt_says_what_happened(function, words: str) -> None:
    with pytest.raises(AssertionError, match=words) as caught:
        attempt(function)
    assert "\n" not in str(caught.value)


def test_attempt_returns_what_the_function_does() -> None:
    assert attempt(lambda x, y: x + y, 2, y=3) == 5


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([1.0, 2.0], "a tensor is expected, not list"),
        (torch.tensor([2.0, 4.0]), "doubled"),
        (torch.tensor([[1.0, 2.0]]), r"shape \(2,\) is expected, yours is \(1, 2\)"),
        (torch.tensor([1.0, torch.nan]), "NaN"),
        (torch.tensor([1.0, 7.0]), "off by up to 5"),
    ],
)
def test_compare_names_what_is_wrong(result: object, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        compare(result, torch.tensor([1.0, 2.0]), "sum", {"It is doubled.": torch.tensor([2.0, 4.0])})


def test_compare_takes_the_right_answer_in_other_precision() -> None:
    compare(torch.tensor([1.0, 2.0]).double(), torch.tensor([1.0, 2.0]), "sum")


def test_series_looks_at_labels_and_order() -> None:
    right = pd.Series({"a": 1.0, "b": 2.0})
    series(right.copy(), right, "curve")
    with pytest.raises(AssertionError, match="order"):
        series(right[::-1], right, "curve", {"The order is wrong.": right[::-1]})
    with pytest.raises(AssertionError, match="labels or numbers differ"):
        series(right.rename({"a": "c"}), right, "curve")
    with pytest.raises(AssertionError, match="a Series is expected, not DataFrame"):
        series(right.to_frame(), right, "curve")


def test_close_names_a_known_mistake() -> None:
    close("1.00001", 1.0, "mean")
    with pytest.raises(AssertionError, match="half"):
        close(0.5, 1.0, "mean", {"That is half of it.": 0.5})
    with pytest.raises(AssertionError, match="a number is expected"):
        close([1.0, 2.0], 1.0, "mean")


def test_given_gives_a_notebook_its_own_functions_back() -> None:
    namespace = {"f": 1}
    with pytest.raises(ZeroDivisionError), given(namespace, f=2, g=3):
        assert namespace == {"f": 2, "g": 3}
        raise ZeroDivisionError
    assert namespace == {"f": 1}
