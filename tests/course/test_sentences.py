"""Feedback says what a test says, and nothing that a submission makes it say."""

from __future__ import annotations

import time

import pytest

from scalearn_lib.course.sentences import UNKNOWN, Sentences, Template

TEST = """
@_
def _(double):
    got = attempt(double, 3)
    case = f"double of 3 in {mode}: {got} instead of 6"
    assert got != 9, f"{case}. That is the square."
    assert not isinstance(got, str), f"A number is expected from double, not {got!r}."
    compare(result, expected, "double", {"It is tripled.": wrong})
    key = "slow mode"
"""
HIDDEN = "the hidden test asks for double(1234)"


@pytest.fixture(scope="module")
def sentences() -> Sentences:
    return Sentences(TEST)


@pytest.mark.parametrize(
    "text",
    [
        "double of 3 in slow mode: 9 instead of 6. That is the square.",
        "double: It is tripled.",
        "double: a tensor is expected, not ndarray.",
        "double: shape (2,) is expected, yours is (1, 2).",
        "double has no answer yet.",
        "A number is expected from double, not -1.25e+06.",
    ],
)
def test_what_a_test_says_is_said(sentences: Sentences, text: str) -> None:
    assert sentences.about("AssertionError", text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HIDDEN, UNKNOWN),
        (f"double stopped with ValueError: {HIDDEN}", "double stopped with …"),
        (f"A number is expected from double, not '{HIDDEN}'.", "A number is expected from double, not …."),
        (f"{HIDDEN} has no answer yet.", "… has no answer yet."),
        (f"double: a tensor is expected, not {'x' * 900}.", "double: a tensor is expected, not …."),
        (f"A number is expected from double, not {'7' * 33}.", "A number is expected from double, not …."),
        ("x" * 100_000, UNKNOWN),
    ],
)
def test_what_a_submission_says_is_left_out(sentences: Sentences, text: str, said: str) -> None:
    assert sentences.about("AssertionError", text) == said


def test_of_other_errors_only_known_names_are_said(sentences: Sentences) -> None:
    assert sentences.about("ValueError", HIDDEN) == "The test stopped with ValueError."
    assert sentences.about(HIDDEN, HIDDEN) == "The test stopped with an error."
    assert "'double' is not defined" in sentences.about("NameError", "name 'double' is not defined")
    assert "A name is not defined" in sentences.about("NameError", "name 'secret' is not defined")


def test_a_text_made_to_take_long_does_not(sentences: Sentences) -> None:
    started = time.perf_counter()
    for text in (": " * 500, "double: " * 125, " is expected, yours is " * 40, "a with b: " * 90):
        sentences.about("AssertionError", text)
    assert time.perf_counter() - started < 10


def test_a_template_finds_every_way_to_fill_it() -> None:
    assert list(Template(("", ": ", "")).holes("a: b: c")) == [["a", "b: c"], ["a: b", "c"]]
    assert list(Template(("x", "y", "z")).holes("xy")) == []
