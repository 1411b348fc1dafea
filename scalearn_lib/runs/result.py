"""Storing results so that half a result can never be taken for a whole one, and reading them back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from .run import WEIGHTS, Run
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


def code_label(result: dict[str, object]) -> str:
    """The version of the code that made a result, and those of its source adapters where they differ."""
    code = result.get("code", UNKNOWN)
    older = [version for version in result.get("source_code", ()) if version != code]
    number = result.get("processes", 1)  # more of them draw other dropout masks
    return code + (f" on {' and '.join(older)}" if older else "") + (f" in {number} processes" if number > 1 else "")


def source_versions(made: Mapping[str, dict[str, object]]) -> dict[str, object]:
    """What a result tells of its source adapters: versions of their code, and fingerprints of data and weights."""
    if not made:
        return {}
    return {
        "source_code": sorted({result.get("code", UNKNOWN) for result in made.values()}),
        "source_data": fingerprint({task: result.get("data", UNKNOWN) for task, result in made.items()}),
        "source_weights": {task: fingerprint(result["files"]) for task, result in made.items()},
    }


def fingerprint(of: object) -> str:
    """A short SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]


def check_encoder(run: Run, folder: Path, result: Mapping[str, object]) -> None:
    """Raise `UserError` if a folder's result is that of another encoder, whose name gives the same folder."""
    other = result["run"]["encoder"]
    if other != run.encoder:
        raise UserError(
            f"{folder} holds the result of the encoder '{other}', not of '{run.encoder}': rename one of them, or use "
            "another output folder."
        )
