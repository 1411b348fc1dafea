"""Where the hub's datasets and encoders lie: in a mirror folder, in the hub's local cache, or on the hub.

Everything is found as plain files, wherever it comes from, so that a mirror is read as the hub is.
"""

from __future__ import annotations

import functools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from huggingface_hub.utils import get_session
from requests import RequestException

from ..errors import UserError, first_line
from ..paths import hub_dir
from .wheels import sha256

ENCODERS = {
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "xlm-roberta-base": "FacebookAI/xlm-roberta-base",
    "xlm-roberta-large": "FacebookAI/xlm-roberta-large",
}
"""Short names of encoders on the hub: those of the paper."""

MANIFEST = "manifest.json"
PART = re.compile(r"(.*)-\d+-of-(\d+).*?(\.\w+)")
"""Name of a part of a file: its start, how many parts there are, and its ending; some have a checksum before that."""

PATIENCE = 3.0
"""Seconds to wait for the hub before it counts as out of reach."""

UNREACHABLE = "the hub cannot be reached"


def find(repo: str, kind: str, patterns: Sequence[str], what: str) -> Path:
    """Return the folder of a hub repository in which each pattern has a file.

    Looked for in the mirror folder, then in the hub's cache on this machine, then on the hub.

    Args:
        repo: id on the hub, such as "nyu-mll/glue".
        kind: "dataset" or "model".
        patterns: glob patterns of files that are needed.
        what: what it is for, in the error message.

    Raises:
        UserError: it can be had nowhere, or a mirrored file is not what its manifest says.
    """
    local = at_hand(repo, kind, patterns)
    if local is not None:
        return local
    mirror = hub_dir()
    reason = unreachable()
    if reason is None:
        try:
            folder = Path(huggingface_hub.snapshot_download(repo, repo_type=kind, allow_patterns=list(patterns)))
            if not missing(folder, patterns):
                return folder
            reason = "the hub's repository has no such file"
        except LocalEntryNotFoundError:
            reason = UNREACHABLE
        except (OSError, RequestException, HfHubHTTPError, ValueError) as error:
            reason = f"the hub said: {first_line(error)}"
    lacking = ", ".join(missing(mirror / repo, patterns) if mirror is not None else patterns)
    place = f"the mirror folder {mirror} lacks {repo}/{lacking}" if mirror is not None else "no mirror folder is named"
    raise UserError(
        f"{what} needs {lacking} of '{repo}', but {place}, and {reason}; run `scalearn prefetch` on a machine with "
        "internet and name its folder with --hub or SCALEARN_HUB, or connect this machine to the hub."
    )


def at_hand(repo: str, kind: str, patterns: Sequence[str]) -> Path | None:
    """Return the folder of a repository in the mirror or in the hub's local cache, or `None`; see `find`.

    Raises:
        UserError: the mirror folder does not exist, or a mirrored file is not what its manifest says.
    """
    mirror = hub_dir()
    if mirror is not None:
        if not mirror.is_dir():
            raise UserError(
                f"The mirror folder {mirror} does not exist; name one with --hub or SCALEARN_HUB, or fill it with "
                "`scalearn prefetch`."
            )
        if not missing(mirror / repo, patterns):
            for file in (file for pattern in patterns for file in sorted((mirror / repo).glob(pattern))):
                _verify(mirror, file)
            return mirror / repo
    try:
        cached = Path(huggingface_hub.snapshot_download(repo, repo_type=kind, local_files_only=True))
    except (OSError, ValueError):  # not cached
        return None
    return None if missing(cached, patterns) else cached


def missing(folder: Path, patterns: Sequence[str]) -> list[str]:
    """Return the patterns for which `folder` has no file, or not all parts of one, as a broken download leaves it."""
    return [pattern for pattern in patterns if not _whole([file.name for file in folder.glob(pattern)])]


def _whole(names: Sequence[str]) -> bool:
    """Whether there are files, and all parts of those that say how many: train-00000-of-00002.parquet and so on."""
    of = [part.groups() for name in names if (part := PART.fullmatch(name))]
    return bool(names) and all(count == int(total) for (_, total, _), count in Counter(of).items())


