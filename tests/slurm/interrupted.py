"""`make test-interrupts`: a local grid whose driver and a worker are killed by `kill -9`, against an undisturbed one.

Both have the same 42 runs of the toy suite. The results have to be equal bit for bit: scores, histories and weights.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
from pathlib import Path

from watch import Watch, say, start, wait

from scalearn_lib.runs.locks import is_held

STUDY = """
suite: toy
encoder: tiny
budget: smoke
methods: [full, adapter, adapter_m, adapter_fusion, scalearn, scalearn_uniform_pp]
seeds: [0, 1]
runs_per_job: 6
"""
RUNS = 2 * (4 * 5 + 1)


def maker(output: Path, driver: int) -> int | None:
    """A process that makes a run just now, as its lock says, for a driver."""
    for lock in output.rglob(".seed*.lock"):
        try:
            found = re.match(r"process (\d+) on", lock.read_text())
            if found and is_held(lock) and descends(int(found[1]), driver):
                return int(found[1])
        except FileNotFoundError:  # just done
            continue
    return None


def descends(process: int, ancestor: int) -> bool:
    """Whether a process is a child of another, or a child of one."""
    while process > 1:
        status = Path(f"/proc/{process}/status").read_text()
        process = int(re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)[1])
        if process == ancestor:
            return True
    return False


def results(output: Path) -> dict[str, dict]:
    """All that a run computes, without times and machine."""
    keys = (
        "run",
        "status",
        "test",
        "validation",
        "history",
        "selected_step",
        "steps",
        "sizes",
        "files",
        "code",
        "data",
    )
    found = {}
    for file in sorted(output.glob("*/*/*/*/*/seed*/result.json")):
        result = json.loads(file.read_text())
        found[str(file.relative_to(output))] = {key: result.get(key) for key in keys}
    return found


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="scalearn-interrupts-"))
    study, log = folder / "toy.yaml", folder / "grid.log"
    study.write_text(STUDY)
    output, calm = folder / "interrupted", folder / "calm"
    watch = Watch(output)
    driver = start(study, output, log, "--jobs", 2)
    wait(lambda: watch.count() >= 6 and maker(output, driver.pid), "six results")
    rival = start(study, output, folder / "rival.log", "--jobs", 2)
    say(f"a second driver beside it ends with status {rival.wait()}: {(folder / 'rival.log').read_text().strip()}")
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    say(f"kill -9 of the driver {driver.pid} with {watch.count()} results there; its workers are left behind")
    driver = start(study, output, log, "--jobs", 2)
    wait(lambda: watch.count() >= 20, "twenty results")
    worker = wait(lambda: maker(output, driver.pid), "a run that is being made")
    os.kill(worker, signal.SIGKILL)
    say(f"kill -9 of the worker {worker} in the middle of a run, with {watch.count()} results there")
    say(f"the grid ended with status {driver.wait()}, {watch.count()} results are there")
    failed = driver.returncode
    driver = start(study, output, log, "--jobs", 2)
    say(f"the grid ended with status {driver.wait()}, {watch.count()} results are there")
    lost, twice = watch.lost_and_twice()
    undisturbed = start(study, calm, folder / "calm.log", "--jobs", 2)
    say(f"the undisturbed grid ended with status {undisturbed.wait()}")
    one, other = results(output), results(calm)
    equal = sum(one[name] == other.get(name) for name in one)
    half = [str(path) for path in output.rglob(".seed*") if path.suffix != ".lock"]  # locks stay, and are free
    say(f"runs {len(one)} of {RUNS}; lost: {lost}; done twice: {twice}; equal bit for bit: {equal}; leftovers: {half}")
    say(f"everything lies in {folder}")
    statuses = (rival.returncode, failed, driver.returncode, undisturbed.returncode)
    if statuses != (1, 1, 0, 0) or not len(one) == len(other) == equal == RUNS or lost or twice or half:
        raise SystemExit("test-interrupts failed.")
    say("test-interrupts passed.")


if __name__ == "__main__":
    main()
