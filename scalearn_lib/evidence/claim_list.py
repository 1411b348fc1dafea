"""The paper's claims and its reviewers' questions, as data: what is compared, and what a verdict needs.

`docs/claims.md` says why, and was written before the runs; a test holds one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..methods import get_method

SHOTS = (4, 16, 32, 100)
FULL_GAIN, FEW_GAIN = 0.5, 1.0
"""Smallest gains that matter, in points (score times 100): on full data, and on k examples."""

PAPER, QUESTIONS = "the paper's claims", "its reviewers' questions"
"""Families, within which verdicts are corrected for their number."""


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
        about: where it is found: "runs", "equal budgets", "heads", or of the probes "omega", "pair", "sum" and "free".
        family: `PAPER` or `QUESTIONS`.
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

    @property
    def rule(self) -> str:
        """Kind and bound as `docs/claims.md` writes them."""
        sign = {"above": ", δ", "within": ", m", "never below": ", m"}.get(self.kind)
        return self.kind if sign is None else f"{self.kind}{sign} {self.bound:g}"


def _title(method: str) -> str:
    return "the single adapter" if method == "adapter" else get_method(method).title


def _above(name: str, method: str, other: str, k: int | None = None, **more: object) -> Claim:
    title = f"{'' if k is None else f'k = {k}: '}{_title(method)} is above {_title(other)}"
    more = {"title": title, "bound": FULL_GAIN if k is None else FEW_GAIN} | more
    return Claim(name=name, kind="above", method=method, other=other, k=k, **more)


def _few(name: str, pairs: tuple[tuple[str, str], ...], **more: object) -> list[Claim]:
    return [
        _above(f"{name}-{k}-{number}", *pair, k=k, **more) for k in SHOTS for number, pair in enumerate(pairs, start=1)
    ]


def _within(number: int, method: str, margin: float) -> Claim:
    points = f"{margin:g} point{'s' * (margin != 1)}"
    title = f"{_title(method)} keeps within {points} of ScaLearn"
    return Claim(f"variant-{number}", title, "within", method, "scalearn", margin)


def _each(number: int, other: str) -> Claim:
    title = f"Consistently: on no task is ScaLearn a point below {_title(other)}"
    return Claim(f"each-{number}", title, "never below", "scalearn", other, 1.0)


def _probes(name: str, about: str, title: str, kind: str = "above", bound: float = FULL_GAIN) -> Claim:
    return Claim(name, title, kind, bound=bound, about=about)


_JOINT = ("full_m", "adapter_m", "propetl_m", "hyperformer", "hyperformer_pp")
_OTHERS = ("ia3", "polytropon", "multi_head_routing")
_ASKED = {"family": QUESTIONS}

CLAIMS: tuple[Claim, ...] = (
    _above("full-1", "scalearn", "adapter"),
    _above("full-2", "scalearn", "adapter_fusion"),
    _above("full-3", "scalearn_uniform_pp", "adapter_fusion"),
    *(_above(f"joint-{number}", "scalearn", other) for number, other in enumerate(_JOINT, start=1)),
    _within(1, "scalearn_pp", 0.5),
    _within(2, "scalearn_uniform", 1.0),
    _within(3, "scalearn_uniform_pp", 1.0),
    _each(1, "adapter"),
    _each(2, "adapter_fusion"),
    *_few("few", (("scalearn", "adapter"), ("scalearn", "adapter_fusion"))),
    _above(
        "free-1",
        "scalearn",
        "scalearn_mean",
        title="Unconstrained coefficients are above those divided by their sum (mean)",
    ),
    _above(
        "free-2", "scalearn", "scalearn_softmax", title="Unconstrained coefficients are above a softmax over sources"
    ),
    _above("init-1", "scalearn", "scalearn_init_1", title="Starting at 2/T is above starting at 1/T"),
    _above("dropout-1", "scalearn", "scalearn_no_dropout", title="Dropout of the coefficients is above none"),
    _probes("omega-1", "omega", "The best single ω is often not 1: choosing it gains over ω = 1"),
    _probes("pair-1", "pair", "A pair of scaled adapters is above the better of the two alone"),
    _probes("pair-2", "sum", "The best pair seldom sums to one: less often than by chance", "share", 0.0),
    _probes("pair-3", "free", "The best pair is above the best that sums to one"),
    Claim(
        "heads-1",
        "With heads counted, ScaLearnUniform++ trains at most half of the single adapter's parameters",
        "count",
        "scalearn_uniform_pp",
        "adapter",
        50.0,
        about="heads",
        family=QUESTIONS,
    ),
    *(_above(f"other-{number}", "scalearn", other, **_ASKED) for number, other in enumerate(_OTHERS, start=1)),
    _above(
        "equal-1",
        "scalearn",
        "adapter_fusion",
        title="Equal budgets: ScaLearn is above AdapterFusion",
        about="equal budgets",
        **_ASKED,
    ),
    *_few("which", (("scalearn_pp", "scalearn"), ("scalearn_uniform_pp", "scalearn")), **_ASKED),
    *_few("lora", (("scalearn_lora", "lora"), ("scalearn_lora", "lorahub")), **_ASKED),
)
"""All of them, in the order of `docs/claims.md`."""


def claims_about(suite: str) -> list[Claim]:
    """Return the claims that a suite's results may answer: of HumSet's, the paper claims nothing at k = 4."""
    return [c for c in CLAIMS if not (suite == "humset" and c.k == 4 and c.family == PAPER)]