@functools.cache
def unreachable() -> str | None:
    """Return why the hub cannot be asked, or `None` where it answers. Takes a few seconds at most, once."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids asking the hub"
    try:
        answer = get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except RequestException:
        return UNREACHABLE
    # A proxy may answer in the hub's place.
    return UNREACHABLE if answer.status_code in (403, 407) or answer.status_code >= 500 else None


def prefetch(repos: Sequence[tuple[str, str, Sequence[str]]], folder: Path) -> list[str]:
    """Download repositories into a mirror folder, with a manifest of revisions and checksums.

    What is complete and as its manifest says is not downloaded again.

    Args:
        repos: id, kind ("dataset" or "model") and patterns of each.
        folder: the mirror folder.

    Returns:
        Lines that say what was done.

    Raises:
        UserError: the hub cannot be reached, lacks something, or the disk is full.
    """
    lines = []
    for repo, kind, patterns in repos:
        known = _manifest(folder).get(repo, {"files": {}})["files"]
        wanted = [file for pattern in patterns for file in sorted((folder / repo).glob(pattern))]
        if not missing(folder / repo, patterns) and all(
            known.get(file.relative_to(folder / repo).as_posix()) == sha256(file) for file in wanted
        ):
            lines.append(f"{repo}: complete in {folder / repo}, {len(wanted)} files verified")
            continue
        if reason := unreachable():
            raise UserError(f"'{repo}' cannot be downloaded: {reason}; run this on a machine with internet.")
        try:
            revision = huggingface_hub.HfApi().repo_info(repo, repo_type=kind).sha
            huggingface_hub.snapshot_download(
                repo, repo_type=kind, revision=revision, local_dir=folder / repo, allow_patterns=list(patterns)
            )
        except (OSError, RequestException, HfHubHTTPError, ValueError) as error:
            raise UserError(
                f"'{repo}' cannot be downloaded into {folder} ({first_line(error)}); run this command again."
            ) from error
        if lacking := missing(folder / repo, patterns):
            raise UserError(f"The hub's '{repo}' has no {', '.join(lacking)}; this release of scalearn needs it.")
        files = [file for pattern in patterns for file in sorted((folder / repo).glob(pattern))]
        digests = {file.relative_to(folder / repo).as_posix(): sha256(file) for file in files}
        _write_manifest(folder, repo, {"kind": kind, "revision": revision, "files": known | digests})
        lines.append(f"{repo}: {len(files)} files at revision {revision[:10]} in {folder / repo}")
    return lines


def _manifest(folder: Path) -> dict[str, dict]:
    damaged = UserError(f"{folder / MANIFEST} is damaged; remove it and run `scalearn prefetch` again.")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return {}  # a mirror made by hand: nothing to compare with
    except (ValueError, RecursionError) as error:
        raise damaged from error
    entries = manifest.values() if isinstance(manifest, dict) else [None]
    if not all(isinstance(entry, dict) and isinstance(entry.get("files"), dict) for entry in entries):
        raise damaged
    return manifest


def _write_manifest(folder: Path, repo: str, entry: dict[str, object]) -> None:
    manifest = _manifest(folder) | {repo: entry}
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    with os.fdopen(handle, "w") as file:
        json.dump(manifest, file, indent=1, sort_keys=True)
    os.chmod(temporary, 0o644)
    os.replace(temporary, folder / MANIFEST)


@functools.lru_cache(maxsize=256)
def _verify(mirror: Path, file: Path) -> None:
    """Compare a mirrored file with the manifest, once in a process; files that it does not list are taken as is."""
    for repo, entry in _manifest(mirror).items():
        if (mirror / repo) in file.parents:
            expected = entry["files"].get(file.relative_to(mirror / repo).as_posix())
            if expected is not None and sha256(file) != expected:
                raise UserError(
                    f"{file} differs from its checksum in {MANIFEST}; run `scalearn prefetch` or copy it again."
                )
