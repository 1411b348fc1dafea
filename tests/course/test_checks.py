"""The sentences that the assignments' tests fail with."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from scalearn_lib.course.checks import Unanswered, apart, attempt, close, compare, given, learns, series


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


def test_order_counts_only_where_it_was_asked_for() -> None:
    right = pd.Series({"a": 1.0, "b": 2.0})
    series(right[::-1], right, "curve", ordered=False)


def test_an_answer_may_change_what_it_is_given() -> None:
    given_to_it = torch.zeros(2), [pd.DataFrame({"a": [1]})]
    attempt(lambda tensor, frames: (tensor.add_(1), frames[0].insert(0, "b", 2)), *given_to_it)
    assert given_to_it[0].sum() == 0 and list(given_to_it[1][0]) == ["a"]


def test_learns_wants_a_gradient() -> None:
    learns(lambda omega: 2 * omega, torch.ones(2), "sum")
    with pytest.raises(AssertionError, match="no gradient reaches ω"):
        learns(lambda omega: 2 * omega.detach(), torch.ones(2), "sum")


def test_a_test_apart_sees_only_what_it_names_and_leaves_nothing() -> None:
    notebook: dict[str, object] = {"apart": apart, "len": None, "answer": lambda: [1], "expected": 7}
    exec("@apart\ndef _(answer):\n    expected = 1\n    assert len(answer()) == expected", notebook)
    assert notebook["expected"] == 7 and notebook["_"] is None
    with pytest.raises(NameError, match="secret"):
        exec("secret = 1\n@apart\ndef _(answer):\n    secret", notebook)
    with pytest.raises(AssertionError, match="There is no missing"):
        exec("@apart\ndef _(missing):\n    pass", notebook)


def test_given_gives_a_notebook_its_own_functions_back() -> None:
    notebook = {"apart": apart, "given": given, "f": 1, "seen": []}
    with pytest.raises(ZeroDivisionError):
        exec(
            "def look(): seen.append((f, g))\n"
            "@apart\ndef _(given, look):\n    with given(f=2, g=3):\n        look()\n        1 / 0",
            notebook,
        )
    assert notebook["seen"] == [(2, 3)] and notebook["f"] == 1 and "g" not in notebook
