"""A small world for a submission: namespaces of its own, and of the files only those that it may read (Linux).

Three programs of util-linux and one of coreutils make it. `unshare` gives it process ids, network (without any
device), shared memory and mounts of its own; `mount` puts what it may see below a new root, and bounds what it may
store; `chroot` goes there, for good; `setpriv` gives up every capability. The first process inside is `runner.py`: when
it ends, Linux ends all others. What may be written and read inside is up to Landlock, see `guard.py`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ..errors import UserError
from . import guard
from .kernel import readable

PROGRAMS = ("unshare", "mount", "chroot", "setpriv")
DEVICES = ("null", "zero", "full", "random", "urandom")
STORED = {"work": "size=400m,nr_inodes=10k", "runtime": "size=100m,nr_inodes=2k"}
"""How much each folder that a submission may write to holds, as options of tmpfs."""
TASKS = 1024
"""Processes and threads that there may be at once."""


def argv(base: Path, inner: Sequence[str], as_user: bool) -> list[str]:
    """Return the command that runs `inner` contained.

    Args:
        base: the folder that it works in, with the folders of `STORED`; those are copied, and what is written there
            stays inside.
        inner: program and arguments.
        as_user: whether to begin with a user namespace, as everybody but root must.
    """
    user = ("--user", "--map-root-user") if as_user else ()
    apart = ("--pid", "--fork", "--kill-child=KILL", "--mount", "--net", "--ipc")
    return ["unshare", *user, *apart, "sh", "-euc", _script(base, inner)]


def _script(base: Path, inner: Sequence[str]) -> str:
    """The shell script that builds the world below `base/root` and enters it."""
    root = base / "root"

    def show(path: Path) -> str:
        new, old = shlex.quote(f"{root}{path}"), shlex.quote(str(path))
        if path.is_dir():
            return f"mkdir -p {new}; mount --rbind {old} {new}"
        return f"mkdir -p {shlex.quote(f'{root}{path.parent}')}; : > {new}; mount --bind {old} {new}"

    lines = ["umask 022", shlex.join(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "none", str(root)])]
    lines += [f"mkdir {shlex.quote(f'{root}/proc')}", f"mount -t proc none {shlex.quote(f'{root}/proc')}"]
    if os.geteuid() == 0 and _linux() >= (6, 14):  # since then it is the namespace's own; others have RLIMIT_NPROC
        lines.append(f"echo {TASKS} > {shlex.quote(f'{root}/proc/sys/kernel/pid_max')}")
    lines += map(show, _visible(base))
    for name, bounds in STORED.items():
        old, new = shlex.quote(str(base / name)), shlex.quote(f"{root}{base / name}")
        lines += [f"mount -t tmpfs -o {bounds},mode=700 none {new}", f"cp -R {old}/. {new}/"]
    powerless = "setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs"
    lines.append(f"exec chroot {shlex.quote(str(root))} {powerless} {shlex.join(inner)}")
    return "\n".join(lines)


def _visible(base: Path) -> list[Path]:
    """What is shown inside, beside /proc: no device but harmless ones, no socket, no folder of other people."""
    given = [path.absolute() for path in readable(base) if str(path) not in ("/proc", "/dev", "/sys")]
    given += [base, Path("/sys/devices/system"), *(Path("/dev", name) for name in DEVICES)]
    given = sorted({path for path in given if path.exists()})
    return [path for path in given if not any(other in path.parents for other in given)]


def _linux() -> tuple[int, int]:
    """Version of the kernel."""
    major, minor = re.findall(r"\d+", os.uname().release)[:2]
    return int(major), int(minor)


@cache
def starts_as_user() -> bool:
    """Try the sandbox once, and return whether it begins with a user namespace (`argv`'s `as_user`).

    Raises:
        UserError: submissions cannot be contained on this machine; says why.
    """
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise _refusal(f"{', '.join(missing)} (util-linux, coreutils) cannot be found")
    if guard.landlock_version() == 0:
        raise _refusal("this Linux has no Landlock (5.13 and newer have it, unless it is switched off)")
    said = ""
    for as_user in (False, True) if os.geteuid() == 0 else (True,):
        with tempfile.TemporaryDirectory(prefix="grade-") as scratch:
            base = Path(scratch).resolve()
            for name in ("root", *STORED):
                (base / name).mkdir()
            tried = subprocess.run(
                argv(base, [sys.executable, "-c", ""], as_user), capture_output=True, text=True, timeout=60
            )
        if tried.returncode == 0:
            return as_user
        said = (tried.stderr.strip().splitlines() or [f"exit status {tried.returncode}"])[-1]
    who = "root here has no right to make namespaces" if os.geteuid() == 0 else "users here may not make namespaces"
    raise _refusal(f"{who} ({said})")


def _refusal(why: str) -> UserError:
    return UserError(
        f"Submissions cannot be contained here: {why}. Grade where they can (docs/teaching.md says what it takes), or "
        "add --unsafe where nothing else lies on the machine: then code that goes around Python has all your rights."
    )
