"""Probing as a unit of work of a grid: one target with its own and a partner's adapter at every pair of strengths."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ..errors import UserError
from ..runs.run import Run
from ..training.budget import SOURCE_BUDGET
from .store import TYPES, pairs_file, stored_pairs

GRID = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
"""Strengths ω in the paper. Where the partner's is 0, the target's own adapter is probed alone, and the other way."""

HEADS = (0, 1, 2, 3, 4)
"""Seeds of the probing heads in the paper."""


ROWS = {
    "paper": (None, None, None),
    "converged": (1000, 300, 1000),
    "medium": (1000, 300, 1000),
    "quick": (200, 100, 300),
    "smoke": (16, 8, 16),
}
"""Training, validation and test examples at most that a budget probes with; `None` means all."""


@dataclass(frozen=True)
class Probe:
    """All pairs of strengths of the target's own adapter and a partner's, as in notebook 01.

    In the budget `paper` a head goes on adapters of its own seed, as in the paper's runs, so that scores vary with
    both; elsewhere all heads share the adapters of seed 0, which is a fifth of the training and of the encoding.

    Args:
        suite, target, partner, encoder, budget: names.
        grid: the strengths of each of the two.
        heads: seeds of the probing heads.

    Raises:
        UserError: a task has the name of a column of the tables of scores.
    """

    suite: str
    target: str
    partner: str
    encoder: str
    budget: str
    grid: tuple[float, ...] = GRID
    heads: tuple[int, ...] = HEADS

    def __post_init__(self) -> None:
        for name in (self.target, self.partner):
            if name in TYPES:
                raise UserError(
                    f"Task '{name}' cannot be probed: the table of scores has a column called '{name}'; "
                    "give the task another name."
                )

    def heads_by_adapters(self) -> dict[int, tuple[int, ...]]:
        """The seeds of the heads that go on the adapters of a seed, by that seed."""
        return {head: (head,) for head in self.heads} if self.budget == "paper" else {0: self.heads}

    def sources(self) -> dict[tuple[str, int], Run]:
        """The runs of the source adapters by task and seed, the target's own first."""
        return {
            (name, seed): Run(self.suite, name, "adapter", self.encoder, seed, budget=SOURCE_BUDGET[self.budget])
            for seed in self.heads_by_adapters()
            for name in (self.target, self.partner)
        }

    def file(self, output: Path) -> Path:
        """The table of scores below `output`; what the reference study has of the probe need not be there."""
        return pairs_file(output, self.suite, self.encoder, self.budget, self.target, self.partner)

    def is_stored(self, output: Path) -> bool:
        """Whether the table, with what the reference study has of it, has all of these strengths and heads."""
        stored = stored_pairs(output, self.suite, self.encoder, self.budget, self.target, self.partner)
        if stored is None:
            return False
        there = {tuple(row) for row in stored[[self.target, self.partner, "seed"]].to_numpy().tolist()}
        return there >= set(product(self.grid, self.grid, self.heads))

    def __str__(self) -> str:
        return f"{self.suite}/{self.target}+{self.partner} probing ({self.encoder}, {self.budget})"
