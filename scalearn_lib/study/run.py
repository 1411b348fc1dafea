"""A run: the unit of work. It knows what it needs and where its results lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import UserError
from ..methods import get_method
from ..tasks import get_suite, get_task
from .budget import Budget, make_budget

WEIGHTS = "weights"


@dataclass(frozen=True)
class Run:
    """One method on one target task with one seed.

    Args:
        suite, task, method: names; `scalearn tasks` and `scalearn methods` list them.
        encoder: "minilm", "tiny", a hub id or a folder.
        seed: seed of the initial values, the data order and the k-shot draw.
        k: number of training examples of a few-shot run; `None` means the whole training split.
        budget: "paper", "quick" or "smoke".
        overrides: settings of the budget to change, a mapping (kept as sorted pairs).

    Raises:
        UserError: an unknown name or a value out of range.
    """

    suite: str
    task: str
    method: str
    encoder: str = "minilm"
    seed: int = 0
    k: int | None = None
    budget: str = "quick"
    overrides: Mapping[str, object] | tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "overrides", tuple(sorted(dict(self.overrides).items())))
        get_task(self.suite, self.task)
        if not isinstance(self.seed, int) or self.seed < 0:
            raise UserError(f"A seed is a whole number of at least 0, got {self.seed!r}.")
        if self.k is not None and (not isinstance(self.k, int) or self.k < 1):
            raise UserError(f"k is a whole number of at least 1, got {self.k!r}.")
        self.settings()

    def settings(self) -> Budget:
        """The budget's settings for this method and k, with the overrides."""
        return make_budget(self.budget, get_method(self.method), self.k, dict(self.overrides))

    def folder(self, output: Path) -> Path:
        """Folder of this run's result below `output`."""
        budget = "-".join([self.budget, *(f"{key}={value}" for key, value in self.overrides)])
        task = self.task if self.k is None else f"{self.task}-k{self.k}"
        parts = (self.suite, _slug(self.encoder), _slug(budget), self.method, task, f"seed{self.seed}")
        return output.joinpath(*parts)

    def weights(self, output: Path) -> Path:
        """Folder of what this run learned, in adapters' own format."""
        return self.folder(output) / WEIGHTS

    def sources(self) -> dict[str, Run]:
        """The stage-1 runs that this run builds on, by source task in the order of the suite.

        They are the seed-0 adapters of all tasks of the suite, the target's own included; a k-shot run's own source
        adapter is trained on the same k examples with the same seed.
        """
        if not get_method(self.method).two_stage:
            return {}
        stage1 = Run(self.suite, self.task, "adapter", self.encoder, 0, None, self.budget)
        sources = {task.name: replace(stage1, task=task.name) for task in get_suite(self.suite).tasks}
        if self.k is not None:
            sources[self.task] = replace(stage1, seed=self.seed, k=self.k)
        return sources

    def spec(self) -> dict[str, object]:
        """The run as plain data, for `result.json`."""
        return {**asdict(self), "overrides": dict(self.overrides)}

    def __str__(self) -> str:
        k = "" if self.k is None else f" k={self.k}"
        return f"{self.suite}/{self.task} {self.method}{k} seed {self.seed} ({self.encoder}, {self.budget})"


def _slug(text: str) -> str:
    """`text` as one folder name; hub ids and paths keep their parts, joined by two dashes."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "--", text.strip("/"))
