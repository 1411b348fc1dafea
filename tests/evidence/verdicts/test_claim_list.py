"""What decides is written on a page that readers have, and the code has nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from scalearn_lib.evidence.verdicts.claim import BEYOND, PAPER, QUESTIONS
from scalearn_lib.evidence.verdicts.claim_list import CLAIMS, claims_about
from scalearn_lib.evidence.verdicts.telling import against_predictions
from scalearn_lib.methods import METHODS

PAGE = (Path(__file__).parents[3] / "docs" / "claims.md").read_text()


def rows(marker: str) -> list[tuple[str, ...]]:
    part = PAGE.split(f"<!-- {marker} -->")[1].split("\n\n")[0]
    return [tuple(line.strip("| ").split(" | ")) for line in part.splitlines() if line.startswith("| ")][1:]


def test_the_page_has_the_claims_of_the_code() -> None:
    for marker, family in (("paper", PAPER), ("questions", QUESTIONS), ("beyond", BEYOND)):
        predicted = [(claim.predicted,) * (family == BEYOND) for claim in CLAIMS if claim.family == family]
        coded = [(claim.name, claim.title, claim.rule) for claim in CLAIMS if claim.family == family]
        assert rows(marker) == [(*row, *word) for row, word in zip(coded, predicted, strict=True)]
        assert family == BEYOND or set(predicted) == {()}


def test_what_is_decided_is_set_against_what_was_predicted() -> None:
    words = [("holds", "holds"), ("holds", "does not hold"), ("does not hold", "open"), ("undecided", "holds")]
    told = against_predictions(pd.DataFrame(words, columns=["verdict", "predicted"]))
    assert told == "of 3 decided, 1 came out as predicted, 1 did not, 1 had no prediction"


def test_claims_name_methods_that_are_there_and_are_unique() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert {name for claim in CLAIMS for name in (claim.method, claim.other) if name} <= set(METHODS)


def test_humset_has_no_claim_at_four_examples() -> None:
    gone = {claim.name for claim in CLAIMS} - {claim.name for claim in claims_about("humset")}
    assert gone == {"few-4-1", "few-4-2"} and len(claims_about("glue")) == len(CLAIMS)
