"""Do the intervals cover, and how often is a verdict wrong? Synthetic scores with known truth, by the rules of claims.

    .venv/bin/python benchmarks/verdicts.py --json outputs/reference/verdict_simulation.json

Scores have a task's mean, a method's effect on that task and noise of each run; its standard deviation differs between
tasks and methods (lognormal, median one point). Few-shot runs share a part of their noise by seed, and are paired.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from scalearn_lib.evidence.verdicts.rules import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Weighed,
    above,
    decide,
    never_below,
    within,
)
from scalearn_lib.evidence.verdicts.scaling import gains, sums_to_one
from scalearn_lib.evidence.verdicts.statistics import (
    ALPHA,
    Sample,
    bootstrapped,
    effect_of,
    over_units,
    shuffled_shares,
)
from scalearn_lib.probing.pairs import GRID

SEEDS: dict[str, tuple[int, ...]] = {"2": (2,), "3": (3,), "5": (5,), "3 or 10": (3, 10)}
"""Seeds per task; of several, tasks take them in turn."""


class World:
    """Draws scores.

    Args:
        tasks: how many.
        seeds: a key of `SEEDS`.
        paired: whether runs of equal seed share half of their noise's variance.
        heavy: whether noise has Student's distribution with 3 degrees of freedom, scaled to the same variance.
    """

    def __init__(self, generator: np.random.Generator, tasks: int, seeds: str, paired=False, heavy=False) -> None:
        self.generator, self.paired, self.heavy = generator, paired, heavy
        self.seeds = [SEEDS[seeds][number % len(SEEDS[seeds])] for number in range(tasks)]

    def scores(self, effects: np.ndarray) -> list[np.ndarray]:
        """Scores of a method by task, given its true effects."""
        sd = self.generator.lognormal(0, 0.6, len(effects))
        return [effect + s * self.noise(n) for effect, s, n in zip(effects, sd, self.seeds, strict=True)]

    def noise(self, count: int) -> np.ndarray:
        """Noise of unit variance."""
        return self.generator.standard_t(3, count) / np.sqrt(3) if self.heavy else self.generator.normal(size=count)

    def samples(self, effects: np.ndarray) -> list[Sample]:
        """Samples of the difference between a method with these true effects and one with none."""
        first, second = self.scores(effects), self.scores(0 * effects)
        if not self.paired:
            return list(zip(first, second, strict=True))
        shared = [self.noise(n) for n in self.seeds]
        return [((a + c) - (b + c),) for a, b, c in zip(first, second, shared, strict=True)]


def coverage(generator, repeats: int, tasks: int, seeds: str, spread: float, paired=False, heavy=False) -> dict:
    """How often each interval contains the truth, and how long it is; also the bootstrap's own percentiles.

    Args:
        spread: standard deviation of the true effect over tasks.
    """
    world, hits, length = World(generator, tasks, seeds, paired, heavy), np.zeros(3), np.zeros(3)
    for _ in range(repeats):
        effects = generator.normal(0, spread, tasks)
        samples = world.samples(effects)
        effect = effect_of(samples, replicates=300)
        percentiles = np.quantile(bootstrapped(samples, replicates=300), [ALPHA, 1 - ALPHA])
        ends = np.array([(effect.low, effect.high), (effect.wide_low, effect.wide_high), percentiles])
        truths = np.array([effects.mean(), 0, 0])
        hits += (ends[:, 0] <= truths) & (truths <= ends[:, 1])
        length += ends[:, 1] - ends[:, 0]
    setting = {"tasks": tasks, "seeds": seeds, "spread": spread, "paired": paired, "heavy": heavy}
    names = ("these tasks", "tasks like these", "percentiles")
    return setting | {f"{n} {what}": round(v / repeats, 4) for what, values in (("covered", hits), ("length", length))
                      for n, v in zip(names, values, strict=True)}  # fmt: skip


def joint_coverage(generator, repeats: int, tasks: int, seeds: int) -> dict:
    """The same of the first interval where the second method's runs have all tasks, with half of their noise shared."""
    hits = np.zeros(2)
    for _ in range(repeats):
        common = generator.normal(size=seeds)
        samples = [
            (generator.normal(size=seeds), (common + generator.normal(size=seeds)) / np.sqrt(2)) for _ in range(tasks)
        ]
        for number, joint in enumerate((True, False)):
            effect = effect_of(samples, joint, replicates=0)
            hits[number] += effect.low <= 0 <= effect.high
    return {"tasks": tasks, "seeds": seeds, "as joint": hits[0] / repeats, "as independent": hits[1] / repeats}


