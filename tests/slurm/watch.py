"""What the two tests of interrupted grids share: starting a grid, and counting what was made how often."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

SMALL = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


class Watch:
    """Looks at all results below a folder several times a second, and remembers each that it ever saw."""

    def __init__(self, output: Path) -> None:
        self.output, self.seen = output, {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._look_on, daemon=True)
        self.thread.start()

    def _look_on(self) -> None:
        while not self.stopped.is_set():
            self.look()
            time.sleep(0.1)

    def look(self) -> None:
        for file in self.output.glob("*/*/*/*/*/seed*/result.json"):
            try:
                content = file.read_bytes()  # with the seconds that the run took; Snakemake touches what jobs made
            except FileNotFoundError:  # just replaced
                continue
            self.seen.setdefault(file, set()).add(hashlib.sha256(content).digest())

    def count(self) -> int:
        """How many results are there."""
        return len(list(self.output.glob("*/*/*/*/*/seed*/result.json")))

    def lost_and_twice(self) -> tuple[int, int]:
        """How many results were there once and are not any more, and how many were made more than once."""
        self.stopped.set()
        self.thread.join()
        self.look()
        lost = [file for file in self.seen if not file.exists()]
        twice = [file for file, versions in self.seen.items() if len(versions) > 1]
        return len(lost), len(twice)


def start(study: Path, output: Path, log: Path, *options: object) -> subprocess.Popen:
    """Start `scalearn grid` in a session of its own, with its words appended to `log`."""
    command = [sys.executable, "-m", "scalearn_lib.cli", "grid", study, "--output", output, *options]
    say("$ scalearn " + " ".join(str(word) for word in command[3:]))
    with log.open("a") as words:
        return subprocess.Popen(
            [str(word) for word in command], stdout=words, stderr=words, env=SMALL, start_new_session=True
        )


def wait(ready: Callable[[], object], what: str, seconds: float = 1800) -> object:
    """Wait until `ready` returns something true, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := ready():
            return found
        time.sleep(0.05)
    raise SystemExit(f"Waited {seconds:.0f} s in vain for {what}.")


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)
