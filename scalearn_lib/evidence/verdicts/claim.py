"""A claim as data: what is compared, and what a verdict needs."""

from __future__ import annotations

from dataclasses import dataclass

from ...methods import get_method

SHOTS = (4, 16, 32, 100)
FULL_GAIN, FEW_GAIN = 0.5, 1.0
"""Smallest gains that matter, in points (score times 100): on full data, and on k examples."""

PAPER, QUESTIONS, BEYOND = "the paper's claims", "its reviewers' questions", "beyond the paper"
"""Families, within which verdicts are corrected for their number."""

HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
VERDICTS = (HOLDS, FAILS, UNDECIDED, NOT_RUN)
OPEN = "open"
"""What is predicted of a claim where nothing was."""

HALVES = ("ignored", "entropy")
"""What a share is compared with a half for; whichever side is shown decides."""
PERCENT = "percentage points"
"""Their unit: a *point* alone is one of a score."""


@dataclass(frozen=True)
class Claim:
    """A claim about two methods, or about something else that stored results tell.

    Args:
        name: short and unique.
        title: the claim, in words.
        kind: "above" (by anything, where `bound` is the smallest gain that matters), "within" `bound` points of each
            other, "never below" by `bound` points on any task, "share" (less often than by chance), or "count".
        method, other: what is compared, in this order.
        bound: in points; for a count in percent.
        k: training examples; `None` means all.
        about: where it is found: "runs", "equal budgets", "equal patience", "heads"; of the probes "omega", "pair",
            "sum" and "free"; beyond the paper "own rate", "random sources", "with random sources", "ignored",
            "kept", "repaired", "entropy" (see `beyond.py`).
        family: `PAPER`, `QUESTIONS` or `BEYOND`.
        number: of random sources, or of sources that are kept.
        predicted: the verdict that was expected before the runs, `HOLDS`, `FAILS` or `OPEN`.
    """

    name: str
    title: str
    kind: str
    method: str = ""
    other: str = ""
    bound: float = 0.0
    k: int | None = None
    about: str = "runs"
    family: str = PAPER
    number: int = 0
    predicted: str = HOLDS

    @property
    def rule(self) -> str:
        """Kind and bound as `docs/claims.md` writes them."""
        sign = {"above": ", δ", "within": ", m", "never below": ", m"}.get(self.kind)
        return self.kind if sign is None or self.about in HALVES else f"{self.kind}{sign} {self.bound:g}"


def title_of(method: str) -> str:
    """A method's name within a claim."""
    return "the single adapter" if method == "adapter" else get_method(method).title


def above(name: str, method: str, other: str, k: int | None = None, **more: object) -> Claim:
    """The claim that a method is above another, on k examples or on all; `more` are fields of `Claim`."""
    title = f"{'' if k is None else f'k = {k}: '}{title_of(method)} is above {title_of(other)}"
    more = {"title": title, "bound": FULL_GAIN if k is None else FEW_GAIN} | more
    return Claim(name=name, kind="above", method=method, other=other, k=k, **more)


def few(name: str, pairs: tuple[tuple[str, str], ...], **more: object) -> list[Claim]:
    """The same for each number of shots and each pair of methods."""
    return [
        above(f"{name}-{k}-{number}", *pair, k=k, **more) for k in SHOTS for number, pair in enumerate(pairs, start=1)
    ]
