"""HumSet: five multi-label tasks over the same excerpts in English, French and Spanish, read from its JSONL files."""

from __future__ import annotations

import ast
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader

from ..errors import UserError
from .hub import find
from .task import Suite, Task

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

datasets = lazy_loader.load("datasets")  # takes a second; what a task is, is known without

REPO = "nlp-thedeep/humset"
FILES = {split: f"data/{split}.jsonl" for split in ("train", "validation", "test")}

LABELS = {
    "sectors": "Agriculture|Cross|Education|Food Security|Health|Livelihoods|Logistics|Nutrition|Protection|Shelter|"
    "WASH",
    "pillars_1d": "Casualties|Context|Covid-19|Displacement|Humanitarian Access|Information And Communication|"
    "Shock/Event",
    "subpillars_1d": "Casualties->Dead|Casualties->Injured|Casualties->Missing|Context->Demography|Context->Economy|"
    "Context->Environment|Context->Legal & Policy|Context->Politics|Context->Security & Stability|"
    "Context->Socio Cultural|Covid-19->Cases|Covid-19->Contact Tracing|Covid-19->Deaths|"
    "Covid-19->Hospitalization & Care|Covid-19->Restriction Measures|Covid-19->Testing|Covid-19->Vaccination|"
    "Displacement->Intentions|Displacement->Local Integration|Displacement->Pull Factors|Displacement->Push Factors|"
    "Displacement->Type/Numbers/Movements|"
    "Humanitarian Access->Number Of People Facing Humanitarian Access Constraints/Humanitarian Access Gaps|"
    "Humanitarian Access->Physical Constraints|Humanitarian Access->Population To Relief|"
    "Humanitarian Access->Relief To Population|"
    "Information And Communication->Communication Means And Preferences|"
    "Information And Communication->Information Challenges And Barriers|"
    "Information And Communication->Knowledge And Info Gaps (Hum)|"
    "Information And Communication->Knowledge And Info Gaps (Pop)|"
    "Shock/Event->Hazard & Threats|Shock/Event->Type And Characteristics|Shock/Event->Underlying/Aggravating Factors",
    "pillars_2d": "At Risk|Capacities & Response|Humanitarian Conditions|Impact|Priority Interventions|Priority Needs",
    "subpillars_2d": "At Risk->Number Of People At Risk|At Risk->Risk And Vulnerabilities|"
    "Capacities & Response->International Response|Capacities & Response->Local Response|"
    "Capacities & Response->National Response|Capacities & Response->Number Of People Reached/Response Gaps|"
    "Humanitarian Conditions->Coping Mechanisms|Humanitarian Conditions->Living Standards|"
    "Humanitarian Conditions->Number Of People In Need|Humanitarian Conditions->Physical And Mental Well Being|"
    "Impact->Driver/Aggravating Factors|Impact->Impact On People|"
    "Impact->Impact On Systems, Services And Networks|Impact->Number Of People Affected|"
    "Priority Interventions->Expressed By Humanitarian Staff|Priority Interventions->Expressed By Population|"
    "Priority Needs->Expressed By Humanitarian Staff|Priority Needs->Expressed By Population",
}
"""Classes of each task, in the order of the dataset's card."""

ABOUT = {
    "sectors": "which humanitarian sectors is the excerpt about?",
    "pillars_1d": "which pillars of the analysis framework, first dimension?",
    "subpillars_1d": "which subpillars of the first dimension?",
    "pillars_2d": "which pillars of the second dimension?",
    "subpillars_2d": "which subpillars of the second dimension?",
}


@dataclass(frozen=True)
class HumsetTask(Task):
    """One column of labels over the excerpts; an excerpt may have none of the classes."""

    checks_files = True

    def patterns(self) -> list[str]:
        """The three files of the first version."""
        return list(FILES.values())

    def _read(self) -> DatasetDict:
        folder = find(self.repo, "dataset", self.patterns(), f"Task '{self.name}'")
        return datasets.DatasetDict({split: self._rows(folder / file) for split, file in FILES.items()})

    def _rows(self, file: Path) -> Dataset:
        ids = {label: number for number, label in enumerate(self.labels)}
        rows = {"text": [], "label": []}
        for line, entry in enumerate(_entries(file, file.stat().st_mtime_ns), 1):
            try:
                names = entry[self.name]
                # Some releases write a list as the text of a list.
                names = ast.literal_eval(names) if isinstance(names, str) else names
                rows["text"].append(entry["excerpt"])
                rows["label"].append(sorted({ids[name] for name in names or ()}))
            except KeyError as error:
                lacks = error.args[0] in (self.name, "excerpt")
                what = f"no field '{error.args[0]}'" if lacks else f"the unknown label '{error.args[0]}'"
                raise UserError(
                    f"Line {line} of {file} has {what}, which task '{self.name}' needs in HumSet's first version; get "
                    f"{', '.join(FILES.values())} of that version."
                    if lacks
                    else f"Line {line} of {file} has {what} of task '{self.name}'; expected one of "
                    f"{', '.join(self.labels)}."
                ) from error
            except (ValueError, SyntaxError, TypeError) as error:
                raise UserError(
                    f"Line {line} of {file} has labels of task '{self.name}' that are no list: {entry[self.name]!r}."
                ) from error
        if not rows["text"]:
            raise UserError(f"{file} of task '{self.name}' has no rows; run `scalearn prefetch` or copy it again.")
        rows = datasets.Dataset.from_dict(rows, features=self.features)
        self.check(rows, str(file))
        return rows


@functools.lru_cache(maxsize=3)
def _entries(file: Path, changed: int) -> list[dict[str, object]]:
    """The lines of a JSONL file, kept for the other tasks that read it; `changed` is its time of modification."""
    entries = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                entries.append(json.loads(line))
            except ValueError as error:
                raise UserError(
                    f"Line {number} of {file} is no JSON; run `scalearn prefetch` or copy it again."
                ) from error
    return entries


def _task(name: str) -> HumsetTask:
    labels = tuple(LABELS[name].split("|"))
    return HumsetTask(
        name,
        "humset",
        "multi_label",
        ("text",),
        labels,
        "f1_macro",
        ABOUT[name],
        select="metric",
        seeds=3,
        empty_texts=True,
        repo=REPO,
    )


SUITE = Suite("humset", "HumSet, five multi-label tasks from the hub or a mirror", tuple(map(_task, LABELS)))
