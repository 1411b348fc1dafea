"""Locks between processes, by filelock: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
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
    """Hold the lock of `file` for as long as the block lasts; the file is made for it and stays.

    Between machines it holds where the file system has `flock` for all of them (NFS 4, Lustre mounted with `flock`,
    BeeGFS, GPFS). A removed file could be locked once more there beside its successor: NFS only renames what is open.

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
        lock.release()


def acquire(file: Path, wait: bool) -> FileLock | None:
    """Take the lock of `file`; `None` where another process has it and `wait` is false. Whoever drops it frees it."""
    # Every user of the machine may lock it. Where a file system has no flock, that is an error: the lock by existence
    # that filelock would fall back to keeps its holder in the file, where `_sign` writes.
    lock = FileLock(file, mode=0o666, thread_local=False, fallback_to_soft=False, on_acquired=_sign)
    try:
        lock.acquire(timeout=-1 if wait else AT_ONCE)
    except Timeout:
        return None
    return lock


def _sign(descriptor: int) -> None:
    """Write into a lock's file who holds it."""
    with suppress(OSError):  # a full disk: the lock holds without these words
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())


def is_held(file: Path) -> bool:
    """Whether a process holds the lock of `file`.

    filelock could only try for the lock itself, and two that look would take each other for its holder. A shared lock
    leaves them undisturbed, makes no file, and needs no right to write.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError:  # not there, or no place where a lock can be
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
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
