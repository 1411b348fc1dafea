"""Adapters that were trained elsewhere: where they lie, and which they are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UserError
from .hub import find
from .wheels import sha256

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter.safetensors", "adapter_model.safetensors", "pytorch_adapter.bin")
"""What adapters and PEFT write; a `.bin` is read with `weights_only`, PEFT's never."""

PATTERNS = (CONFIG, "*adapter*.[sb]*")
"""Glob patterns of what is needed of a repository on the hub."""


@dataclass(frozen=True)
class Adapter:
    """An adapter or LoRA in a folder, as adapters or PEFT wrote it.

    Args:
        name: its name among the sources.
        folder: where it lies.
        sha256: the start of the fingerprint of its configuration and weights, which is what it is known by.
    """

    name: str
    folder: str = field(compare=False)
    sha256: str


def find_adapter(name: str, where: str, beside: Path) -> Adapter:
    """Return the adapter in a folder, or of an id on the hub or in its mirror.

    Args:
        name: its name among the sources.
        where: a folder, or an id such as AdapterHub/bert-base-uncased-pf-mnli where there is no such folder.
        beside: the folder that a relative one is in.

    Raises:
        UserError: there is no such folder, or no adapter in it.
    """
    folder = (beside / Path(where).expanduser()).resolve()
    if not folder.is_dir():
        if where.count("/") != 1 or where.startswith((".", "/", "~")):
            raise UserError(f"The adapter '{name}' should lie in {folder}, which is no folder; correct its path.")
        folder = find(where, "model", PATTERNS, f"The adapter '{name}', for which there is no folder {folder},")
    there = [file for file in WEIGHTS if (folder / file).is_file()]
    if not (folder / CONFIG).is_file() or not there:
        lacking = CONFIG if there else f"{CONFIG} and weights" if not (folder / CONFIG).is_file() else "weights"
        raise UserError(
            f"{folder} of the adapter '{name}' has no {lacking}; name a folder that save_adapter or PEFT wrote."
        )
    files = {file: sha256(folder / file) for file in (CONFIG, *there)}
    return Adapter(name, str(folder), hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12])
