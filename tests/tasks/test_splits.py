"""Splits share no text and few-shot draws are even, for any rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.few_shot import few_shot
from scalearn_lib.tasks.splits import normalised, split

TEXTS = st.sampled_from(["a", "A", " a", "b", "b  c", "B c", "d", "e", "f", "g", "h", "i"])
OF = {task.kind: task for task in (*get_suite("humset").tasks, *get_suite("toy").tasks[:3])}
"""A task of each kind; its name and kind are all that matters here."""
QUICK = settings(max_examples=60, deadline=None)


def pairs(rows: list[tuple[str, str]]) -> Dataset:
    return Dataset.from_dict({"text": [a for a, _ in rows], "text_pair": [b for _, b in rows], "row": range(len(rows))})


def labelled(labels: list[int]) -> Dataset:
    features = Features({"row": Value("int64"), "label": ClassLabel(names=["x", "y", "z"])})
    return Dataset.from_dict({"row": list(range(len(labels))), "label": labels}, features=features)


def test_texts_are_compared_without_case_and_white_space() -> None:
    assert normalised(" Straße \n IST\tnass ") == normalised("STRASSE ist nass")


@QUICK
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=60), st.integers(0, 9), st.sampled_from([0.1, 0.3]))
def test_splits_keep_every_row_and_share_no_text(rows: list[tuple[str, str]], seed: int, share: float) -> None:
    rows = rows + [(f"left {i}", f"right {i}") for i in range(3)]  # enough for three splits
    splits = split(pairs(rows), ("text", "text_pair"), seed, share)
    assert sorted(row for part in splits.values() for row in part["row"]) == list(range(len(rows)))
    texts = {name: {normalised(t) for c in ("text", "text_pair") for t in part[c]} for name, part in splits.items()}
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["validation"]
    assert not texts["validation"] & texts["test"]
    assert max(len(splits["validation"]), len(splits["test"])) <= max(1, int(share * len(rows)))


def test_sizes_where_all_texts_differ() -> None:
    rows = Dataset.from_dict({"text": [f"text {i}" for i in range(300)]})
    assert {name: len(part) for name, part in split(rows, ("text",), 0).items()} == {
        "train": 240,
        "validation": 30,
        "test": 30,
    }
    assert len(split(rows, ("text",), 0, at_most=7)["test"]) == 7


def test_a_split_depends_on_its_seed_and_on_nothing_else() -> None:
    rows = Dataset.from_dict({"text": [f"text {i}" for i in range(20)]})
    test = split(rows, ("text",), 42)["test"]["text"][:]
    assert test == ["text 0", "text 15"]  # written down: a change of these moves every published number
    assert test != split(rows, ("text",), 43)["test"]["text"][:]


def test_rows_of_one_text_cannot_be_split() -> None:
    with pytest.raises(UserError, match="leave no test split"):
        split(Dataset.from_dict({"text": ["one"] * 50}), ("text",), 0)


@QUICK
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.data())
def test_few_shot_draws_k_different_rows_as_evenly_as_classes_allow(labels: list[int], data: st.DataObject) -> None:
    k, seed = data.draw(st.integers(1, len(labels))), data.draw(st.integers(0, 20))
    drawn = few_shot(OF["classification"], labelled(labels), k, seed)
    assert len(set(drawn)) == len(drawn) == k
    there, counts = Counter(labels), Counter(labels[row] for row in drawn)
    for label, size in there.items():
        # a class has fewer than another only where it has run out, or by one
        assert counts[label] == size or counts[label] >= max(counts.values()) - 1


@QUICK
@given(
    st.integers(2, 40), st.sampled_from(["classification", "multi_label", "regression"]), st.integers(0, 20), st.data()
)
def test_a_larger_draw_contains_a_smaller_one(size: int, kind: str, seed: int, data: st.DataObject) -> None:
    rows = labelled([i % 3 for i in range(size)])
    k = data.draw(st.integers(1, size - 1))
    small, large = (few_shot(OF[kind], rows, n, seed) for n in (k, k + 1))
    assert small == large[:k]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_seeds_draw_other_rows_and_the_same_seed_the_same(kind: str) -> None:
    rows = labelled([i % 3 for i in range(200)])
    draws = [tuple(few_shot(OF[kind], rows, 8, seed)) for seed in (0, 1, 2)]
    assert len(set(draws)) == 3
    assert tuple(few_shot(OF[kind], rows, 8, 1)) == draws[1]


def test_official_sampling_takes_the_first_rows_for_every_seed() -> None:
    rows = labelled([0] * 5 + [1] * 5)
    assert few_shot(OF["classification"], rows, 4, 0, "official") == few_shot(
        OF["classification"], rows, 4, 7, "official"
    )
    assert few_shot(OF["classification"], rows, 4, 0, "official") == [0, 1, 2, 3]


def test_few_shot_is_not_biased_to_the_first_rows_or_classes() -> None:
    rows = labelled([i % 3 for i in range(90)])
    drawn = [few_shot(OF["classification"], rows, 1, seed) for seed in range(60)]
    assert {row % 3 for rows in drawn for row in rows} == {0, 1, 2}
    assert 30 < np.mean(drawn) < 60


@pytest.mark.parametrize("k", [0, -1, 11])
def test_few_shot_needs_a_k_that_there_are_rows_for(k: int) -> None:
    with pytest.raises(
        UserError, match=f"Task 'toy_pair' has 10 training rows, so k must lie between 1 and 10, got {k}"
    ):
        few_shot(OF["classification"], labelled([0] * 10), k, 0)
