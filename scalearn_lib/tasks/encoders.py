"""Encoders by name: their folder, tokenizer and model."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import torch
from adapters import AutoAdapterModel
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import UserError, unknown
from ..paths import data_dir
from .hub import ENCODERS, find
from .tiny import build_tiny
from .wheels import tell_if_changed

LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""Encoders are found first and then loaded as files; none runs code of its own."""

ENCODER_FILES = ("config.json", "tokenizer.json", "*.json", "*.safetensors")
"""What every encoder folder of the hub must have."""


def encoder_dir(name: str) -> Path:
    """Return where an encoder lies.

    Args:
        name: "minilm" (fetched), "tiny" (built on first use), a short name of `ENCODERS`, a local folder with a
            `config.json`, or a hub id such as "FacebookAI/roberta-base".

    Returns:
        A local folder: of a hub id, the one in the mirror folder or the hub's cache, where it is downloaded to if it
        must be.

    Raises:
        UserError: there is no such encoder, or it cannot be had.
    """
    if name == "minilm":
        folder = data_dir() / "encoders" / "minilm"
        if not (folder / "config.json").exists():
            raise UserError(f"The encoder 'minilm' is not in {folder}; run `scalearn fetch` once (83 MB).")
        return folder
    if name == "tiny":
        folder = data_dir() / "encoders" / "tiny"
        if not (folder / "config.json").exists():
            build_tiny(folder)
        return folder
    if Path(name).is_dir():
        if not (Path(name) / "config.json").exists():
            raise UserError(f"The folder {name} holds no encoder: it has no config.json.")
        return Path(name)
    if name in ENCODERS or re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return find(ENCODERS.get(name, name), "model", ENCODER_FILES, f"Encoder '{name}'")
    raise unknown("encoder", name, ("minilm", "tiny", *ENCODERS, "a hub id such as owner/name", "a folder"))


def encoder_repository(name: str) -> tuple[str, str, list[str]]:
    """Return id, kind and patterns of an encoder on the hub, for `prefetch`.

    Raises:
        UserError: it is not on the hub.
    """
    if name not in ENCODERS and (name in ("minilm", "tiny") or not re.fullmatch(r"[\w.-]+/[\w.-]+", name)):
        raise UserError(
            f"The encoder '{name}' is not on the hub; valid: {', '.join(ENCODERS)} or an id such as owner/name. "
            "`scalearn fetch` brings minilm."
        )
    return ENCODERS.get(name, name), "model", list(ENCODER_FILES)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load an encoder's tokenizer; its `model_max_length` is at most the encoder's number of positions.

    Raises:
        UserError: there is no such encoder, or it cannot be loaded.
    """
    folder = encoder_dir(name)
    _tell_if_changed(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        config = AutoConfig.from_pretrained(folder, **LOCAL)
    except Exception as error:  # of damaged files, whose errors are of many kinds
        raise _unloadable(name, error) from error
    # Some tokenizers state no length. RoBERTa's positions begin after the padding id.
    positions = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    if "roberta" in config.model_type:
        positions -= config.pad_token_id + 1
    tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def load_model(name: str, plain: bool = False) -> PreTrainedModel:
    """Load an encoder as an `adapters` model without heads, or `plain` as transformers has it: float32, evaluating.

    Raises:
        UserError: there is no such encoder, or it cannot be loaded.
    """
    folder = encoder_dir(name)
    _tell_if_changed(folder)
    try:
        kind = AutoModel if plain else AutoAdapterModel
        return kind.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **LOCAL).eval()
    except Exception as error:
        raise _unloadable(name, error) from error


@functools.cache
def _tell_if_changed(folder: Path) -> None:
    """Compare a fetched encoder's weights, settings and tokenizer with the pinned ones, once per process (0.06 s)."""
    for pattern in ("*.json", "*.safetensors"):
        for file in sorted(folder.glob(pattern)):
            tell_if_changed(file)


def _unloadable(name: str, error: Exception) -> UserError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return UserError(f"The encoder '{name}' cannot be loaded ({reason}); check the name, its files or the connection.")
