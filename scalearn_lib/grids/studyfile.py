"""A study: one small YAML file that names everything that is to be run."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import yaml

from ..errors import UserError, unknown
from ..methods import get_method
from ..probing.pairs import GRID, HEADS, Probe
from ..runs.run import Run, slug
from ..tasks import get_suite, get_task
from ..tasks.few_shot import SAMPLINGS
from ..training.budget import BUDGETS

GRID_KEYS = "suite encoder budget methods targets seeds k sampling sources settings probing".split()
"""Keys of a grid; they may stand at the top of the file, and an entry of `grids` changes some of them."""

STUDY_KEYS = [*GRID_KEYS, "about", "grids", "runs_per_job", "hours_per_job", "resources"]

JOINT_SEEDS = 3
"""Seeds of joint training in the paper."""

FEW_SHOT_SEEDS = 5
"""Seeds of few-shot runs in the paper."""

KINDS = ("source", "single", "transfer", "joint", "probing")
"""Kinds of jobs: source adapters that others need, other runs of one task, runs on source adapters, and the rest."""


@dataclass(frozen=True)
class Study:
    """What a study file asks for.

    Args:
        name: the file's name without its ending.
        runs, probes: what is wanted; what these build on is not listed.
        runs_per_job: runs of a job at most.
        hours_per_job: estimated GPU hours of a job at most, where it has more than one run.
        resources: by kind of job, what Snakemake is to ask for: `runtime` in minutes, `mem_mb`, `threads`, ...
    """

    name: str
    runs: tuple[Run, ...]
    probes: tuple[Probe, ...]
    runs_per_job: int
    hours_per_job: float
    resources: Mapping[str, Mapping[str, object]]


def read_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        UserError: the file cannot be read, or a key or value is not allowed; the message names the line and the key.
    """
    try:
        text = path.read_text()
        node, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
        reader = _Reader(path, node)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The study {path} cannot be read ({error}); name a file such as those in studies/.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        reason = getattr(error, "problem", None) or "a key or value that YAML does not allow"
        raise UserError(f"{path}{line}: this is no YAML: {reason}.") from error
    except (ValueError, KeyError, AttributeError, RecursionError) as error:  # of a date or a tag that has no such value
        raise UserError(f"{path} has a value that cannot be read ({error}); put texts into quotes.") from error
    if not re.fullmatch(r"[\w .+=-]+", path.stem):
        raise UserError(
            f"{path}: a study is named by its file, so use letters, digits, blanks and . + = - in '{path.stem}'."
        )
    return reader.study(data)


def _encoder(name: str) -> None:
    if not slug(name).strip(".-"):
        raise UserError(f"'{name}' names no encoder; take minilm, tiny, a hub id or a folder")


