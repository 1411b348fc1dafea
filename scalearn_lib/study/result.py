"""Storing results so that half a result can never be taken for a whole one, and reading them back."""

from __future__ import annotations

import errno
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..methods import METHODS
from .run import WEIGHTS
from .versions import UNKNOWN

RESULT = "result.json"

RUN_FIELDS = {"suite", "task", "method", "encoder", "seed", "k", "budget", "overrides"}
"""What a result has told of its run since the first version."""


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `final` that takes its place when the block ends without an error.

    Raises:
        UserError: the place cannot be written.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    except OSError as error:
        raise UserError(f"Cannot write to {final.parent}: {error.strerror}; choose another output folder.") from error
    try:
        yield temporary
        if final.exists():
            shutil.rmtree(final)
        temporary.chmod(0o755)  # mkdtemp keeps others out, a result is for everyone
        os.replace(temporary, final)
    except Exception as error:
        if is_full(error):
            raise UserError(
                f"The disk of {final.parent} is full; free some space and run again: what is complete is kept."
            ) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_full(error: Exception) -> bool:
    """Whether an error says that a disk or a quota is full; safetensors has errors of its own kind."""
    full = (errno.ENOSPC, errno.EDQUOT)
    return getattr(error, "errno", None) in full or any(f"(os error {number})" in str(error) for number in full)


def write_result(folder: Path, result: dict[str, object]) -> None:
    """Write `result.json` into a folder, with a checksum of every file below `weights/`."""
    result = {**result, "files": checksums(folder / WEIGHTS)}
    (folder / RESULT).write_text(json.dumps(result, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_result(folder: Path) -> dict[str, object] | None:
    """Return the result stored in `folder`, or `None` where there is none.

    Raises:
        ValueError: the result is there but damaged; the message says what is wrong.
    """
    file = folder / RESULT
    if not file.exists():
        return None
    try:
        result = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is no complete JSON") from error
    if not isinstance(result, dict) or not {"run", "status", "files"} <= set(result):
        raise ValueError(f"{file} lacks its run, status or files")
    run, needed = result["run"], {"ok": {"metric", "seconds"}, "failed": {"error"}}.get(str(result["status"]))
    if needed is None or not needed <= set(result) or not isinstance(run, dict) or not RUN_FIELDS <= set(run):
        raise ValueError(f"{file} is not what a run writes")
    return result


def check_files(folder: Path, result: dict[str, object]) -> None:
    """Compare the weights in `folder` with the checksums in its result.

    Raises:
        ValueError: a file is missing or differs.
    """
    there = checksums(folder / WEIGHTS)
    for name, digest in result["files"].items():
        if there.get(name) != digest:
            raise ValueError(f"{folder / WEIGHTS / name} is missing or damaged")


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below `folder`, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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


def code_label(result: dict[str, object]) -> str:
    """The version of the code that made a result, and those of its source adapters where they differ."""
    code = result.get("code", UNKNOWN)
    older = [version for version in result.get("source_code", ()) if version != code]
    number = result.get("processes", 1)  # more of them draw other dropout masks
    return code + (f" on {' and '.join(older)}" if older else "") + (f" in {number} processes" if number > 1 else "")


@functools.cache
def provenance() -> dict[str, object]:
    """Versions, machine and commit, for `result.json`; the commit is `None` outside a git checkout."""
    packages = ("torch", "transformers", "adapters", "datasets", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    here = Path(__file__).parents[1]
    git = functools.partial(subprocess.run, cwd=here, capture_output=True, text=True)
    try:
        commit = git(["git", "rev-parse", "HEAD"]).stdout.strip() or None
        changed = bool(git(["git", "status", "--porcelain", "--untracked-files=no", "."]).stdout.strip())
    except FileNotFoundError:  # no git on this machine
        commit, changed = None, False
    return {"versions": {"python": platform.python_version(), **versions}, "commit": commit, "changed": changed}
