"""A folder that `export` wrote: what it says of its task, and its model, which `adapters` alone loads."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from adapters import AutoAdapterModel
from pydantic import TypeAdapter
from torch import nn

from ..errors import UserError, first_line
from ..tasks.encoders import load_model

logging.getLogger("adapters").setLevel(logging.ERROR)  # it warns of a state in the midst of each activation

ABOUT = "task.json"


@dataclass(frozen=True)
class About:
    """What `task.json` says.

    Args:
        task: its name, also that of head and adapter.
        kind, labels: as `Task` has them.
        columns: names of the text columns in the user's rows.
        max_length, truncation: how texts become tokens.
        encoder: the encoder's name, as on the command line.
        form: one adapter; AdapterFusion over its sources; or a whole model that was fine-tuned.
        sources: names of the sources of a fusion.
    """

    task: str
    kind: Literal["classification", "regression", "multi_label", "multiple_choice"]
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    max_length: int
    truncation: str
    encoder: str
    form: Literal["adapter", "fusion", "model"]
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
        return TypeAdapter(About).validate_json((folder / ABOUT).read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is no folder that `scalearn export` wrote: its {ABOUT} is missing or damaged."
        ) from error


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
    except UserError:
        raise
    except Exception as error:  # of damaged files, whose errors are of many kinds
        raise UserError(f"The model in {folder} cannot be loaded ({first_line(error)}); export it again.") from error
    model.active_head = about.task
    return model.eval()
