"""What all processes of a submission use together: looked at from the first of them, in a /proc of their own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

PROC = Path("/proc")
"""Where Linux shows the processes."""


def exceeded(processes: int, memory: int, folders: Sequence[Path]) -> Iterator[str]:
    """Yield what goes beyond its bound: "processes", "all memory", or "folder" where one of `folders` is full.

    Args:
        processes: how many there may be.
        memory: bytes that they may hold together, shared memory included.
        folders: file systems with a bound of their own.
    """
    running = [path for path in PROC.iterdir() if path.name.isdigit()]
    if len(running) > processes:
        yield "processes"
    if sum(map(_resident, running)) + _files_in_memory(running) + _system_v() > memory:
        yield "all memory"
    for folder in folders:
        state = os.statvfs(folder)
        if state.f_bavail == 0 or state.f_favail == 0:
            yield "folder"


def _resident(process: Path) -> int:
    """Bytes of memory that a process maps; 0 once it has ended."""
    with contextlib.suppress(OSError):
        return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _files_in_memory(processes: Sequence[Path]) -> int:
    """Bytes of the files that processes hold open and that have no name (memfd, and those that were deleted)."""
    sizes = {}
    for process in processes:
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    state = descriptor.stat()
                    if state.st_nlink == 0:
                        sizes[state.st_dev, state.st_ino] = 512 * state.st_blocks
    return sum(sizes.values())


def _system_v() -> int:
    """Bytes of System V's shared memory, which needs no process to hold it."""
    lines = (PROC / "sysvipc" / "shm").read_text().splitlines()
    column = lines[0].split().index("rss")
    return sum(int(line.split()[column]) for line in lines[1:])
