"""Other processes for tests of locks, forked, so that they need not import everything again."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from scalearn_lib.runs.locks import acquire

HELD: list[FileLock | None] = []
"""Locks that this process keeps until it ends."""

FORK = multiprocessing.get_context("fork")


class Other:
    """A process that computes something, says it, and lives on until it is killed."""

    def __init__(self, compute: Callable[..., object], *arguments: object) -> None:
        ours, theirs = FORK.Pipe()
        self.pipe, self.process = ours, FORK.Process(target=self._run, args=(theirs, compute, *arguments), daemon=True)
        self.process.start()

    @staticmethod
    def _run(pipe, compute: Callable[..., object], *arguments: object) -> None:
        try:
            pipe.send(compute(*arguments))
        except Exception as error:
            pipe.send(error)
        signal.pause()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def says(self, seconds: float = 30) -> object:
        """What it computed, or the error that it met; `None` if it says nothing for so long."""
        return self.pipe.recv() if self.pipe.poll(seconds) else None

    def kill(self) -> None:
        """End it by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.process.join()


def holds(file: Path, wait: bool = False) -> bool:
    """Take a lock for as long as this process lives; whether it could."""
    HELD.append(acquire(file, wait))
    return HELD[-1] is not None
