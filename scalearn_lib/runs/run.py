"""A run: the unit of work. It knows what it needs and where its results lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import UserError, say_once, unknown
from ..methods import get_method
from ..tasks import Adapter, Task, get_suite, get_task
from ..tasks.few_shot import SAMPLINGS
from ..training.budget import SOURCE_BUDGET, Budget, make_budget

WEIGHTS = "weights"


class RunFailed(UserError):
    """The run ended without a usable result; it is stored as failed and enters no table."""


MOST_SEED = 2**32
"""Above the largest seed that NumPy takes."""

JOINT_SEEDS, FEW_SHOT_SEEDS = 3, 5
"""Seeds of joint training, and of few-shot runs, in the paper."""


def paper_seeds(task: Task, method: str, k: int | None = None) -> range:
    """The seeds that the paper's runs of a method on a task would have."""
    return range(JOINT_SEEDS if get_method(method).joint else task.seeds if k is None else FEW_SHOT_SEEDS)


@dataclass(frozen=True)
class Run:
    """One method on one target task with one seed. Runs of a joint method that differ in the task share one result.

    Args:
        suite, task, method: names; `scalearn tasks` and `scalearn methods` list them.
        encoder: "minilm", "tiny", a hub id or a folder.
        seed: seed of the initial values, the data order and the k-shot draw.
        k: number of training examples of a few-shot run; `None` means the whole training split.
        budget: one of `BUDGETS`.
        overrides: settings of the budget to change, a mapping (kept as sorted pairs).
        sampling: how the examples of a few-shot run are drawn, one of `SAMPLINGS`.
        source_tasks: the source tasks of a two-stage method, or the tasks of a joint one; `None` means all of the
            suite.
        adapters: further sources of a two-stage method, trained elsewhere; `None` means those of the suite.
        content: fingerprint of a user's own data that the run reads; `None` means as they are now, "" stands for
            published data alone.

    The override `official` brings official sampling along.
    What does not bear on a run is set to its default, so that equal work is one run: the sampling without `k`, the
    source tasks of a single-task method, and its suite, which becomes the one that the task is at home in.

    Raises:
        UserError: an unknown name, a value out of range, or a joint method whose source tasks lack the target.
    """

    suite: str
    task: str
    method: str
    encoder: str = "minilm"
    seed: int = 0
    k: int | None = None
    budget: str = "quick"
    overrides: Mapping[str, object] | tuple[tuple[str, object], ...] = ()
    sampling: str = "resampled"
    source_tasks: tuple[str, ...] | None = None
    adapters: tuple[Adapter, ...] | None = None
    content: str | None = None

    def __post_init__(self) -> None:
        suite, method = get_suite(self.suite), get_method(self.method)
        object.__setattr__(self, "suite", suite.name)
        task = get_task(suite.name, self.task)
        normal = {"encoder": self.encoder.rstrip("/") or self.encoder}  # one folder, one name
        normal |= {"adapters": self._adapters(suite.adapters)}
        normal |= {"overrides": tuple(sorted(dict(self.overrides).items())), "source_tasks": self._source_tasks()}
        if self.sampling not in SAMPLINGS:
            raise unknown("sampling", self.sampling, SAMPLINGS)
        if self.k is None:
            normal["sampling"] = "resampled"
        elif dict(self.overrides).get("official") is True:
            normal["sampling"] = "official"
        if method.joint and self.k is not None:
            raise UserError(
                f"{method.title} trains all tasks at once, which the paper does not do on k examples; leave k out."
            )
        if not (method.two_stage or method.joint):
            normal |= {"suite": task.suite, "source_tasks": None}
        for name, value in normal.items():
            object.__setattr__(self, name, value)
        if self.content is None:
            object.__setattr__(self, "content", self.content_now())
        if not isinstance(self.seed, int) or not 0 <= self.seed < MOST_SEED:
            raise UserError(f"A seed is a whole number of at least 0 and below 2**32, got {self.seed!r}.")
        if self.k is not None and (not isinstance(self.k, int) or self.k < 1):
            raise UserError(f"k is a whole number of at least 1, got {self.k!r}.")
        if method.joint and self.source_tasks and self.task not in self.source_tasks:
            raise UserError(
                f"{method.title} trains its source tasks, {', '.join(self.source_tasks)}, and '{self.task}' is not "
                "among them; add it to the source tasks, or ask for one of them."
            )
        if method.joint and len(self.tasks()) < 2:
            raise UserError(f"{method.title} trains several tasks at once; give it at least two source tasks.")
        self.settings()

    def _source_tasks(self) -> tuple[str, ...] | None:
        """The source tasks in the order of the suite, `None` for all of them."""
        tasks = [task.name for task in get_suite(self.suite).tasks]
        if self.source_tasks is None or set(self.source_tasks) == set(tasks):
            return None
        if isinstance(self.source_tasks, str) or not self.source_tasks:
            raise UserError(f"Source tasks are a list of at least one name, got {self.source_tasks!r}.")
        for name in self.source_tasks:
            if name not in tasks:
                raise unknown(f"source task of suite '{self.suite}'", name, tasks)
        return tuple(name for name in tasks if name in self.source_tasks)

    def _adapters(self, of_suite: tuple[Adapter, ...]) -> tuple[Adapter, ...]:
        """The adapters that it takes, none unless it builds on sources."""
        method = get_method(self.method)
        adapters = of_suite if self.adapters is None else tuple(self.adapters)
        if not (method.two_stage and adapters):
            return ()
        if method.needs_texts:
            raise UserError(
                f"{method.title} compares the texts of its source tasks, which adapters trained elsewhere "
                f"({', '.join(adapter.name for adapter in adapters)}) do not bring; leave them out."
            )
        taken = [task.name for task in get_suite(self.suite).tasks]
        for adapter in adapters:
            if adapter.name in taken:
                raise UserError(f"The source '{adapter.name}' has the name of another one; give it a name of its own.")
            taken.append(adapter.name)
        return adapters

    def content_now(self) -> str:
        """The fingerprint of the user's own data that this run reads, as they are now; "" if it reads none."""
        contents = [task.content for task in self.reads() if task.content]
        if len(contents) < 2:
            return "".join(contents)
        return _short(" ".join(contents))

    def reads(self) -> list[Task]:
        """The tasks whose rows it depends on: the target, and the sources of its adapters or all that it trains."""
        method, read = get_method(self.method), {self.task}
        if method.two_stage or method.joint:
            read |= set(self.source_tasks or [task.name for task in get_suite(self.suite).tasks])
        return [task for task in get_suite(self.suite).tasks if task.name in read]

    def tasks(self) -> list[Task]:
        """What is trained: the target task, or for a joint method all its tasks."""
        if not get_method(self.method).joint:
            return [get_task(self.suite, self.task)]
        return [task for task in get_suite(self.suite).tasks if task.name in (self.source_tasks or [task.name])]

    def settings(self) -> Budget:
        """The budget's settings for this method and k, with the overrides."""
        task = get_task(self.suite, self.task)
        method, overrides = get_method(self.method), dict(self.overrides)
        return make_budget(self.budget, method, task, self.k, overrides, len(self.tasks()))

    def folder(self, output: Path) -> Path:
        """Folder of this run's result below `output`."""
        budget = "-".join([self.budget, *(f"{key}={value}" for key, value in self.overrides)])
        task = self._trained() if self.k is None else f"{self.task}-k{self.k}"
        if self.sampling != "resampled":
            task += f"-{self.sampling}"
        if self.source_tasks is not None:
            task += f"-from-{'+'.join(self.source_tasks)}"
        if self.adapters:
            task += f"-with-{len(self.adapters)}@{_short(' '.join(a.name + a.sha256 for a in self.adapters))[:8]}"
        if self.content:
            task += f"@{self.content[:8]}"
        parts = (self.suite, slug(self.encoder), slug(budget), self.method, task, f"seed{self.seed}")
        return output.joinpath(*parts)

    def _trained(self) -> str:
        """The target task, or "all" for a joint method: its one result is that of each of its tasks."""
        return "all" if get_method(self.method).joint else self.task

    def weights(self, output: Path) -> Path:
        """Folder of what this run learned, in adapters' own format."""
        return self.folder(output) / WEIGHTS

    def sources(self) -> dict[str, Run]:
        """The stage-1 runs that this run builds on, by source task in the order of the suite.

        They are the seed-0 adapters of all source tasks, as a rule the target among them; a k-shot run's own source
        adapter is trained on the same k examples with the same seed, or under official sampling with seed 0. The method
        says which stage-1 method makes them, and they have a budget of their own, whatever that of stage 2
        (`SOURCE_BUDGET`).
        """
        stage_1 = get_method(self.method).source_method
        if stage_1 is None:
            return {}
        names = self.source_tasks or [task.name for task in get_suite(self.suite).tasks]
        budget = SOURCE_BUDGET[self.budget]
        sources = {name: Run(self.suite, name, stage_1, self.encoder, 0, None, budget) for name in names}
        if self.k is not None and self.task in sources:
            own = sources[self.task]
            # The official draw is the same for all seeds, and the official runs had one source of it.
            seed = 0 if self.sampling == "official" else self.seed
            sources[self.task] = replace(own, seed=seed, k=self.k, sampling=self.sampling)
        if self.settings().official:
            sources = {
                name: replace(run, overrides={**dict(run.overrides), "official": True}) for name, run in sources.items()
            }
        return sources

    def spec(self) -> dict[str, object]:
        """The run as plain data."""
        return asdict(self) | {"overrides": dict(self.overrides)}

    def is_at(self, folder: Path) -> bool:
        """Whether `folder` is this run's below any output folder."""
        inside = self.folder(Path())
        return folder.parts[-len(inside.parts) :] == inside.parts

    def is_earlier(self, folder: Path) -> bool:
        """Whether `folder` is this run's for other data of the user."""
        ours, theirs = self.folder(Path()), folder.parts[-2:]
        return theirs[1] == ours.name and theirs[0] != ours.parent.name and theirs[0][:-8] == ours.parent.name[:-8]

    def __str__(self) -> str:
        k = "" if self.k is None else f" k={self.k}{'' if self.sampling == 'resampled' else f' {self.sampling}'}"
        settings = "".join(f", {key}={value}" for key, value in self.overrides)
        sources = f" from {'+'.join(self.source_tasks)}" if self.source_tasks else ""
        sources += f" with {', '.join(adapter.name for adapter in self.adapters)}" if self.adapters else ""
        what = f"{self.suite}/{self._trained()} {self.method}{k}{sources}"
        return f"{what} seed {self.seed} ({self.encoder}, {self.budget}{settings})"


def source_tasks_at_hand(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with their source tasks limited to those whose data can be had here, and say so.

    A mirror folder need not have every task of a suite. Runs with all of them stay as they are, and so do those whose
    target is missing: they fail with the remedy.
    """
    limited = []
    for run in runs:
        method, tasks = get_method(run.method), get_suite(run.suite).tasks
        if not (method.two_stage or method.joint) or run.source_tasks is not None:
            limited.append(run)
            continue
        there = tuple(task.name for task in tasks if task.available())
        limited.append(replace(run, source_tasks=there) if run.task in there else run)
        lacking = [task.name for task in tasks if task.name not in there]
        if lacking and limited[-1].source_tasks:
            say_once(
                f"Of suite '{run.suite}', {', '.join(lacking)} cannot be had here: the {len(there)} source tasks are "
                f"{', '.join(there)}. Results are stored and shown apart from those with all {len(tasks)}."
            )
    return limited


def _short(text: str) -> str:
    """A fingerprint of a text, for the names of folders."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def slug(text: str) -> str:
    """`text` as one folder name; hub ids and paths keep their parts, joined by two dashes."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "--", text.strip("/"))
