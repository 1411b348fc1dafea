"""Locks: one holder at a time, and none once its process is gone."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.runs.locks import acquire, is_held, locked, release, run_lock, sole_maker
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
    assert not file.exists() and not is_held(file)


def test_a_lock_holds_without_its_words_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
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


def test_a_lock_on_a_file_that_its_holder_removed_meanwhile_is_none(tmp_path: Path) -> None:
    file = tmp_path / "x.lock"
    first = acquire(file, wait=False)
    release(first)
    second = acquire(file, wait=False)
    assert second is not None and acquire(file, wait=False) is None
    release(second)


def test_the_sole_maker_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    folder = tmp_path / "seed1"
    (tmp_path / ".seed1.abc" / "weights").mkdir(parents=True)
    (tmp_path / ".seed10.abc").mkdir()
    with sole_maker(folder):
        assert is_held(run_lock(folder))
        assert not (tmp_path / ".seed1.abc").exists() and (tmp_path / ".seed10.abc").exists()
    assert not run_lock(folder).exists()
