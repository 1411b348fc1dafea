"""Locks of the operating system: they end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError


@contextmanager
def locked(file: Path, otherwise: str | None = None) -> Iterator[None]:
    """Hold the lock of `file` for as long as the block lasts; the file is made for it and removed after it.

    `kill -9` leaves the empty file behind, but not the lock. Between machines it holds where the file system has
    `flock` for all of them (NFS 4, Lustre mounted with `flock`, BeeGFS, GPFS).

    Args:
        file: what is locked.
        otherwise: the error where another process holds the lock, with "{holder}" for which one; `None` waits.

    Raises:
        UserError: another process holds the lock and `otherwise` is given, or the file cannot be made.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = acquire(file, wait=otherwise is None)
    except OSError as error:
        raise UserError(f"Cannot write to {file.parent}: {error.strerror}; choose another output folder.") from error
    if descriptor is None:
        holder = file.read_text() if file.exists() else ""
        raise UserError(otherwise.replace("{holder}", holder or "another process"))
    try:
        yield
    finally:
        release(file, descriptor)


def acquire(file: Path, wait: bool) -> int | None:
    """Take the lock of `file` and return its descriptor; `None` where another process has it and `wait` is false."""
    looks = 2
    while True:
        descriptor = _open(file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            if looks == 0:
                return None
            looks -= 1
            time.sleep(0.05)  # `is_held` may have had it for a moment
            continue
        try:
            same = os.path.samestat(os.fstat(descriptor), os.stat(file))
        except FileNotFoundError:
            same = False
        if same:
            with suppress(OSError):  # a full disk, or another user's file: the lock holds without these words
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return descriptor
        os.close(descriptor)  # its last holder removed the file meanwhile: this was a lock on nothing


def _open(file: Path) -> int:
    """Open a lock's file, which every user of the machine may lock."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:  # another user's, from before it was opened to all
        return os.open(file, os.O_RDONLY)
    with suppress(OSError):
        os.fchmod(descriptor, 0o666)
    return descriptor


def release(file: Path, descriptor: int) -> None:
    """Give a lock back and remove its file, which only its holder may do."""
    file.unlink(missing_ok=True)
    os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether a process holds the lock of `file`."""
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
