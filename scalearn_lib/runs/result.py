"""What a result is, storing it so that half a one can never be taken for a whole one, and reading it back."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from ..errors import UserError
from ..tasks.wheels import sha256
from ..training.budget import Budget
from .run import WEIGHTS, Run
from .versions import code_label

RESULT = "result.json"

StoredRun = Annotated[Run, PlainSerializer(Run.spec)]
"""A run, written as plain data."""


class Stored(BaseModel):
    """What all models here have in common: nothing else is allowed, texts are no numbers, numbers are finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Scores(Stored):
    """How a trained model did on one task.

    Args:
        metric: the primary metric, one of the names in `test` and `validation`.
        test, validation: scores by metric, and the loss.
        sizes: rows by split.
        data: fingerprint of the encoded rows (see `versions.data_version`).
    """

    metric: str
    test: dict[str, float]
    validation: dict[str, float]
    sizes: dict[str, NonNegativeInt]
    data: str

    @model_validator(mode="after")
    def _has_its_metric(self) -> Scores:
        for split in ("test", "validation"):
            if self.metric not in getattr(self, split):
                raise ValueError(f"its {split} scores lack the metric '{self.metric}'")
        return self

    @property
    def score(self) -> float:
        """The primary metric on test."""
        return self.test[self.metric]


class FewShot(Stored):
    """The rows that a k-shot run was trained on: how they were drawn, their numbers, and the SHA-256 of their texts."""

    sampling: str
    indices: list[NonNegativeInt]
    sha256: str


class Result(Scores):
    """What a run gave: `result.json`.

    Args:
        run: what was done; of a joint run, one of its tasks.
        files: SHA-256 of each file below `weights/`.
        settings: the budget's, overrides included.
        few_shot: the rows of a k-shot run.
        transfer_parameters, trainable_parameters: what was learned, without and with heads.
        selected_epoch, selected_step: of the best state; `steps` were made in all.
        history: each logged training loss and each evaluation, by step.
        seconds: of training, testing, and in total.
        peak_memory_mib: of the GPU during this run, or of the process so far.
        versions, commit, changed: packages, the repository's commit, and whether files differed from it.
        code: fingerprint of the sources that bear on numbers (see `versions.code_version`).
        method_code: the same of the method (see `versions.method_version`).
        source_code, source_data, source_weights: versions of the source adapters' code, and fingerprints of their data
            and of their weights by task.
        device, threads, processes: what it ran on.
        tasks: of a joint run, the scores of each task; its own are means over them.
    """

    run: StoredRun
    status: Literal["ok"] = "ok"
    files: dict[str, str]
    settings: Budget
    few_shot: FewShot | None = None
    transfer_parameters: NonNegativeInt
    trainable_parameters: NonNegativeInt
    selected_epoch: float
    selected_step: NonNegativeInt
    steps: NonNegativeInt
    history: list[dict[str, float]]
    seconds: dict[Literal["train", "search", "test", "total"], float]
    peak_memory_mib: float
    versions: dict[str, str]
    commit: str | None
    changed: bool
    code: str
    method_code: str = ""
    source_code: list[str] = []
    source_data: str | None = None
    source_weights: dict[str, str] = {}
    device: str
    threads: NonNegativeInt
    processes: int = 1
    tasks: dict[str, Scores] = {}

    def of_task(self, task: str) -> Result:
        """This result as that of one task: of a joint run's, its scores stand where a single run has its own."""
        if not self.tasks:
            return self
        return self.model_copy(update=dict(self.tasks[task]) | {"run": replace(self.run, task=task)})

    @property
    def code_label(self) -> str:
        """The version of the code, and those of the source adapters' where they differ."""
        many = f" in {self.processes} processes" if self.processes > 1 else ""  # they draw other dropout masks
        return code_label(self.code, self.source_code) + many


class Failure(Stored):
    """A run that ended without a usable result, and why."""

    run: StoredRun
    status: Literal["failed"] = "failed"
    error: str
    code: str
    method_code: str = ""
    files: dict[str, str] = {}


_STORED: TypeAdapter[Result | Failure] = TypeAdapter(Annotated[Result | Failure, Field(discriminator="status")])


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


def write_result(folder: Path, result: Result | Failure) -> None:
    """Write `result.json` into a folder."""
    (folder / RESULT).write_text(result.model_dump_json(indent=1) + "\n")


def parse_result(text: bytes) -> Result | Failure:
    """Return the result that a text holds.

    Raises:
        ValueError: it holds none; the message says where and why.
    """
    try:
        return _STORED.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("ok", "failed"))
        raise ValueError(f"no complete result ({where + ': ' if where else ''}{first['msg']})") from error


def read_result(folder: Path) -> Result | Failure | None:
    """Return the result stored in `folder`, or `None` where there is none.

    Raises:
        ValueError: the result is there but damaged, or that of another run; the message says what is wrong.
    """
    file = folder / RESULT
    try:
        text = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    try:
        result = parse_result(text)
    except ValueError as error:
        raise ValueError(f"{file} is {error}") from error
    if not result.run.is_at(folder):
        raise ValueError(f"{file} is the result of another run, {result.run}")
    return result


def check_files(folder: Path, result: Result, without: Collection[str] = ()) -> None:
    """Compare the weights in `folder` with the checksums in its result.

    Args:
        without: patterns of names that do not have to be there.

    Raises:
        ValueError: a file is missing or differs.
    """
    there = checksums(folder / WEIGHTS)
    for name, digest in result.files.items():
        if there.get(name) != digest and not any(fnmatch(name, pattern) for pattern in without):
            raise ValueError(f"{folder / WEIGHTS / name} is missing or damaged")


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below `folder`, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def source_versions(made: Mapping[str, Result]) -> dict[str, object]:
    """What a result tells of its source adapters: versions of their code, and fingerprints of data and weights."""
    if not made:
        return {}
    return {
        "source_code": sorted({result.code for result in made.values()}),
        "source_data": fingerprint({task: result.data for task, result in made.items()}),
        "source_weights": {task: fingerprint(result.files) for task, result in made.items()},
    }


def fingerprint(of: object) -> str:
    """A short SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:12]


def check_encoder(run: Run, folder: Path, result: Result | Failure) -> None:
    """Raise `UserError` if a folder's result is that of another encoder, whose name gives the same folder."""
    other = result.run.encoder
    if other != run.encoder:
        raise UserError(
            f"{folder} holds the result of the encoder '{other}', not of '{run.encoder}': rename one of them, or use "
            "another output folder."
        )
