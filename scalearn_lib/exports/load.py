"""A folder that `export` wrote: what it says of its task, and its model, which `adapters` alone loads."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from adapters import AutoAdapterModel
from torch import nn

from ..errors import UserError
from ..tasks.encoders import load_model

logging.getLogger("adapters").setLevel(logging.ERROR)  # it warns of a state in the midst of each activation

ABOUT = "task.json"
FORMS = ("adapter", "fusion", "model")
"""One adapter; AdapterFusion over its sources; or a whole model that was fine-tuned."""


@dataclass(frozen=True)
class About:
    """What `task.json` says.

    Args:
        task: its name, also that of head and adapter.
        kind, labels: as `Task` has them.
        columns: names of the text columns in the user's rows.
        max_length, truncation: how texts become tokens.
        encoder: the encoder's name, as on the command line.
        form: one of `FORMS`.
        sources: names of the sources of a fusion.
    """

    task: str
    kind: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    max_length: int
    truncation: str
    encoder: str
    form: str
    sources: tuple[str, ...] = ()


def write_about(folder: Path, about: About) -> None:
    """Write `task.json`."""
    (folder / ABOUT).write_text(json.dumps(asdict(about), indent=1) + "\n")


def read_about(folder: Path) -> About:
    """Read `task.json`.

    Raises:
        UserError: the folder is none that `export` wrote.
    """
    try:
        plain = json.loads((folder / ABOUT).read_text())
        lists = ("labels", "columns", "sources")
        about = About(**{key: tuple(value) if key in lists else value for key, value in plain.items()})
        if about.form not in FORMS:
            raise ValueError(about.form)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{folder} is no folder that `scalearn export` wrote: its {ABOUT} is missing or damaged."
        ) from error
    return about


def load_exported(folder: Path, encoder: str | None = None) -> nn.Module:
    """Return the model of a folder that `export` wrote, in evaluation mode; the card's lines do the same.

    Args:
        folder: what `export` wrote.
        encoder: the encoder's name or folder, by default the one that it was trained on.

    Raises:
        UserError: the folder or the encoder is not as it must be.
    """
    about = read_about(folder)
    try:
        if about.form == "model":
            return AutoAdapterModel.from_pretrained(
                folder / "model", use_safetensors=True, local_files_only=True
            ).eval()
        model = load_model(encoder or about.encoder)
        if about.form == "adapter":
            model.load_adapter(str(folder), use_safetensors=True, set_active=True)
        else:
            for name in about.sources:
                model.load_adapter(str(folder / "sources" / name), with_head=False, use_safetensors=True)
            model.load_adapter_fusion(str(folder / "fusion"), use_safetensors=True, set_active=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(f"The model in {folder} cannot be loaded ({reason}); export it again.") from error
    model.active_head = about.task
    return model.eval()
