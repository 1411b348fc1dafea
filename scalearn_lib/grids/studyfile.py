"""A study: one small YAML file that names everything that is to be run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ..errors import UserError, unknown
from ..methods import get_method
from ..probing.pairs import GRID, HEADS, Probe
from ..runs.run import Run, paper_seeds, slug
from ..tasks import get_suite, get_task, is_suite_file
from ..tasks.few_shot import SAMPLINGS
from ..training.budget import BUDGETS
from ..yamlfile import Section, WrongAt, checked, read_yaml


@dataclass(frozen=True)
class Study:
    """What a study file asks for.

    Args:
        name: the file's name without its ending.
        runs, probes: what is wanted; what these build on is not listed.
        ranks: the number of the grid, in the order of the file, that asks for a run or probe first.
        runs_per_job: runs of a job at most.
        hours_per_job: estimated GPU hours of a job at most, where it has more than one run.
        resources: by kind of job, what Snakemake is to ask for: `runtime` in minutes, `mem_mb`, `threads`, ...
    """

    name: str
    runs: tuple[Run, ...]
    probes: tuple[Probe, ...]
    ranks: Mapping[Run | Probe, int]
    runs_per_job: int
    hours_per_job: float
    resources: Mapping[str, Mapping[str, object]]


def read_study(path: Path) -> Study:
    """Read and check a study file; the file of a user's suite is named as it lies from there.

    Raises:
        UserError: the file cannot be read, or a key or value is not allowed; the message names the line and the key.
    """
    data, lines = read_yaml(path)
    if not re.fullmatch(r"[\w .+=-]+", path.stem):
        raise UserError(
            f"{path}: a study is named by its file, so use letters, digits, blanks and . + = - in '{path.stem}'."
        )
    if isinstance(data, dict) and isinstance(data.setdefault("grids", [{}]), list):
        common = {key: data.pop(key) for key in Grid.keys() if key in data}
        data["grids"] = [common | entry if isinstance(entry, dict) else entry for entry in data["grids"]]
        for entry in data["grids"]:
            if isinstance(entry, dict) and is_suite_file(str(entry.get("suite"))):
                entry["suite"] = str(path.parent / entry["suite"])
        for place, number in itertools.product(list(lines), range(len(data["grids"]))):
            if place and place[0] in common:
                lines.setdefault(("grids", number, *place), lines[place])
    file = checked(StudyFile, data, path, lines)
    runs, probes = ([item for item in file.items if isinstance(item, kind)] for kind in (Run, Probe))
    resources = file.resources.model_dump(exclude_unset=True)
    ranks = {item: number for number, grid in reversed([*enumerate(file.grids)]) for item in grid.items}
    return Study(path.stem, tuple(runs), tuple(probes), ranks, file.runs_per_job, file.hours_per_job, resources)


def _known(check: Callable[[str], object]) -> AfterValidator:
    """A name that `check` takes; it raises a `UserError` for others."""

    def same(name: str) -> str:
        check(name)
        return name

    return AfterValidator(same)


def _one_of(kind: str, names: Mapping[str, object] | tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> None:
        if name not in names:
            raise unknown(kind, name, names)

    return _known(check)


def _encoder(name: str) -> None:
    if not slug(name).strip(".-"):
        raise UserError(f"'{name}' names no encoder; take minilm, tiny, a hub id or a folder")


def _different(values: list) -> list:
    if len(set(values)) < len(values):
        raise ValueError(f"names something twice: {', '.join(map(str, values))}")
    return values


def _several(word: str | None = None) -> BeforeValidator:
    """One value or a list of them; `word` stands for what is meant without the key."""

    def listed(value: object) -> object:
        if value is None or value == word:
            return None
        if word == "paper" and isinstance(value, str):
            raise ValueError(f"must be 'paper' or a list of whole numbers, got '{value}'")
        return value if isinstance(value, list) else [value]

    return BeforeValidator(listed)


Different = (Field(min_length=1), AfterValidator(_different))
Encoders = Annotated[list[Annotated[str, _known(_encoder)]], *Different, _several()]
Methods = Annotated[list[Annotated[str, _known(get_method)]], *Different, _several()]
Names = Annotated[list[str], *Different]
Shots = Annotated[list[Annotated[int, Field(ge=1)]], *Different]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], *Different]
Strengths = Annotated[list[FiniteFloat], *Different]


def _wanted(resources: dict[str, object]) -> dict[str, object]:
    for name, value in resources.items():
        if not (type(value) is str and name != "threads" or type(value) is int and value > 0):
            raise ValueError("must hold resources such as {runtime: 600, mem_mb: 16000, threads: 4}")
    return resources


Wanted = Annotated[dict[str, Any], AfterValidator(_wanted)]


class Resources(Section):
    """What jobs of each kind ask for.

    The kinds: source adapters that others need, other runs of one task, runs on source adapters, and the rest.
    """

    source: Wanted = {}
    single: Wanted = {}
    transfer: Wanted = {}
    joint: Wanted = {}
    probing: Wanted = {}


KINDS = tuple(Resources.model_fields)
"""Kinds of jobs."""


class Probing(Section):
    """The second source task (the paper: mnli), the strengths of both, and the seeds of the probing heads."""

    partner: str
    grid: Strengths = list(GRID)
    heads: Seeds = list(HEADS)


class Grid(Section):
    """Runs of all methods on all targets, or probes; without a key, all tasks and the paper's seeds are meant."""

    suite: Annotated[str, AfterValidator(lambda name: get_suite(name).name)]
    encoder: Encoders
    budget: Annotated[str, _one_of("budget", BUDGETS)]
    methods: Methods | None = None
    targets: Annotated[Names | None, _several("all")] = None
    seeds: Annotated[Seeds | None, _several("paper")] = None
    k: Annotated[Shots | None, _several()] = None
    sampling: Annotated[str, _one_of("sampling", SAMPLINGS)] = "resampled"
    sources: Annotated[Names | None, _several()] = None
    settings: dict[str, Any] | None = None
    probing: Probing | None = None

    @field_validator("targets", "sources", "probing")
    @classmethod
    def _of_the_suite(cls, value: list[str] | Probing | None, info: ValidationInfo) -> object:
        names = [value.partner] if isinstance(value, Probing) else value or []
        for name in names if "suite" in info.data else []:
            get_task(info.data["suite"], name)
        return value

    @model_validator(mode="after")
    def _can_be_made(self) -> Grid:
        if (self.methods is None) == (self.probing is None):
            raise ValueError("needs either the key 'methods' or the key 'probing'")
        for key in ("seeds", "k", "sampling", "sources", "settings"):
            if self.probing and key in self.model_fields_set:
                raise WrongAt(key, "does not go with 'probing', whose keys are partner, grid and heads")
        try:
            self.items  # noqa: B018  (a run checks what its parts mean together)
        except UserError as error:
            raise WrongAt("settings" if self.settings else "methods", f"is wrong: {error}") from error
        return self

    @cached_property
    def items(self) -> list[Run | Probe]:
        """The runs or probes of this grid."""
        tasks = [task.name for task in get_suite(self.suite).tasks]
        targets = self.targets or tasks
        if self.probing:
            partner, grid, heads = self.probing.partner, tuple(self.probing.grid), tuple(self.probing.heads)
            return [
                Probe(self.suite, target, partner, encoder, self.budget, grid, heads)
                for encoder, target in itertools.product(self.encoder, targets)
                if target != partner
            ]
        settings, sources = self.settings or {}, self.sources and tuple(self.sources)
        runs = []
        for encoder, method, k in itertools.product(self.encoder, self.methods, self.k or [None]):
            joint = get_method(method).joint
            first = [task for task in tasks if task in (sources or tasks)][:1]  # a joint run's name for all its tasks
            for task in first if joint else targets:
                runs += [
                    Run(self.suite, task, method, encoder, seed, k, self.budget, settings, self.sampling, sources)
                    for seed in self.seeds or paper_seeds(get_task(self.suite, task), method, k)
                ]
        return runs


class StudyFile(Section):
    """A study file; the keys of a grid may stand at its top, and an entry of `grids` changes some of them."""

    grids: Annotated[list[Grid], Field(min_length=1)]
    about: Any = None
    runs_per_job: Annotated[int, Field(ge=1)] = 10
    hours_per_job: Annotated[FiniteFloat, Field(gt=0, lt=1e6)] = 4.0
    resources: Resources = Resources()

    @classmethod
    def keys(cls) -> list[str]:
        """Those of a grid as well, which `read_study` has put into the entries of `grids`."""
        return [*Grid.model_fields, *cls.model_fields]

    @cached_property
    def items(self) -> tuple[Run | Probe, ...]:
        """What is wanted, each once."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(grid.items for grid in self.grids)))

    @model_validator(mode="after")
    def _asks_for_something_once(self) -> StudyFile:
        if not self.items:
            raise ValueError("asks for nothing: the only target is the partner itself")
        by_file: dict[Path, Probe] = {}
        for probe in (item for item in self.items if isinstance(item, Probe)):
            if by_file.setdefault(probe.file(Path()), probe) != probe:
                raise WrongAt("grids", f"probes {probe} twice, with different strengths or heads; give each a study")
        return self