def rates(generator, repeats: int, tasks: int, seeds: str, kind: str, truth: float, paired=False) -> dict:
    """How often a claim alone gets each verdict: "above" (δ 0.5), "within" 1 point, "never below" by 1 point."""
    world, counts = World(generator, tasks, seeds, paired), dict.fromkeys((HOLDS, FAILS, UNDECIDED), 0)
    for _ in range(repeats):
        counts[
            decide([_weigh(kind, world.samples(np.full(tasks, truth)), 0.5 if kind == "above" else 1.0)])[0].verdict
        ] += 1
    setting = {"kind": kind, "truth": truth, "tasks": tasks, "seeds": seeds, "paired": paired}
    return setting | {verdict: count / repeats for verdict, count in counts.items()}


def with_a_fourth_seed(generator, repeats: int, tasks: int, truth: float) -> dict:
    """Wrong verdicts on a claim "above" (δ 1): with three paired seeds, and with a fourth where these do not decide.

    Args:
        truth: at a bound of the claim: 0, where "holds" is wrong, or 1 point, where "does not hold" is.
    """
    world, wrong, found = World(generator, tasks, "5", paired=True), HOLDS if truth <= 0 else FAILS, np.zeros(2)
    for _ in range(repeats):
        scores = [score for (score,) in world.samples(np.full(tasks, truth))]
        three, four = (decide([_weigh("above", [(s[:n],) for s in scores], 1.0)])[0].verdict for n in (3, 4))
        found += (three == wrong, (four if three == UNDECIDED else three) == wrong)
    return {"tasks": tasks, "truth": truth, "three": found[0] / repeats, "and a fourth": found[1] / repeats}


def family(generator, repeats: int, tasks: int, seeds: str, truths: tuple[float, ...], heavy=False) -> dict:
    """Wrong verdicts in a family of claims that ScaLearn is above others, whose runs are all compared with the same.

    Args:
        truths: the true effect of each claim; "holds" is wrong at 0 or less, "does not hold" from 0.5 points on.
    """
    world, any_wrong, alone, right = World(generator, tasks, seeds, heavy=heavy), 0, 0, 0
    truth = np.array(truths)
    for _ in range(repeats):
        scalearn = world.scores(np.zeros(tasks))
        tests = [
            above(effect_of(list(zip(scalearn, world.scores(np.full(tasks, -e)), strict=True)), replicates=0), 0.5, 3)
            for e in truths
        ]
        verdicts = np.array([decision.verdict for decision in decide(tests)])
        any_wrong += bool((((verdicts == HOLDS) & (truth <= 0)) | ((verdicts == FAILS) & (truth >= 0.5))).any())
        p = np.array([(test.p_holds, test.p_fails) for test in tests])
        alone += bool((((p[:, 0] <= ALPHA) & (truth <= 0)) | ((p[:, 1] <= ALPHA) & (truth >= 0.5))).any())
        right += ((verdicts == HOLDS) & (truth > 0)).sum() / max(1, (truth > 0).sum())
    setting = {"claims": len(truths), "true": int((truth > 0).sum()), "largest": float(truth.max())}
    setting |= {"tasks": tasks, "seeds": seeds, "heavy": heavy}
    return setting | {
        "any wrong": any_wrong / repeats,
        "any wrong without Holm": alone / repeats,
        "shown": right / repeats,
    }


