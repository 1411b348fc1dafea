"""Limits that a process puts on itself, for good, before it runs a student's code (Linux).

Three layers. Resource limits bound memory, processor time and the size of files. Landlock, where this Linux has it
(5.13 and newer), keeps the process and all that it starts from writing outside its folder, from reading what it
was not given, and from opening TCP connections. An audit hook in Python refuses the same things, programs too, with a
sentence, and notes them for the report. The hook alone stops accidents, not an attacker: code that goes around Python
goes around it. See docs/teaching.md.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

MEMORY = 6 * 2**30
"""Bytes of writable memory."""
FILE = 200 * 2**20
"""Bytes of the largest file."""
PROCESSOR = 300
"""Seconds of processor time."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # Landlock's system calls, the same on every architecture
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read file, read folder
_ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # by version: how many of the rights on files there are


def limit() -> None:
    """Bound memory, the size of each file written, and processor time of this process and those it starts."""
    for which, value in (
        (resource.RLIMIT_DATA, MEMORY),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CPU, PROCESSOR),
        (resource.RLIMIT_CORE, 0),
    ):
        bound(which, value)


def bound(which: int, value: int) -> None:
    """Set one of `resource`'s limits for good, unless it is lower already."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def landlock_version() -> int:
    """Return the version of Landlock that this Linux has, 0 for none."""
    return max(0, ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def landlock(writable: Sequence[Path], readable: Sequence[Path]) -> bool:
    """Allow this process to write below `writable` and to read below both only, and no TCP; no way back.

    Returns:
        Whether it is in force; `False` where this Linux has no Landlock.

    Raises:
        OSError: Landlock is there, but refuses.
    """
    version = landlock_version()
    if version == 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *args: object) -> int:
        result = libc.syscall(number, *args)
        if result < 0:
            raise OSError(ctypes.get_errno(), "Landlock refused")
        return result

    every = (1 << _FS_RIGHTS[min(version, 5)]) - 1
    net, scoped = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    attributes = struct.pack("QQQ", every, net, scoped)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = call(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    for paths, rights in ((writable, every), (readable, _READ)):
        for path in paths:
            if path.exists():
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
                allowed = rights & every & (-1 if path.is_dir() else _ON_FILES)
                rule = struct.pack("=Qi", allowed, descriptor)
                call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint32(0))
                os.close(descriptor)
    if libc.prctl(38, 1, 0, 0, 0) != 0:  # PR_SET_NO_NEW_PRIVS, without which Landlock is for root only
        raise OSError(ctypes.get_errno(), "no_new_privs refused")
    call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)
    return True


_ONE_PATH = "os.remove os.rmdir os.mkdir os.truncate os.chmod os.chown shutil.rmtree".split()
_CHANGES = dict.fromkeys(_ONE_PATH, (0,)) | dict.fromkeys(("os.rename", "os.link", "os.symlink"), (0, 1))
"""Which arguments of an audit event are paths that it changes."""
_PROGRAMS = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn"}
_NETWORK = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
_LOOKED_FOR = {"uname", "git", "/sbin/ldconfig", "ldconfig", "gcc", "cc", "ld", "file", "lscpu", "fc-list"}
"""Programs that libraries ask for on their own: refused like all, but nothing to report."""
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(writable: Sequence[Path], report: Path) -> None:
    """Refuse writes outside `writable`, programs and network from Python code, and note the kind of each in `report`.

    It cannot be undone in this process.
    """
    roots = tuple(os.path.realpath(path) + os.sep for path in writable)
    noted = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)

    def refuse(kind: str, what: str, error: type[OSError] = PermissionError) -> None:
        os.write(noted, f"{kind}\n".encode())
        raise error(f"Not allowed while grading: {what}.")

    def inside(path: object) -> bool:
        if isinstance(path, int):  # a descriptor, which was opened before
            return True
        place = os.path.realpath(os.fsdecode(path))
        return place == os.devnull or (place + os.sep).startswith(roots)

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if flags & _WRITES and not inside(path):
                refuse("write", f"writing to {os.fsdecode(path)}, outside the notebook's folder")
        elif event in _CHANGES:
            for position in _CHANGES[event]:
                if not inside(args[position]):
                    refuse("change", f"changing {os.fsdecode(args[position])}, outside the notebook's folder")
        elif event == "subprocess.Popen":
            # Libraries ask for programs that need not be there (git, ldconfig): to them, none is.
            program = os.fsdecode(args[0]) if isinstance(args[0], str | bytes | os.PathLike) else "?"
            if program in _LOOKED_FOR:
                raise FileNotFoundError(program)
            refuse("program", f"starting the program {program}", FileNotFoundError)
        elif event in _PROGRAMS:
            refuse("program", f"starting a program ({event})")
        elif event in _NETWORK and not (event == "socket.connect" and isinstance(args[1], str | bytes)):
            refuse("network", f"using the network ({event})")

    sys.addaudithook(hook)
