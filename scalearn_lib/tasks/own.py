"""A suite of one's own: a YAML file that names tasks, where their rows lie, and what their columns are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import lazy_loader
import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, field_validator, model_validator

from ..errors import UserError, say_once, unknown
from ..yamlfile import Section, WrongAt, checked, fail, read_yaml
from .adapters import PATTERNS, find_adapter
from .hub import find
from .labels import class_names, kind_of_labels, label_ids
from .names import wrong_name
from .rows import ENDINGS, Rows, read_rows
from .splits import normalised, stratified
from .task import KIND_METRICS, SPLITS, Suite, Task

if TYPE_CHECKING:
    from datasets import DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without

SEED = 42
"""Seed of the splits that a user does not give."""

METRICS = {
    "classification": ("accuracy", "f1", "f1_macro", "f1_micro", "matthews"),
    "multiple_choice": ("accuracy",),
    "multi_label": ("f1_macro", "f1_micro"),
    "regression": ("pearson", "spearman"),
}
"""Metrics by kind of task, the first being the default of `KIND_METRICS`."""

FEWEST = 10
"""Rows that a class must have for a stratified split."""


def is_suite_file(name: str) -> bool:
    """Whether a suite's name is the path of a file."""
    return name.endswith((".yaml", ".yml"))


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


class Data(Section):
    """Where the rows lie: files by split, or a dataset of the hub.

    Of the hub, `config` is the folder of the files, and a split is the start of their names; without any, those are
    train, validation and test, as far as they are there.
    """

    train: str | None = None
    validation: str | None = None
    test: str | None = None
    hub: str | None = None
    config: str | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Data:
        if self.hub is None and self.config is not None:
            raise WrongAt("config", "goes with 'hub' only")
        if self.hub is None and self.train is None:
            raise ValueError("needs the key 'train' with a file, or 'hub' with an id")
        return self

    def patterns(self) -> list[str]:
        """Glob patterns of the files in the hub's repository."""
        start, named = f"{self.config}/" if self.config else "", self._named()
        if not named:
            return [f"{start}train*", f"{start}[tv]*"]  # the second for validation and test, which need not be there
        return [f"{start}{name}*" for name in dict.fromkeys(({"train": "train"} | named).values())]

    def _named(self) -> dict[str, str]:
        return {split: name for split in SPLITS if (name := getattr(self, split)) is not None}

    def files(self, folder: Path, task: str) -> dict[str, list[Path]]:
        """The files of each split that there is; `folder` is the suite file's."""
        if self.hub is None:
            return {split: [folder / name] for split, name in self._named().items()}
        found = find(self.hub, "dataset", self.patterns(), f"Task '{task}'")
        start = found / self.config if self.config else found
        names = {"train": "train"} | (self._named() or dict(zip(SPLITS, SPLITS, strict=True)))
        files = {
            split: sorted(file for file in start.glob(f"{name}*") if file.suffix in ENDINGS)
            for split, name in names.items()
        }
        lacking = [split for split in files if not files[split] and (split == "train" or self._named())]
        if lacking:
            wanted = f"{names[lacking[0]]}* that ends in {', '.join(ENDINGS)}"
            raise UserError(f"{start} has no file {wanted}; name the files' folder as config, and their start.")
        return {split: there for split, there in files.items() if there}


class TaskSection(Section):
    """One task of the file."""

    data: Annotated[Data, BeforeValidator(lambda value: {"train": value} if isinstance(value, str) else value)]
    text: Annotated[list[str], Field(min_length=1), BeforeValidator(_listed)]
    label: str
    kind: str | None = None
    metric: str | None = None
    max_length: Annotated[int, Field(ge=2)] = 128
    about: str = ""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, value: str | None) -> str | None:
        if value is not None and value not in KIND_METRICS:
            raise unknown("kind of task", value, KIND_METRICS)
        return value

    @model_validator(mode="after")
    def _columns(self) -> TaskSection:
        if len(set(self.text) | {self.label}) <= len(self.text):
            raise WrongAt("text", "and 'label' name a column twice")
        if self.kind == "multiple_choice" and len(self.text) < 3:
            raise WrongAt("text", "names a text and at least two choices where kind is multiple_choice")
        if self.kind != "multiple_choice" and len(self.text) > 2:
            raise WrongAt("text", "names one column or two; with kind: multiple_choice a text, then its choices")
        return self


