"""Stored results as one tidy frame, which tables, figures and verdicts read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from ..errors import say_once
from ..runs.result import RESULT, Result, read_result

SAME = ("transfer_parameters", "trainable_parameters", "device", "threads", "steps", "source_data")
"""Columns that are fields of a result."""

COLUMNS = (
    "suite task method encoder seed k budget overrides sampling source_tasks metric transfer_parameters "
    "trainable_parameters score validation seconds train_seconds device threads steps batch_size code data "
    "source_data folder"
).split()


def load_results(output: Path, **where: object) -> pd.DataFrame:
    """Return one row per complete, successful run below `output`, for tables and figures.

    Columns: the run's fields (`suite`, `task`, `method`, `encoder`, `seed`, `k`, `budget`, `overrides` as JSON,
    `sampling`, `source_tasks` as names with blanks between, empty for all of the suite), `metric`, `score` (the primary
    metric on test), `validation`, `transfer_parameters`, `trainable_parameters`, `seconds` (`train_seconds` of them
    training), `device`, `threads`, `steps`, `batch_size`, `code`, `data` and `source_data` (fingerprints of what it was
    made from, the last of the data of its source adapters), `folder`. Failed and damaged results stay out; damaged
    ones are named once.

    Args:
        output: the folder that runs were executed into.
        **where: values that fields must have, such as `suite="offline"`.
    """
    rows = []
    for file in sorted(output.glob(f"*/*/*/*/*/seed*/{RESULT}")):  # as `Run.folder` has it: nothing half-written
        try:
            result = read_result(file.parent)
        except ValueError as error:
            say_once(f"Left out: {error}; run it again.")
            continue
        if not isinstance(result, Result):  # none: removed since it was listed
            continue
        run = result.run
        row = {**asdict(run), "overrides": json.dumps(dict(run.overrides), sort_keys=True)}
        row |= {"source_tasks": " ".join(run.source_tasks or ()), "code": result.code_label, "folder": str(file.parent)}
        row |= {key: getattr(result, key) for key in SAME}
        row |= {"seconds": result.seconds["total"], "train_seconds": result.seconds["train"]}
        row |= {"batch_size": result.settings.batch_size}
        for task in result.tasks or [run.task]:  # a joint run has several
            scored = result.of_task(task)
            row |= {"task": task, "metric": scored.metric, "score": scored.score, "data": scored.data}
            row |= {"validation": scored.validation[scored.metric]}
            if all(row[key] == value for key, value in where.items()):
                rows.append(dict(row))
    return pd.DataFrame(rows, columns=COLUMNS)
