"""What goes beyond the paper, as claims; `docs/claims.md` says what was predicted."""

from __future__ import annotations

import itertools

from .claim import BEYOND, FAILS, HOLDS, OPEN, Claim, above, title_of

BEYOND_SHOTS = 32
"""Shots of the few-shot half of what goes beyond the paper."""

CONTINUUM = (
    "scalearn_uniform_pp",
    "scalearn_uniform",
    "scalearn_blocks_2",
    "scalearn_blocks_8",
    "scalearn_blocks_32",
    "scalearn",
    "scalearn_low_rank",
    "adapter_fusion",
)
"""From one number per source to attention."""

RANDOM_SOURCES, KEPT = (1, 4, 16, 56), (1, 2, 4)
"""Numbers of random sources that are added, and of sources that are kept."""

ON_ALL = 16
"""Random sources that are added with all examples."""

AS_MANY = 9
"""Random sources, as many as `offline` has trained ones: 4/T with them starts each source where 2/T does without."""


def _starts() -> list[Claim]:
    variants = ("scalearn", "scalearn_uniform_pp")
    full = [
        above(f"start-full-{number}", f"{name}_from_target", name, family=BEYOND)
        for number, name in enumerate(variants, start=1)
    ]
    few = [
        above(f"start-{BEYOND_SHOTS}-{number}", name, f"{name}_from_target", k=BEYOND_SHOTS, family=BEYOND)
        for number, name in enumerate(variants, start=1)
    ]
    heights = [
        above("start-full-3", "scalearn_init_4", "scalearn", family=BEYOND, predicted=FAILS),
        above(f"start-{BEYOND_SHOTS}-3", "scalearn", "scalearn_init_1", k=BEYOND_SHOTS, family=BEYOND),
        above(f"start-{BEYOND_SHOTS}-4", "scalearn_init_4", "scalearn", k=BEYOND_SHOTS, family=BEYOND),
        above(
            f"start-{BEYOND_SHOTS}-5",
            "scalearn_init_8",
            "scalearn_init_4",
            k=BEYOND_SHOTS,
            family=BEYOND,
            predicted=FAILS,
        ),
    ]
    return [*full, *few, *heights]


def _rates() -> list[Claim]:
    return [
        above(
            f"rate-{number}" if k is None else f"rate-{k}-{number}",
            name,
            name,
            k=k,
            title=f"{'' if k is None else f'k = {k}: '}{title_of(name)} gains by a learning rate of its own for ω",
            about="own rate",
            family=BEYOND,
            predicted=FAILS,
        )
        for k in (None, BEYOND_SHOTS)
        for number, name in enumerate(("scalearn", "scalearn_uniform_pp"), start=1)
    ]


def _finer() -> list[Claim]:
    return [
        above(f"finer-{k or 'full'}-{number}", finer, coarser, k=k, family=BEYOND, predicted=FAILS if k else HOLDS)
        for k in (None, BEYOND_SHOTS)
        for number, (coarser, finer) in enumerate(itertools.pairwise(CONTINUUM), start=1)
    ]


def _random_sources() -> list[Claim]:
    started = f"k = {BEYOND_SHOTS}, "
    within = [
        Claim(
            f"random-{count}-{number}",
            f"{started}{count} random source{'s' * (count > 1)} added: {title_of(name)} keeps within 1 point",
            "within",
            name,
            name,
            1.0,
            BEYOND_SHOTS,
            "random sources",
            BEYOND,
            count,
            OPEN if name != "scalearn" else HOLDS if count <= 16 else FAILS,
        )
        for count in RANDOM_SOURCES
        for number, name in enumerate(("scalearn", "adapter_fusion", "lorahub"), start=1)
    ]
    ignored = [
        Claim(
            f"ignored-{count}-{number}",
            f"{started}{count} random sources added: {what} ends below half of a trained one's",
            "above",
            name,
            name,
            0.0,
            BEYOND_SHOTS,
            "ignored",
            BEYOND,
            count,
        )
        for count in RANDOM_SOURCES[1:]
        for number, (name, what) in enumerate(
            (("scalearn", "the mean size of their ω"), ("adapter_fusion", "AdapterFusion's attention to one")), start=1
        )
    ]
    added = f"{ON_ALL} random sources added: "
    scalearn = {"method": "scalearn", "other": "scalearn", "family": BEYOND, "number": ON_ALL}
    full = [
        Claim(
            f"random-full-{ON_ALL}-1",
            f"{added}{title_of('scalearn')} keeps within 1 point",
            "within",
            bound=1.0,
            about="random sources",
            **scalearn,
        ),
        Claim(
            f"ignored-full-{ON_ALL}-1",
            f"{added}the mean size of their ω ends below half of a trained one's",
            "above",
            about="ignored",
            predicted=FAILS,
            **scalearn,
        ),
    ]
    return within + ignored + full


def _height_with_random_sources() -> list[Claim]:
    """Whether random sources cost what they do because all sources start lower."""
    added = f"k = {BEYOND_SHOTS}, {AS_MANY} random sources added: {title_of('scalearn_init_4')}"
    common = {"k": BEYOND_SHOTS, "family": BEYOND, "number": AS_MANY}
    return [
        above(
            f"height-{BEYOND_SHOTS}-1",
            "scalearn_init_4",
            "scalearn",
            title=f"{added} is above ScaLearn with them",
            about="with random sources",
            **common,
        ),
        Claim(
            f"height-{BEYOND_SHOTS}-2",
            f"{added} keeps within 1 point of ScaLearn without them",
            "within",
            "scalearn_init_4",
            "scalearn",
            1.0,
            about="random sources",
            **common,
        ),
    ]


def _fewer_sources() -> list[Claim]:
    return [
        Claim(
            f"{about}-{k or 'full'}-{count}",
            f"{'' if k is None else f'k = {k}: '}ScaLearn with its {count} largest source{'s' * (count > 1)}"
            f"{' and a short repair' * (about == 'repaired')} keeps within 1 point of all",
            "within",
            "scalearn",
            "scalearn",
            1.0,
            k,
            about,
            BEYOND,
            count,
            HOLDS if about == "repaired" or count == max(KEPT) else OPEN,
        )
        for k in (None, BEYOND_SHOTS)
        for about in ("kept", "repaired")
        for count in KEPT
    ]


def _collapse() -> list[Claim]:
    return [
        Claim(
            f"entropy-{k or 'full'}-{number}",
            f"{'' if k is None else f'k = {k}: '}{title_of(name)} ends with more than half of its first entropy",
            "above",
            name,
            name,
            0.0,
            k,
            "entropy",
            BEYOND,
            predicted=HOLDS if name == "scalearn" else FAILS,
        )
        for k in (None, BEYOND_SHOTS)
        for number, name in enumerate(("scalearn", "scalearn_softmax", "adapter_fusion"), start=1)
    ]


BEYOND_CLAIMS: tuple[Claim, ...] = (
    *_starts(),
    *_rates(),
    *_finer(),
    *_random_sources(),
    *_height_with_random_sources(),
    *_fewer_sources(),
    *_collapse(),
)
"""All of them, in the order of `docs/claims.md`."""
