"""The paper's claims and its reviewers' questions.

`docs/claims.md` says why, and was written before the runs; a test holds one to the other.
"""

from __future__ import annotations

from .beyond_list import BEYOND_CLAIMS
from .claim import FULL_GAIN, OPEN, PAPER, QUESTIONS, Claim, above, few, title_of


def _within(number: int, method: str, margin: float) -> Claim:
    points = f"{margin:g} point{'s' * (margin != 1)}"
    title = f"{title_of(method)} keeps within {points} of ScaLearn"
    return Claim(f"variant-{number}", title, "within", method, "scalearn", margin)


def _each(number: int, other: str) -> Claim:
    title = f"Consistently: on no task is ScaLearn a point below {title_of(other)}"
    return Claim(f"each-{number}", title, "never below", "scalearn", other, 1.0)


def _probes(name: str, about: str, title: str, kind: str = "above", bound: float = FULL_GAIN) -> Claim:
    return Claim(name, title, kind, bound=bound, about=about)


_JOINT = ("full_m", "adapter_m", "propetl_m", "hyperformer", "hyperformer_pp")
_OTHERS = ("ia3", "polytropon", "multi_head_routing")
_ASKED = {"family": QUESTIONS}

CLAIMS: tuple[Claim, ...] = (
    above("full-1", "scalearn", "adapter"),
    above("full-2", "scalearn", "adapter_fusion"),
    above("full-3", "scalearn_uniform_pp", "adapter_fusion"),
    *(above(f"joint-{number}", "scalearn", other) for number, other in enumerate(_JOINT, start=1)),
    _within(1, "scalearn_pp", 0.5),
    _within(2, "scalearn_uniform", 1.0),
    _within(3, "scalearn_uniform_pp", 1.0),
    _each(1, "adapter"),
    _each(2, "adapter_fusion"),
    *few("few", (("scalearn", "adapter"), ("scalearn", "adapter_fusion"))),
    above(
        "free-1",
        "scalearn",
        "scalearn_mean",
        title="Unconstrained coefficients are above those divided by their sum (mean)",
    ),
    above(
        "free-2", "scalearn", "scalearn_softmax", title="Unconstrained coefficients are above a softmax over sources"
    ),
    above("init-1", "scalearn", "scalearn_init_1", title="Starting at 2/T is above starting at 1/T"),
    above("dropout-1", "scalearn", "scalearn_no_dropout", title="Dropout of the coefficients is above none"),
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
    *(above(f"other-{number}", "scalearn", other, **_ASKED) for number, other in enumerate(_OTHERS, start=1)),
    above(
        "equal-1",
        "scalearn",
        "adapter_fusion",
        title="Equal budgets: ScaLearn is above AdapterFusion",
        about="equal budgets",
        **_ASKED,
    ),
    above(
        "equal-2",
        "scalearn",
        "adapter",
        title="Equal patience: ScaLearn is above the single adapter",
        about="equal patience",
        predicted=OPEN,
        **_ASKED,
    ),
    above(
        "equal-3",
        "scalearn",
        "scalearn",
        title="ScaLearn gains by the single adapter's patience",
        about="equal patience",
        **_ASKED,
    ),
    above(
        "equal-4",
        "scalearn",
        "adapter",
        k=32,
        title="k = 32, the paper's steps and patience: ScaLearn is above the single adapter",
        about="equal patience",
        **_ASKED,
    ),
    *few("which", (("scalearn_pp", "scalearn"), ("scalearn_uniform_pp", "scalearn")), **_ASKED),
    *few("lora", (("scalearn_lora", "lora"), ("scalearn_lora", "lorahub")), **_ASKED),
    *BEYOND_CLAIMS,
)
"""All of them, in the order of `docs/claims.md`."""


def claims_about(suite: str) -> list[Claim]:
    """Return the claims that a suite's results may answer: of HumSet's, the paper claims nothing at k = 4."""
    return [c for c in CLAIMS if not (suite == "humset" and c.k == 4 and c.family == PAPER)]
