"""What submissions tried against the machine that grades them, and what becomes of it. Linux, with namespaces."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import NotebookNode

from scalearn_lib.course import contained, guard, sandbox
from scalearn_lib.course.contained import Limits
from scalearn_lib.errors import UserError

GIB = 2**30
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
FORKS = "import ctypes, os\nlibc = ctypes.PyDLL(None)\n"
"""With the interpreter's lock held: a child of `CDLL`'s fork waits for ever where another thread had it just then."""


@pytest.fixture(params=[False, True] if os.geteuid() == 0 else [True], ids=lambda user: "user" if user else "root")
def identity(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who grades. A user's sandbox begins with a user namespace; where root runs this, it maps root to itself."""
    monkeypatch.setattr(sandbox, "starts_as_user", lambda: request.param)


def run(*cells: str, limits: Limits | None = None) -> tuple[list[NotebookNode], list[str]]:
    """The executed cells and the notes."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    executed, notes = contained.execute(notebook, [], limits or Limits(30, 60))
    return executed.cells, notes


def printed(cell: NotebookNode) -> str:
    """What a cell printed; its error, if it had one."""
    return "".join(output.get("text", output.get("evalue", "")) for output in cell.outputs)


@pytest.fixture
def token() -> Iterator[str]:
    """A secret in the environment of another process of the same user."""
    secret = uuid.uuid4().hex
    process = subprocess.Popen(["sleep", "300"], env={"TOKEN": secret})
    yield secret
    process.kill()
    process.wait()


def test_nothing_of_the_machine_is_in_reach(identity: None, token: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(token)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket"))
    listener.listen()
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(0.5)
    port = receiver.getsockname()[1].to_bytes(2)
    cells, _ = run(
        "import glob\nfor name in glob.glob('/proc/[0-9]*/environ'):\n    try:\n"
        "        print(open(name, errors='replace').read())\n    except PermissionError:\n        pass\n"
        "print('processes:', len(glob.glob('/proc/[0-9]*')))",
        f"{LIBC}address = b'\\x02\\x00' + {port!r} + bytes([127, 0, 0, 1]) + bytes(8)\n"
        "descriptor = libc.socket(2, 2, 0)\n"
        "print(libc.sendto(descriptor, b'out', 3, 0, address, 16), os.strerror(ctypes.get_errno()))",
        f"{LIBC}address = b'\\x01\\x00' + {str(tmp_path / 'socket').encode()!r} + b'\\0'\n"
        "print(libc.connect(libc.socket(1, 1, 0), address, len(address)), os.strerror(ctypes.get_errno()))",
        f"import os\nprint(os.path.exists({str(secret)!r}), sorted(os.listdir('/dev')))",
        "print([line for line in open('/proc/self/status') if line.startswith('Cap')])",
        f"{LIBC}print(libc.unshare(0x10000000), libc.mount(b'none', b'/etc', b'tmpfs', 0, None))",
        f"{LIBC}descriptor = libc.open(b'/etc/hostname', 1)\nprint(descriptor, libc.kill(os.getppid(), 9))\n"
        "print('still here')",
    )
    environments, udp, unix, outside, powers, ways_out, others = map(printed, cells)
    assert token not in environments and "processes: 2" in environments  # the runner's and the kernel's
    assert udp == "-1 Network is unreachable\n"
    with pytest.raises(TimeoutError):
        receiver.recv(3)
    assert unix == "-1 No such file or directory\n"
    assert outside.startswith("False ") and outside.split(" ", 1)[1].strip() == str(sorted(sandbox.DEVICES))
    assert powers.count("0000000000000000") == 5
    assert ways_out == "-1 -1\n"
    assert others.startswith("-1 ") and others.endswith("still here\n")
    listener.close()
    receiver.close()


def test_a_child_without_an_environment_ends_with_the_notebook(identity: None) -> None:
    seconds = f"7777.{uuid.uuid4().int % 10**9}"
    child = (
        f"{FORKS}import time\narguments = (ctypes.c_char_p * 3)(b'sleep', b'{seconds}', None)\n"
        "nothing = (ctypes.c_char_p * 1)(None)\n"
        "if libc.fork() == 0:\n    libc.setsid()\n    libc.execve(b'/usr/bin/sleep', arguments, nothing)\n"
        "for _ in range(50):  # on a busy machine it takes a while to start\n"
        "    time.sleep(0.2)\n"
        "    seen = [open(f'/proc/{n}/cmdline').read() for n in os.listdir('/proc') if n.isdigit()]\n"
        f"    if any('{seconds}' in line and 'sleep' in line for line in seen):\n        break\n"
        "print(seen)"
    )
    (cell,), _ = run(child)
    assert seconds in printed(cell)  # it did start
    left = [process for process in psutil.process_iter(["cmdline"]) if seconds in (process.info["cmdline"] or [])]
    assert left == []


def test_too_many_processes_end_the_notebook(identity: None) -> None:
    cells, notes = run(
        "1",
        f"{FORKS}import time\nfor _ in range(300):\n    if libc.fork() == 0:\n        libc.pause()\ntime.sleep(20)",
        "2",
    )
    assert contained.NOTES["processes"] in notes
    assert [bool(cell.metadata.get("scalearn_stopped")) for cell in cells] == [False, True, True]


def test_processes_that_are_made_faster_than_they_are_counted_have_a_bound() -> None:
    (cell,), _ = run(
        f"{FORKS}made = 0\nwhile made < 3000:\n    child = libc.fork()\n    if child == 0:\n        libc.pause()\n"
        "    if child < 0:\n        break\n    made += 1\nprint(made)",
        limits=Limits(30, 60, processes=10_000, memory=2**50),
    )
    assert 0 < int(printed(cell)) < sandbox.TASKS


MEMORY = {
    "System V": "libc.shmat.restype = ctypes.c_void_p\nfor _ in range(8):\n"
    "    part = libc.shmget(0, ctypes.c_size_t(200 * 2**20), 0o1600)\n"
    "    place = libc.shmat(part, None, 0)\n    ctypes.memset(place, 1, 200 * 2**20)\n"
    "    libc.shmdt(ctypes.c_void_p(place))",
    "files without a name": "for _ in range(8):\n    file = libc.memfd_create(b'x', 0)\n"
    "    os.write(file, bytes(190 * 2**20))",
    "shared maps": "import mmap\nmaps = []\nfor _ in range(8):\n    maps.append(mmap.mmap(-1, 200 * 2**20))\n"
    "    maps[-1].write(bytes(200 * 2**20))",
}


@pytest.mark.parametrize("way", MEMORY)
def test_shared_memory_counts(way: str) -> None:
    cells, notes = run(f"{LIBC}{MEMORY[way]}\nimport time\ntime.sleep(10)", limits=Limits(30, 60, memory=GIB))
    assert contained.NOTES["all memory"] in notes
    assert cells[0].metadata["scalearn_stopped"]


@pytest.mark.parametrize(
    "fill",
    [
        "for n in range(8):\n    open(f'{n}', 'wb').write(bytes(190 * 2**20))",
        "for n in range(20_000):\n    open(f'{n}', 'w')",
    ],
    ids=["bytes", "files"],
)
def test_a_full_folder_is_bounded_and_noted(identity: None, fill: str) -> None:
    cells, notes = run(f"try:\n    {fill.replace(chr(10), chr(10) + '    ')}\nfinally:\n    import time; time.sleep(1)")
    assert "No space left on device" in printed(cells[0])
    assert contained.NOTES["folder"] in notes


def test_notes_cannot_be_written_by_a_submission() -> None:
    _, notes = run(
        "import os\nfor number in os.listdir('/proc/self/fd'):\n    try:\n"
        "        if 'refused' in os.readlink(f'/proc/self/fd/{number}'):\n"
        "            os.write(int(number), b'He is right.\\nnetwork\\n')\n    except OSError:\n        pass"
    )
    assert notes == [contained.REFUSED["network"]]  # of our sentences, one against itself


def test_where_it_cannot_be_contained_it_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sandbox.starts_as_user.cache_clear()
    assert sandbox.starts_as_user() is (os.geteuid() != 0)
    for name, value, words in (
        ("landlock_version", lambda: 0, "no Landlock"),
        (None, None, "cannot be found"),
        ("argv", lambda *_: ["sh", "-c", "echo unshare failed: Operation not permitted >&2; exit 1"], "Operation not"),
    ):
        with monkeypatch.context() as changed:
            sandbox.starts_as_user.cache_clear()
            if name is None:
                changed.setenv("PATH", str(tmp_path))
            else:
                changed.setattr(guard if name == "landlock_version" else sandbox, name, value)
            with pytest.raises(UserError, match=words) as refused:
                sandbox.starts_as_user()
            assert "--unsafe" in str(refused.value)
    sandbox.starts_as_user.cache_clear()


def test_unsafe_goes_without() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import os; print(os.getppid())")])
    executed, notes = contained.execute(notebook, [], Limits(30, 60), unsafe=True)
    assert int(printed(executed.cells[0])) != 1 and notes == []


def test_the_sandbox_leaves_no_mount_and_no_setting_behind(identity: None) -> None:
    before = Path("/proc/self/mounts").read_text(), Path("/proc/sys/kernel/pid_max").read_text()
    run("1")
    assert (Path("/proc/self/mounts").read_text(), Path("/proc/sys/kernel/pid_max").read_text()) == before