def probes(generator, repeats: int, targets: int, curve: float) -> dict:
    """Verdicts on the claims about probes, each alone: three partners a target, scores with noise of one point.

    Half of the noise's variance on test is shared by a target's partners.

    Args:
        curve: points that a pair loses at ω = 0 on both sides against the best place, (0.9, 0.5), by a paraboloid; 0 is
            noise alone, of which no claim is true.
    """
    counts = dict.fromkeys(("omega", "pair", "free", "sum"), 0)
    own, other = np.array(list(product(GRID, GRID))).T
    surface = -curve * ((own - 0.9) ** 2 + (other - 0.5) ** 2)
    for _ in range(repeats):
        frames = []
        for target in range(targets):
            shared = generator.normal(size=(2, len(own)))
            for partner in range(3):
                noise = (shared + generator.normal(size=shared.shape)) / np.sqrt(2)
                validation, score = (50 + surface + noise) / 100
                columns = {"omega_target": own, "omega_partner": other, "validation": validation, "score": score}
                frames.append(pd.DataFrame({"target": target, "partner": partner, **columns}))
        pairs = pd.concat(frames)
        for about in ("omega", "pair", "free"):
            test = above(over_units(gains(pairs, about).to_numpy()), 0.5, targets)
            counts[about] += test.p_holds <= ALPHA
        counts["sum"] += shuffled_shares(*sums_to_one(pairs), replicates=499)[0] <= ALPHA
    return {"targets": targets, "curve": curve} | {about: count / repeats for about, count in counts.items()}


def _weigh(kind: str, samples: list[Sample], bound: float) -> Weighed:
    now = float(np.mean([len(array) for sample in samples for array in sample]))
    if kind == "never below":
        return never_below(samples, bound, now)[0]
    return {"above": above, "within": within}[kind](effect_of(samples, replicates=0), bound, now)


