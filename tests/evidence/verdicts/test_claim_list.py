"""What decides is written on a page that readers have, and the code has nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from scalearn_lib.evidence.verdicts.claim import BEYOND, PAPER, QUESTIONS
from scalearn_lib.evidence.verdicts.claim_list import CLAIMS, claims_about
from scalearn_lib.methods import METHODS

PAGE = (Path(__file__).parents[3] / "docs" / "claims.md").read_text()


def rows(marker: str) -> list[tuple[str, ...]]:
    part = PAGE.split(f"<!-- {marker} -->")[1].split("\n\n")[0]
    return [tuple(cell.strip() for cell in row) for row in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", part, re.M)][
        1:
    ]


def test_the_page_has_the_claims_of_the_code() -> None:
    for marker, family in (("paper", PAPER), ("questions", QUESTIONS), ("beyond", BEYOND)):
        coded = [(claim.name, claim.title, claim.rule) for claim in CLAIMS if claim.family == family]
        written = [row for row in rows(marker) if row[0] != "---"]
        assert written == coded


def test_claims_name_methods_that_are_there_and_are_unique() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    assert {name for claim in CLAIMS for name in (claim.method, claim.other) if name} <= set(METHODS)


def test_humset_has_no_claim_at_four_examples() -> None:
    gone = {claim.name for claim in CLAIMS} - {claim.name for claim in claims_about("humset")}
    assert gone == {"few-4-1", "few-4-2"} and len(claims_about("glue")) == len(CLAIMS)
