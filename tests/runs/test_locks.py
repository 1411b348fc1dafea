"""Locks: one holder at a time, and none once its process is gone."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.runs.locks import acquire, is_held, locked, run_lock, sole_maker
from tests.processes import Other, holds


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Other]:
    """Another process that holds the lock of `tmp_path/x.lock`."""
    process = Other(holds, tmp_path / "x.lock")
    assert process.says() is True
    yield process
    if process.process.is_alive():
        process.kill()


def test_a_lock_has_one_holder_and_says_which(tmp_path: Path, holder: Other) -> None:
    file = tmp_path / "x.lock"
    assert is_held(file) and acquire(file, wait=False) is None
    with pytest.raises(UserError, match=f"^Busy: process {holder.pid} on"), locked(file, "Busy: {holder}."):
        pass


def test_a_lock_that_is_given_back_meanwhile_names_no_holder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("scalearn_lib.runs.locks.acquire", lambda file, wait: None)
    with pytest.raises(UserError, match="^Busy: another process.$"), locked(tmp_path / "x.lock", "Busy: {holder}."):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path, holder: Other) -> None:
    holder.kill()
    file = tmp_path / "x.lock"
    assert file.exists() and not is_held(file)
    with locked(file, "Busy: {holder}."):
        assert is_held(file)
        assert file.read_text().startswith(f"process {os.getpid()} on ")  # not the killed one's name
    assert not is_held(file)


def test_a_lock_holds_without_its_words_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scalearn_lib.runs.locks.os.write", full)
    file = tmp_path / "x.lock"
    with locked(file, "Busy: {holder}."):
        assert is_held(file) and file.stat().st_mode & 0o777 == 0o666  # for all users of the machine
        with pytest.raises(UserError, match="^Busy: another process.$"), locked(file, "Busy: {holder}."):
            pass
    assert not is_held(file) and not is_held(file / "below" / "a file")


def test_waiting_for_a_lock_ends_with_its_holder(tmp_path: Path, holder: Other) -> None:
    waiting = Other(holds, tmp_path / "x.lock", True)
    assert waiting.says(seconds=0.5) is None
    holder.kill()
    assert waiting.says() is True
    waiting.kill()


def test_a_lock_on_a_file_that_somebody_removed_meanwhile_is_none(tmp_path: Path, holder: Other) -> None:
    waiting = Other(holds, tmp_path / "x.lock", True)
    assert waiting.says(seconds=0.2) is None
    (tmp_path / "x.lock").unlink()
    holder.kill()
    assert waiting.says() is True and acquire(tmp_path / "x.lock", wait=False) is None
    waiting.kill()


@pytest.mark.filterwarnings("error:flock not supported")
def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with pytest.raises(UserError, match="^Cannot write to .*Function not implemented"), locked(tmp_path / "x.lock"):
        pass


def test_a_child_does_not_keep_its_parents_lock(tmp_path: Path) -> None:
    """As the workers of a data loader, which may outlive a killed run."""
    with locked(tmp_path / "x.lock"):
        child = Other(os.getpid)
        assert child.says() == child.pid and is_held(tmp_path / "x.lock")
    assert not is_held(tmp_path / "x.lock")
    child.kill()


@pytest.mark.parametrize("otherwise", [None, "Busy: {holder}."])
def test_a_place_that_holds_no_lock_is_told(tmp_path: Path, otherwise: str | None) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "folder.lock").mkdir()
    for place in (tmp_path / "a file" / "x.lock", tmp_path / "folder.lock", Path("/sys/x.lock")):
        with pytest.raises(UserError, match="^Cannot write to .*; choose another"), locked(place, otherwise):
            pass


def test_looking_at_a_lock_disturbs_nobody(tmp_path: Path) -> None:
    file, done = tmp_path / "x.lock", threading.Event()
    file.touch()

    def look() -> None:
        while not done.is_set():
            is_held(file)
            time.sleep(0.001)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with locked(file, "Busy: {holder}."):
                pass
    finally:
        done.set()
        for looker in lookers:
            looker.join()


def test_the_sole_maker_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    folder = tmp_path / "seed1"
    (tmp_path / ".seed1.abc" / "weights").mkdir(parents=True)
    (tmp_path / ".seed10.abc").mkdir()
    with sole_maker(folder):
        assert is_held(run_lock(folder))
        assert not (tmp_path / ".seed1.abc").exists() and (tmp_path / ".seed10.abc").exists()
    assert not is_held(run_lock(folder))
