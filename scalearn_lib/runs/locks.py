"""Locks between processes, by filelock: they end with the process that holds them, however it ends."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import UserError

AT_ONCE = 0.3
"""Seconds to try for a lock that is not waited for: `is_held` may have it for a moment."""


@contextmanager
def locked(file: Path, otherwise: str | None = None) -> Iterator[None]:
    """Hold the lock of `file` for as long as the block lasts; the file is made for it and removed after it.

    `kill -9` leaves the file behind, but not the lock. Between machines it holds where the file system has
    `flock` for all of them (NFS 4, Lustre mounted with `flock`, BeeGFS, GPFS).

    Args:
        file: what is locked.
        otherwise: the error where another process holds the lock, with "{holder}" for which one; `None` waits.

    Raises:
        UserError: another process holds the lock and `otherwise` is given, or the file cannot be made.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = acquire(file, wait=otherwise is None)
    except OSError as error:
        raise UserError(f"Cannot write to {file.parent}: {error.strerror}; choose another output folder.") from error
    if lock is None:
        holder = file.read_text() if file.exists() else ""
        raise UserError(otherwise.replace("{holder}", holder or "another process"))
    try:
        yield
    finally:
        release(lock)


def acquire(file: Path, wait: bool) -> FileLock | None:
    """Take the lock of `file`; `None` where another process has it and `wait` is false. Whoever drops it frees it."""
    lock = FileLock(file, mode=0o666, thread_local=False)  # every user of the machine may lock it
    try:
        lock.acquire(timeout=-1 if wait else AT_ONCE)
    except Timeout:
        return None
    with suppress(OSError):  # a full disk, or another user's file: the lock holds without these words
        file.write_text(f"process {os.getpid()} on {socket.gethostname()}")
    return lock


def release(lock: FileLock) -> None:
    """Give a lock back and remove its file, which only its holder may do; filelock itself would leave it there."""
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def is_held(file: Path) -> bool:
    """Whether a process holds the lock of `file`."""
    if not file.is_file():
        return False
    try:
        with FileLock(file, timeout=0, thread_local=False):
            return False
    except Timeout:
        return True
    except OSError:  # removed meanwhile, or no place where a lock can be
        return False


def run_lock(folder: Path) -> Path:
    """The lock of a run's folder: whoever makes the run holds it."""
    return folder.parent / f".{folder.name}.lock"


@contextmanager
def sole_maker(folder: Path) -> Iterator[None]:
    """Be the only process that makes the run of this folder; wait for another one that does.

    What a killed maker left half-written is removed.
    """
    with locked(run_lock(folder)):
        for leftover in folder.parent.glob(f".{folder.name}.*/"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield
