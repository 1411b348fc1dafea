"""Results as tidy frames, which tables, figures, verdicts and notebooks read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from math import nan
from pathlib import Path

import pandas as pd

from ..errors import say_once
from ..methods import get_method
from ..runs.reference import reference_results
from ..runs.result import RESULT, Result, read_result
from ..tasks import is_known_suite
from ..training.history import ENTROPY, RANDOM

SAME = (
    "transfer_parameters",
    "trainable_parameters",
    "device",
    "threads",
    "steps",
    "selected_step",
    "method_code",
    "source_data",
)
"""Columns that are fields of a result."""

COLUMNS = (
    "suite task method encoder seed k budget overrides sampling source_tasks adapters outdated metric "
    "transfer_parameters trainable_parameters score validation seconds train_seconds device threads steps "
    "selected_step max_steps batch_size precision entropy_left random_share code method_code data source_data folder"
).split()


def load_results(output: Path, reference: bool = True, **where: object) -> pd.DataFrame:
    """Return one row per complete, successful run below `output` or of the reference study, for tables and figures.

    A joint run has a row for each of its tasks.

    Columns: the run's fields (`suite`, `task`, `method`, `encoder`, `seed`, `k`, `budget`, `overrides` as JSON,
    `sampling`, `source_tasks` as names with blanks between, empty for all of the suite, `adapters` as names and
    fingerprints), `outdated` (whether a user's data or the budget's settings were others than now), `metric`, `score`
    (the primary metric on test), `validation`, `transfer_parameters`, `trainable_parameters`, `seconds`
    (`train_seconds` of them training), `device`, `threads`, `steps` (the best state's is `selected_step`, the limit
    `max_steps`), `batch_size`, `precision`, `entropy_left` (of the sources' shares: the last entropy over the first;
    NaN where that is 0), `random_share` (of all random sources, at last; NaN where shares were not noted, as the
    other), `code`, `method_code`, `data` and `source_data` (fingerprints of what it was made from, the last of the data
    of its source adapters), `folder`. Failed and damaged results stay out; damaged ones are named once.

    Args:
        output: the folder that runs were executed into.
        reference: whether results of the reference study count that are not there.
        **where: values that fields must have, such as `suite="offline"`.
    """
    rows = []
    for result, folder in _every(output, reference):
        for task in result.tasks or [result.run.task]:  # a joint run has several
            row = _row(result.of_task(task)) | {"folder": str(folder)}
            if all(row[key] == value for key, value in where.items()):
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _every(output: Path, reference: bool) -> Iterator[tuple[Result, Path]]:
    """Each usable result below `output` with its folder, then those of the reference study that are not there.

    One that is outdated does not keep the reference study's from counting, as it does not for `stored_results`.
    """
    own = set()
    for file in sorted(output.glob(f"*/*/*/*/*/seed*/{RESULT}")):  # as `Run.folder` has it: nothing half-written
        if not is_known_suite(file.relative_to(output).parts[0]):  # a user's, whose file was not named
            continue
        try:
            result = read_result(file.parent)
        except ValueError as error:
            say_once(f"Left out: {error}; run it again.")
            continue
        if isinstance(result, Result):  # else removed since it was listed
            own |= set() if _is_outdated(result) else {result.run.folder(Path())}
            yield result, file.parent
    for result, folder in reference_results() if reference else ():
        if result.run.folder(Path()) not in own:
            yield result, folder


def tidy(results: Iterable[Result]) -> pd.DataFrame:
    """Return one row per result, as `execute_all` returns them: the columns of `load_results` but for `folder`.

    `method` has titles; it and `task` are ordered, by first appearance (see `titled`).
    """
    return titled(pd.DataFrame([_row(result) for result in results], columns=COLUMNS[:-1]))


def stopped_early(results: pd.DataFrame) -> pd.Series:
    """Whether each result's best state is that of the last step that it was allowed, so that more might have gained."""
    return (results["steps"] == results["max_steps"]) & (results["selected_step"] == results["steps"])


def titled(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame for tables and figures: `method` as titles; it and `task` as categories ordered by appearance."""
    titles = frame["method"].map(lambda name: get_method(name).title)
    ordered = {"task": frame["task"], "method": titles}
    return frame.assign(
        **{name: pd.Categorical(values, values.unique(), ordered=True) for name, values in ordered.items()}
    )


def validation_losses(results: Iterable[Result]) -> pd.DataFrame:
    """Return each validation loss that results logged: `task`, `method` (title), `seed`, `step`, `loss`."""
    rows = [
        (result.run.task, get_method(result.run.method).title, result.run.seed, entry["step"], entry["eval_loss"])
        for result in results
        for entry in result.history
        if "eval_loss" in entry
    ]
    return pd.DataFrame(rows, columns="task method seed step loss".split())


def share_histories(results: Iterable[Result]) -> pd.DataFrame:
    """Return the entropies of sources' shares: `task`, `method` (title), `k`, `seed`, `step`, `layer`, `entropy`."""
    rows = [
        (run.task, get_method(run.method).title, run.k, run.seed, entry["step"], key.removeprefix(ENTROPY), value)
        for result in results
        for run in [result.run]
        for entry in result.history
        for key, value in entry.items()
        if key.startswith(ENTROPY)
    ]
    return pd.DataFrame(rows, columns="task method k seed step layer entropy".split())


def _row(result: Result) -> dict[str, object]:
    run = result.run
    row = {**asdict(run), "overrides": json.dumps(dict(run.overrides), sort_keys=True)}
    row |= {"adapters": " ".join(f"{adapter.name}@{adapter.sha256}" for adapter in run.adapters)}
    row |= {"outdated": _is_outdated(result)}
    row |= {"source_tasks": " ".join(run.source_tasks or ()), "code": result.code_label, "data": result.data}
    row |= {key: getattr(result, key) for key in SAME}
    row |= {"seconds": result.seconds["total"], "train_seconds": result.seconds["train"]}
    row |= {key: getattr(result.settings, key) for key in ("max_steps", "batch_size", "precision")}
    row |= {"metric": result.metric, "score": result.score} | _shares(result.history)
    return row | {"validation": result.validation[result.metric]}


def _is_outdated(result: Result) -> bool:
    """Whether a user's data, or the budget's settings, were others than now."""
    run = result.run
    return run.content != run.content_now() or result.settings != run.settings()


def _shares(history: list[dict[str, float]]) -> dict[str, float]:
    """How the sources' shares ended, as `training/shares.py` noted them."""
    entropies = [[value for key, value in entry.items() if key.startswith(ENTROPY)] for entry in history]
    means = [sum(values) / len(values) for values in entropies if values]
    random = [entry[RANDOM] for entry in history if RANDOM in entry]
    left = means[-1] / means[0] if means and means[0] else nan
    return {"entropy_left": left, "random_share": random[-1] if random else nan}