class SuiteFile(Section):
    """The whole file."""

    name: str
    about: str = ""
    tasks: Annotated[dict[str, TaskSection], Field(min_length=1)]
    adapters: dict[str, str] = {}

    @model_validator(mode="after")
    def _names(self) -> SuiteFile:
        for kind, names in (("name", [self.name]), ("tasks", self.tasks), ("adapters", self.adapters)):
            for name in names:
                if reason := wrong_name(name):
                    raise WrongAt(kind, f"is wrong: {reason}")
        twice = sorted(set(self.tasks) & set(self.adapters))
        if twice:
            raise WrongAt("adapters", f"has the name '{twice[0]}', which is a task's: rename one of them")
        return self


@dataclass(frozen=True, kw_only=True)
class OwnTask(Task):
    """A task of a user's file. Its columns are `text`, and `text_pair` or the choices, whatever theirs are called.

    Args:
        files: of each split that is given; the others are drawn from train.
        names: the text columns in the files.
        label_column: the column of the labels.
        sha256: of the rows of each split that is given, which `content` is made from.
    """

    files: Mapping[str, list[Path]] = field(compare=False, repr=False)
    names: tuple[str, ...] = field(compare=False)
    label_column: str = field(compare=False)
    sha256: Mapping[str, str] = field(compare=False, repr=False)
    checks_files = True

    def _read(self) -> DatasetDict:
        rows = {split: read_rows(files) for split, files in self.files.items()}
        for split, part in rows.items():
            if part.sha256 != self.sha256[split]:
                raise UserError(f"{part.files[0][0]} has changed since this process began; start it again.")
        given = {split: self._columns(part) for split, part in rows.items()}
        drawn = [split for split in ("test", "validation") if split not in given]
        if drawn:
            given |= self._drawn(given["train"], drawn)
        given = {split: given[split] for split in SPLITS}
        for split in ("validation", "test"):
            shared = _shared(given["train"], given[split], self.columns)
            if shared:
                say_once(
                    f"Task '{self.name}': {shared} of {len(given[split]['label'])} rows of {split} have the same text "
                    "as a row of train, which flatters scores; remove them from one of the two."
                )
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_dict(rows, features=self.features) for split, rows in given.items()}
        )

    def _columns(self, rows: Rows) -> dict[str, list]:
        texts = {ours: rows.texts(name) for ours, name in zip(self.columns, self.names, strict=True)}
        return texts | {"label": label_ids(rows, self.label_column, self.kind, self.labels)}

    def _drawn(self, rows: dict[str, list], parts: list[str]) -> dict[str, dict[str, list]]:
        """Train and the parts that are drawn from it, a tenth of the rows each."""
        labels = rows["label"]
        if self.kind == "regression":
            strata = pd.qcut(labels, FEWEST, labels=False, duplicates="drop")
        elif self.kind == "multi_label":
            sets = pd.Series([str(sorted(label)) for label in labels])
            strata = sets.where(sets.map(sets.value_counts()) >= FEWEST, "rare").tolist()
        else:
            strata = labels
        if self.kind in ("classification", "multiple_choice"):
            counts = np.bincount(labels, minlength=len(self.labels))
            if self.kind == "classification" and counts.min() < FEWEST:
                raise UserError(
                    f"Task '{self.name}': {counts.min()} rows have the label '{self.labels[counts.argmin()]}', too few "
                    f"for a stratified split, which takes {FEWEST}; merge rare classes, give train, validation and "
                    "test, or say kind: regression where labels are scores, kind: multi_label where ';' parts several."
                )
        try:
            numbers = stratified([rows[column] for column in self.columns], strata, SEED, parts)
        except UserError as error:
            raise UserError(f"Task '{self.name}': {error}") from error
        return {split: {key: [cells[n] for n in of] for key, cells in rows.items()} for split, of in numbers.items()}


