"""Stored results as one tidy frame, which tables, figures and verdicts read."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..methods import METHODS
from ..runs.result import RESULT, code_label, read_result
from ..runs.versions import UNKNOWN


def load_results(output: Path, **where: object) -> pd.DataFrame:
    """Return one row per complete, successful run below `output`, for tables and figures.

    Columns: the run's fields (`suite`, `task`, `method`, `encoder`, `seed`, `k`, `budget`, `overrides` as JSON,
    `sampling`, `source_tasks` as names with blanks between, empty for all of the suite), `metric`, `score` (the primary
    metric on test), `validation`, `transfer_parameters`, `trainable_parameters`, `seconds` (`train_seconds` of them
    training), `device`, `threads`, `steps`, `batch_size`, `code`, `data` and `source_data` (fingerprints of what it was
    made from, the last of the data of its source adapters), `folder`. Failed and damaged results stay out; damaged
    ones are named in a warning line.

    Args:
        output: the folder that runs were executed into.
        **where: values that fields must have, such as `suite="offline"`.
    """
    rows = []
    for file in sorted(output.glob(f"*/*/*/*/*/seed*/{RESULT}")):  # as `Run.folder` has it: nothing half-written
        try:
            result = read_result(file.parent)
        except ValueError as error:
            print(f"Left out: {error}; run it again.")
            continue
        if result is None or result["status"] != "ok":  # none: removed since it was listed
            continue
        row = {"sampling": "resampled", "source_tasks": None} | result["run"]  # the first results had neither field
        if row["method"] not in METHODS:
            print(f"Left out: {file} is of the method '{row['method']}', which does not exist any more.")
            continue
        row["overrides"] = json.dumps(row["overrides"], sort_keys=True)
        row["source_tasks"] = " ".join(row["source_tasks"] or ())
        row |= {key: result[key] for key in ("transfer_parameters", "trainable_parameters")}
        seconds = result["seconds"]
        row |= {"seconds": seconds["total"], "train_seconds": seconds.get("train"), "folder": str(file.parent)}
        row |= {key: result.get(key) for key in ("device", "threads", "steps")}
        row["code"] = code_label(result)
        row["source_data"] = result.get("source_data", UNKNOWN)
        row |= {"batch_size": result.get("settings", {}).get("batch_size")}
        for task, scores in result.get("tasks", {row["task"]: result}).items():  # a joint run has several
            metric = scores["metric"]
            scored = {"task": task, "metric": metric, "score": scores["test"][metric]}
            scored["data"] = scores.get("data", UNKNOWN)
            scored = row | scored | {"validation": scores["validation"][metric]}
            if all(scored[key] == value for key, value in where.items()):
                rows.append(scored)
    columns = (
        "suite task method encoder seed k budget overrides sampling source_tasks metric transfer_parameters "
        "trainable_parameters score validation seconds train_seconds device threads steps batch_size code data "
        "source_data folder"
    ).split()
    return pd.DataFrame(rows, columns=columns)
