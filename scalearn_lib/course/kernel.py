"""The Jupyter kernel that runs a submission: guards itself first, then starts. Called by `runner.py`.

    python -m scalearn_lib.course.kernel BASE -f CONNECTION_FILE

It may write below BASE/work and BASE/runtime, and read those, Python, this package and the folder of data. Around it
lies the world that `sandbox.py` made, unless a grader did without.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from . import guard

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/opt")
"""What programs on Linux read; home folders, temporary files and the course are not among it."""


def readable(base: Path) -> list[Path]:
    """Return the folders that a submission may read beside its own."""
    from ..paths import data_dir

    python = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"))}
    return [*map(Path, SYSTEM), *python, Path(__file__).parents[1], data_dir(), base / "jupyter"]


def main() -> None:
    """Guard this process and run an IPython kernel in it."""
    base = Path(sys.argv.pop(1))
    writable = [base / "work", base / "runtime"]
    guard.limit()
    report = base / "refused.txt"
    report.touch()
    guard.watch(writable, report)
    guard.landlock([*writable, Path("/dev/null")], readable(base))
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