def simulate(repeats: int) -> dict[str, list[dict]]:
    """Return all of it, with as many repetitions of each setting (fewer of families and probes, which are slow)."""
    generator = np.random.default_rng(0)
    jobs = {
        "coverage": [
            (coverage, tasks, seeds, spread, paired, heavy)
            for tasks, seeds, spread in product((4, 5, 9), SEEDS, (0.0, 3.0))
            for paired, heavy in ((False, False), (True, False), (False, True))
        ],
        "joint": [(joint_coverage, tasks, seeds) for tasks, seeds in product((5, 9), (3, 5))],
        "rates": [
            (rates, tasks, seeds, kind, truth, paired)
            for kind, truths in (
                ("above", (-1.0, 0.0, 0.25, 0.5, 1.0, 2.0)),
                ("within", (0.0, -0.5, -1.0, -2.0)),
                ("never below", (0.0, -1.0, -3.0)),
            )
            for truth, (tasks, paired) in product(truths, ((5, False), (9, False), (9, True)))
            for seeds in ("3", "5")
        ],
        "family": [
            (family, tasks, seeds, truths, heavy)
            for truths in ((0.0,) * 25, (0.0,) * 10 + (0.5,) * 10 + (2.0,) * 5, (2.0,) * 25)
            for (tasks, seeds), heavy in product(((5, "3"), (9, "3"), (9, "5"), (9, "3 or 10")), (False, True))
        ],
        "probes": [(probes, targets, curve) for targets, curve in product((4, 9), (0.0, 5.0, 50.0))],
        "looked": [(with_a_fourth_seed, tasks, truth) for tasks, truth in product((4, 5), (0.0, 1.0))],
    }
    of_part = {"probes": repeats // 6, "family": repeats // 2, "looked": 10 * repeats}
    bar = tqdm(total=sum(map(len, jobs.values())), leave=False, mininterval=5)
    found: dict[str, list[dict]] = {}
    for part, settings in jobs.items():
        for make, *setting in settings:
            found.setdefault(part, []).append(make(generator, max(1, of_part.get(part, repeats)), *setting))
            bar.set_postfix_str(part, refresh=False)
            bar.update()
    return found


def summary(found: dict[str, list[dict]]) -> dict[str, str]:
    """Return the figures that docs/claims.md quotes, in percent."""

    def span(values: list[float]) -> str:
        low, high = (f"{100 * value:.1f}" for value in (min(values), max(values)))
        return low if low == high else f"{low} to {high}"

    def of(part: str, what: str, **where: object) -> str:
        return span([row[what] for row in found[part] if all(row[key] == value for key, value in where.items())])

    normal = {"paired": False, "heavy": False}
    at_bound = {("above", 0.0): [HOLDS], ("above", 0.5): [FAILS], ("within", -1.0): [HOLDS, FAILS]}
    at_bound |= {("never below", -1.0): [HOLDS, FAILS]}
    wrong = [row[verdict] for row in found["rates"] for verdict in at_bound.get((row["kind"], row["truth"]), [])]
    return {
        "on these tasks covers, normal noise": of("coverage", "these tasks covered", heavy=False),
        "on these tasks covers, heavy tails": of("coverage", "these tasks covered", heavy=True),
        "joint runs: covers": of("joint", "as joint"),
        "joint runs: would cover if taken for independent": of("joint", "as independent"),
        "on tasks like these covers, tasks do not differ": of("coverage", "tasks like these covered", spread=0.0),
        "on tasks like these covers, tasks differ (sd 3)": of("coverage", "tasks like these covered", spread=3.0),
        "plain percentiles would cover, 4 tasks that differ": of(
            "coverage", "percentiles covered", tasks=4, spread=3.0, **normal
        ),
        "one claim at its bound: wrong verdict": span(wrong),
        "25 claims: any wrong verdict": span([row["any wrong"] for row in found["family"] if row["true"] < 25]),
        "25 claims: any wrong without Holm": span(
            [row["any wrong without Holm"] for row in found["family"] if row["true"] < 25]
        ),
        "25 true gains of 2 points: shown, 5 tasks, 3 seeds": of("family", "shown", true=25, tasks=5, heavy=False),
        "25 true gains of 2 points: shown, 9 tasks, 5 seeds": of(
            "family", "shown", true=25, tasks=9, seeds="5", heavy=False
        ),
        "one gain of 1 point: shown, 9 tasks, 5 seeds": of(
            "rates", HOLDS, kind="above", truth=1.0, tasks=9, seeds="5", paired=False
        ),
        "one tie: found (does not hold), 9 tasks, 5 seeds": of(
            "rates", FAILS, kind="above", truth=0.0, tasks=9, seeds="5", paired=False
        ),
        "one claim at its bound, 3 seeds: wrong verdict": of("looked", "three"),
        "one claim at its bound, a fourth seed where 3 do not decide: wrong verdict": of("looked", "and a fourth"),
        "probes, noise alone: a claim holds": span(
            [row[about] for row in found["probes"] if row["curve"] == 0 for about in ("omega", "pair", "free", "sum")]
        ),
        "probes, best pair (0.9, 0.5) far above: pair-2 holds, 9 targets": of("probes", "sum", targets=9, curve=50.0),
        "probes, best pair (0.9, 0.5) far above: pair-3 holds, 9 targets": of("probes", "free", targets=9, curve=50.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=600, help="synthetic studies per setting (default: 600)")
    parser.add_argument("--json", type=Path, help="write everything here")
    arguments = parser.parse_args()
    found = simulate(arguments.repeats)
    for what, figure in summary(found).items():
        print(f"{what}: {figure} %")
    if arguments.json:
        stored = {"repeats": arguments.repeats, "summary": summary(found), **found}
        arguments.json.write_text(json.dumps(stored, indent=0, default=float) + "\n")


if __name__ == "__main__":
    main()
