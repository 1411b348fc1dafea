"""Where data and outputs lie: environment variables first, then the repository, then the current folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import UserError


def _root() -> Path:
    """The repository when the package is installed from a clone, else the current folder."""
    clone = Path(__file__).resolve().parents[1]
    return clone if (clone / "pyproject.toml").exists() else Path.cwd()


def data_dir() -> Path:
    """The folder of fetched data and encoders: `SCALEARN_DATA`, else `data/`."""
    return Path(os.environ.get("SCALEARN_DATA") or _root() / "data")


def output_dir() -> Path:
    """The folder of results, adapters, executed notebooks and figures: `SCALEARN_OUTPUT`, else `outputs/`."""
    return Path(os.environ.get("SCALEARN_OUTPUT") or _root() / "outputs")


def reference_dir() -> Path | None:
    """The folder of the reference study: `SCALEARN_REFERENCE`, else `outputs/reference` if there; `None` if "".

    Raises:
        UserError: the variable names no folder.
    """
    word = os.environ.get("SCALEARN_REFERENCE")
    folder = _root() / "outputs" / "reference" if word is None else Path(word)
    if word and not folder.is_dir():
        raise UserError(
            f'SCALEARN_REFERENCE names {word}, which is no folder; name the reference study\'s, or "" to leave it out.'
        )
    return folder if word != "" and folder.is_dir() else None


def tracking_dir() -> Path:
    """The folder that trackers write to: `SCALEARN_TRACKING`, else `tracking/` among the outputs."""
    return Path(os.environ.get("SCALEARN_TRACKING") or output_dir() / "tracking")


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A temporary name beside `file`, which takes its place when all is written; folders are made as needed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    yield temporary
    temporary.replace(file)


def hub_dir() -> Path | None:
    """The folder that mirrors the hub's datasets and encoders: `SCALEARN_HUB`, else none."""
    return Path(os.environ["SCALEARN_HUB"]) if os.environ.get("SCALEARN_HUB") else None
