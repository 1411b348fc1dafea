"""`make test-slurm`: studies/offline.yaml through a real Slurm, with a job killed on the way.

The study's budget is changed to smoke and its encoder to tiny; everything else is as it is. A job is killed while it is
in the middle of its runs, the grid goes on with what does not need it and ends; a second call makes the rest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster import cluster
from watch import Watch, say, start, wait

from scalearn_lib.runs.locks import is_held

ROOT = Path(__file__).resolve().parents[2]


def slurm_jobs() -> dict[str, str]:
    """Slurm's running jobs: id and comment, which names the rule."""
    shown = subprocess.run(["squeue", "-h", "-t", "R", "-o", "%i %k"], capture_output=True, text=True).stdout
    return dict(line.split(maxsplit=1) for line in shown.splitlines() if " " in line)


def half_done(output: Path) -> str | None:
    """The id of a running Slurm job that is making a run, once some results are there."""
    if len(list(output.glob("*/*/*/*/*/seed*/result.json"))) < 12 or not any(map(is_held, output.rglob(".seed*.lock"))):
        return None
    return next((job for job, comment in slurm_jobs().items() if "transfer" in comment), None)


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="scalearn-slurm-"))
    output, log, study = folder / "outputs", folder / "grid.log", folder / "offline.yaml"
    text = (ROOT / "studies" / "offline.yaml").read_text()
    text = re.sub("^encoder: .*$", "encoder: tiny", text, flags=re.MULTILINE)
    text = re.sub("^budget: .*$", "budget: smoke", text, flags=re.MULTILINE)
    study.write_text(text + "runs_per_job: 5\n")
    options = ["--executor", "slurm", "--profile", ROOT / "tests" / "slurm" / "profile"]
    with cluster(folder / "slurm"):
        say(subprocess.run(["sinfo"], capture_output=True, text=True).stdout.strip())
        watch = Watch(output)
        first = start(study, output, log, *options)
        victim = wait(lambda: half_done(output) or (first.poll() is not None and "ended"), "a job to kill")
        if victim == "ended":
            raise SystemExit(f"The grid ended before a job could be killed; see {log}.")
        say(f"{watch.count()} results are there; scancel --signal=KILL --full {victim} ({slurm_jobs()[victim]})")
        subprocess.run(["scancel", "--signal=KILL", "--full", victim], check=True)
        say(f"the grid ended with status {first.wait()}, {watch.count()} results are there")
        failed = first.returncode
        shown = subprocess.run(
            [sys.executable, "-m", "scalearn_lib.cli", "status", study, "--output", output],
            capture_output=True,
            text=True,
        )
        say("$ scalearn status\n" + shown.stdout)
        second = start(study, output, log, *options)
        say(f"the grid ended with status {second.wait()}, {watch.count()} results are there")
    lost, twice = watch.lost_and_twice()
    wanted = 9 + 9 * 5
    print("\n".join(log.read_text().splitlines()[-12:]))
    say(f"runs {watch.count()} of {wanted}; lost: {lost}; done twice: {twice}; everything lies in {folder}")
    if failed == 0 or second.returncode or watch.count() != wanted or lost or twice:
        raise SystemExit("test-slurm failed.")
    say("test-slurm passed.")


if __name__ == "__main__":
    main()