class _Reader:
    """Checks the data of one file and knows the line of each key."""

    def __init__(self, path: Path, node: yaml.Node | None) -> None:
        self.path, self.lines = path, {(): 1 if node is None else node.start_mark.line + 1}
        if node is not None:
            self._remember(node, ())

    def _remember(self, node: yaml.Node, place: tuple) -> None:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*place, key.value)
                if here in self.lines:
                    self.lines[here] = key.start_mark.line + 1
                    self.fail(here, f"stands twice below line {self.lines[place]}; keep one of them")
                self.lines[here] = key.start_mark.line + 1
                self._remember(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self._remember(item, (*place, number))

    def fail(self, place: tuple, problem: str) -> NoReturn:
        while place not in self.lines:
            place = place[:-1]
        key = next((f"'{part}' " for part in reversed(place) if isinstance(part, str)), "")
        raise UserError(f"{self.path}, line {self.lines[place]}: {key}{problem.rstrip('.')}.")

    def keys(self, data: object, place: tuple, allowed: Sequence[str]) -> dict:
        if not isinstance(data, dict):
            self.fail(place, f"must hold keys and values; allowed keys: {', '.join(allowed)}")
        for key in data:
            if key not in allowed:
                self.fail((*place, key), f"is no key here: {unknown('key', key, allowed)}")
        return data

    def checked(self, place: tuple, check: Callable, *arguments: object) -> object:
        """What `check` returns of the arguments; what it finds wrong is told with its place."""
        try:
            return check(*arguments)
        except UserError as error:
            self.fail(place, f"is wrong: {error}")

    def texts(self, value: object, place: tuple, check: Callable[[str], object]) -> tuple[str, ...]:
        """One name or a list of names, each checked."""
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not values or not all(isinstance(text, str) for text in values):
            self.fail(place, f"must be a name or a list of names, got {value!r}")
        if len(set(values)) < len(values):
            self.fail(place, f"names something twice: {', '.join(values)}")
        for text in values:
            self.checked(place, check, text)
        return tuple(values)

    def whole(self, value: object, place: tuple, least: int, several: bool = False) -> object:
        """A whole number of at least `least`, or with `several` a list of different ones."""
        values = value if several else [value]
        number = isinstance(values, list) and all(type(item) is int and item >= least for item in values)
        if not number or not values or len(set(values)) < len(values):
            wanted = "a list of different whole numbers" if several else "a whole number"
            self.fail(place, f"must be {wanted} of at least {least}, got {value!r}")
        return tuple(values) if several else value

    def study(self, data: object) -> Study:
        data = self.keys(data, (), STUDY_KEYS)
        entries = data.get("grids", [{}])
        if not isinstance(entries, list) or not entries:
            self.fail(("grids",), "must be a list of grids, each with keys that differ from those above it")
        common = {key: data[key] for key in GRID_KEYS if key in data}
        runs, probes = {}, {}
        for number, entry in enumerate(entries):
            place = ("grids", number)
            entry = self.keys(entry, place, GRID_KEYS)
            for item in self.grid(common | entry, place):
                (runs if isinstance(item, Run) else probes)[item] = None
        by_file: dict[Path, Probe] = {}
        for probe in probes:
            if by_file.setdefault(probe.file(Path()), probe) != probe:
                self.fail(("grids",), f"probes {probe} twice, with different strengths or heads; give each a study")
        if not runs and not probes:
            self.fail((), "asks for nothing: the only target is the partner itself")
        hours = data.get("hours_per_job", 4)
        if not isinstance(hours, int | float) or isinstance(hours, bool) or not 0 < hours < 1e6:
            self.fail(("hours_per_job",), f"must be a number above 0, got {hours!r}")
        per_job = self.whole(data.get("runs_per_job", 10), ("runs_per_job",), 1)
        return Study(self.path.stem, tuple(runs), tuple(probes), per_job, float(hours), self.resources(data))

    def resources(self, data: dict) -> dict[str, dict[str, object]]:
        resources = self.keys(data.get("resources", {}), ("resources",), KINDS)
        for kind, wanted in resources.items():
            if not isinstance(wanted, dict) or not all(
                isinstance(name, str) and (type(value) is str and name != "threads" or type(value) is int and value > 0)
                for name, value in wanted.items()
            ):
                self.fail(("resources", kind), "must hold resources such as {runtime: 600, mem_mb: 16000, threads: 4}")
        return resources

    def grid(self, grid: dict, entry: tuple) -> list[Run | Probe]:
        """The runs and probes of one grid: the keys at the top, changed by those of an entry of `grids`."""

        def place(key: str) -> tuple:
            return (*entry, key) if (*entry, key) in self.lines else (key,)

        for key in ("suite", "encoder", "budget"):
            if key not in grid:
                self.fail(entry, f"needs the key '{key}'")
        if ("methods" in grid) == ("probing" in grid):
            self.fail(entry, "needs either the key 'methods' or the key 'probing'")
        (suite,), budget = self.texts([grid["suite"]], place("suite"), get_suite), grid["budget"]
        tasks = [task.name for task in get_suite(suite).tasks]
        if not isinstance(budget, str) or budget not in BUDGETS:
            self.fail(place("budget"), f"is wrong: {unknown('budget', budget, BUDGETS)}")
        encoders = self.texts(grid["encoder"], place("encoder"), _encoder)
        targets = tasks
        if grid.get("targets", "all") != "all":
            targets = self.texts(grid["targets"], place("targets"), lambda name: get_task(suite, name))
        if "probing" in grid:
            return self.probes(grid, encoders, targets, place)
        methods = self.texts(grid["methods"], place("methods"), get_method)
        sources = grid.get("sources")
        if sources is not None:
            sources = self.texts(sources, place("sources"), lambda name: get_task(suite, name))
        shots = grid.get("k")
        if shots is not None:
            shots = self.whole(shots if isinstance(shots, list) else [shots], place("k"), 1, several=True)
        if grid.get("sampling", "resampled") not in SAMPLINGS:
            self.fail(place("sampling"), f"is wrong: {unknown('sampling', grid['sampling'], SAMPLINGS)}")
        settings = grid.get("settings") or {}
        if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
            self.fail(place("settings"), "must hold settings of the budget, such as {max_steps: 300}")
        chosen = grid.get("seeds", "paper")
        if chosen != "paper":
            chosen = self.whole(chosen if isinstance(chosen, list) else [chosen], place("seeds"), 0, True)

        def run(encoder: str, method: str, task: str, k: int | None, seed: int) -> Run:
            sampling = grid.get("sampling", "resampled")
            return Run(suite, task, method, encoder, seed, k, budget, settings, sampling, sources)

        runs = []
        where = place("settings") if settings else place("methods")
        for encoder, method, k in itertools.product(encoders, methods, shots or [None]):
            joint = get_method(method).joint
            first = [task for task in tasks if task in (sources or tasks)][:1]  # a joint run's name for all its tasks
            for task in first if joint else targets:
                seeds = range(self.seeds(suite, task, joint, k)) if chosen == "paper" else chosen
                runs += [self.checked(where, run, encoder, method, task, k, seed) for seed in seeds]
        return runs

    @staticmethod
    def seeds(suite: str, task: str, joint: bool, k: int | None) -> int:
        """How many seeds the paper has."""
        return JOINT_SEEDS if joint else FEW_SHOT_SEEDS if k is not None else get_task(suite, task).seeds

    def probes(self, grid: dict, encoders: Sequence[str], targets: Sequence[str], place: Callable) -> list[Probe]:
        for key in ("seeds", "k", "sampling", "sources", "settings"):
            if key in grid:
                self.fail(place(key), "does not go with 'probing', whose keys are partner, grid and heads")
        here = place("probing")
        probing = self.keys(grid["probing"], here, ["partner", "grid", "heads"])
        if "partner" not in probing:
            self.fail(here, "needs the key 'partner': the second source task (the paper: mnli)")
        (partner,) = self.texts([probing["partner"]], (*here, "partner"), lambda name: get_task(grid["suite"], name))
        values = probing.get("grid", list(GRID))
        numbers = isinstance(values, list) and all(type(v) in (int, float) and math.isfinite(v) for v in values)
        if not numbers or not values or len(set(values)) < len(values):
            self.fail((*here, "grid"), f"must be a list of different coefficients such as [0, 0.5, 1], got {values!r}")
        heads = self.whole(probing.get("heads", list(HEADS)), (*here, "heads"), 0, True)
        return [
            Probe(grid["suite"], target, partner, encoder, grid["budget"], tuple(map(float, values)), heads)
            for encoder in encoders
            for target in targets
            if target != partner
        ]