def read_suite(path: Path, published: Mapping[str, Suite]) -> Suite:
    """Read a suite's file, and of its data what a task is: columns, kind and labels.

    Args:
        path: the YAML file; paths in it are relative to its folder.
        published: suites whose names, and whose tasks' names, are taken.

    Raises:
        UserError: the file, or the data of a task, is not as it must be.
    """
    file = _file(path, published)
    tasks = tuple(_task(name, file.name, section, path.parent) for name, section in file.tasks.items())
    adapters = tuple(find_adapter(name, where, path.parent) for name, where in file.adapters.items())
    return Suite(file.name, file.about or f"of {path}", tasks, adapters, str(path.resolve()))


def own_repositories(path: Path, published: Mapping[str, Suite]) -> list[tuple[str, str, list[str]]]:
    """The hub's repositories that a suite's file names: id, kind and patterns of files."""
    file, found = _file(path, published), []
    for section in file.tasks.values():
        if section.data.hub is not None:
            found.append((section.data.hub, "dataset", section.data.patterns()))
    on_hub = [where for where in file.adapters.values() if not (path.parent / Path(where).expanduser()).is_dir()]
    return found + [(where, "model", list(PATTERNS)) for where in on_hub]


def _file(path: Path, published: Mapping[str, Suite]) -> SuiteFile:
    data, lines = read_yaml(path)
    file = checked(SuiteFile, data, path, lines)
    if file.name in published:
        fail(path, lines, ("name",), f"is that of a published suite: take another than {', '.join(published)}")
    taken = {task.name: task.suite for suite in published.values() for task in suite.tasks}
    for name in file.tasks:
        if name in taken:
            fail(path, lines, ("tasks", name), f"is the name of a task of the suite '{taken[name]}': take another")
    return file


def _task(name: str, suite: str, section: TaskSection, folder: Path) -> OwnTask:
    try:
        files = section.data.files(folder, name)
        rows = {split: read_rows(paths) for split, paths in files.items()}
        kind = section.kind or kind_of_labels(rows["train"].column(section.label))
        for part in rows.values():
            for column in (*section.text, section.label):
                part.column(column)
        choices = kind == "multiple_choice"
        labels = tuple(section.text[1:]) if choices else class_names(rows["train"], section.label, kind)
    except UserError as error:
        raise UserError(f"Task '{name}': {error}") from error
    metric = section.metric or KIND_METRICS[kind][0]
    if metric not in METRICS[kind] or (metric == "f1" and len(labels) != 2):
        usual = [one for one in METRICS[kind] if one != "f1" or len(labels) == 2]
        raise UserError(f"Task '{name}' is {kind}: {unknown('metric for it', metric, usual)}")
    columns = ("text", *(f"choice{n}" for n in range(len(labels)))) if choices else ("text", "text_pair")
    of = {split: part.sha256 for split, part in rows.items()}
    read_as = [of, section.text, section.label, kind, labels, section.max_length, SEED]
    read_as += [metric] if metric != KIND_METRICS[kind][0] else []  # scores in two metrics are of two tasks
    return OwnTask(
        name=name,
        suite=suite,
        kind=kind,
        columns=columns[: len(section.text)],
        labels=labels,
        metric=metric,
        about=section.about or ", ".join(path.name for paths in files.values() for path in paths),
        max_length=section.max_length,
        content=hashlib.sha256(json.dumps(read_as).encode()).hexdigest()[:12],
        files=files,
        names=tuple(section.text),
        label_column=section.label,
        sha256=of,
    )


def _shared(train: Mapping[str, list], other: Mapping[str, list], columns: tuple[str, ...]) -> int:
    """How many rows of a split have all their texts together in a row of train."""
    seen = {tuple(map(normalised, texts)) for texts in zip(*(train[column] for column in columns), strict=True)}
    return sum(tuple(map(normalised, texts)) in seen for texts in zip(*(other[c] for c in columns), strict=True))
