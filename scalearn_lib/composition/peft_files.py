"""What PEFT's files of a LoRA say, checked: `adapter_config.json` and `adapter_model.safetensors`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

CONFIG, WEIGHTS, _PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_KEY = re.compile(r"(?:base_model\.model\.)?(?P<path>.+)\.lora_(?P<matrix>[AB])\.weight")
HEADS = ("classifier", "pre_classifier", "score", "qa_outputs")
"""Modules that PEFT saves whole beside a LoRA for a task (`modules_to_save`): the heads of transformers' models."""
_HEAD_KEY = re.compile(rf"(?:base_model\.model\.)?(?:{'|'.join(HEADS)})\..+")
# Fields of PEFT's configuration that make a LoRA compute something that adapters' LoRA cannot, and what they mean.
_BEYOND = {
    "use_dora": "is DoRA",
    "lora_bias": "has biases",
    "trainable_token_indices": "also changes embeddings",
    "target_parameters": "changes parameters that are no linear maps",
    "layer_replication": "repeats layers of its model",
    "alora_invocation_tokens": "acts only after certain tokens (aLoRA)",
    "use_qalora": "is QALoRA",
    "use_bdlora": "is block-diagonal",
    "arrow_config": "is routed",
    "kasa_config": "is KaSA",
    "monteclora_config": "is MonteCLoRA",
}
# Ways to start a LoRA for which PEFT also changes the frozen weights, each time that it loads one.
_OTHER_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


class SavedMap(NamedTuple):
    """A and B of one linear map as PEFT saved them, and the scaling that goes with them."""

    down: Tensor
    up: Tensor
    scaling: float


def read_config(folder: Path) -> dict:
    """Return PEFT's configuration of a plain LoRA; a ValueError says what else the folder holds."""
    file = folder / CONFIG
    if not file.is_file():
        raise ValueError(f"{folder} holds no {CONFIG}: name a folder that PEFT saved a LoRA to.")
    try:
        config = json.loads(file.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no JSON: save the LoRA again.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise ValueError(f"{folder} holds no LoRA but peft_type {kind!r}: only LoRAs can be loaded.")
    meanings = [meaning for field, meaning in _BEYOND.items() if config.get(field)]
    whole = [name for name in config.get("modules_to_save") or () if name not in HEADS]
    if whole:
        meanings.append(f"also holds the whole module {whole[0]} (modules_to_save)")
    if config.get("bias", "none") != "none":
        meanings.append("has biases")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(_OTHER_BASE):
        meanings.append(f"goes with other frozen weights (init_lora_weights '{start}')")
    if meanings:
        raise ValueError(f"The LoRA in {folder} {meanings[0]}, which adapters cannot hold: train a plain LoRA.")
    patterns = [config.get(field) or {} for field in ("rank_pattern", "alpha_pattern")]
    values = [config.get("r"), config.get("lora_alpha")]
    if not all(isinstance(pattern, dict) for pattern in patterns) or not all(
        isinstance(value, int | float) and value > 0 for value in values + [v for p in patterns for v in p.values()]
    ):
        raise ValueError(f"{file} gives ranks or alphas that are no positive numbers: save the LoRA again.")
    return config


def read_maps(folder: Path, config: Mapping) -> dict[str, SavedMap]:
    """Return A, B and scaling by the path of the linear map, as PEFT wrote it but for its own prefix; without a head.

    Raises:
        ValueError: the weights are missing, pickled or damaged, hold anything else, or do not fit the configuration.
    """
    if not (folder / WEIGHTS).is_file():
        if (folder / _PICKLED).is_file():
            raise ValueError(f"{folder} has only pickled weights ({_PICKLED}), which may run code: save safetensors.")
        raise ValueError(f"{folder} has no {WEIGHTS}: save the LoRA again.")
    try:
        tensors = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is damaged: save the LoRA again.") from error
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if config.get("modules_to_save") and _HEAD_KEY.fullmatch(key):
            continue  # adapters has heads of its own
        match = _KEY.fullmatch(key)
        if not match:
            raise ValueError(f"The LoRA in {folder} holds {key}, which is no LoRA matrix: adapters cannot hold it.")
        pairs.setdefault(match["path"], {})[match["matrix"]] = tensor
    if not pairs:
        raise ValueError(f"The LoRA in {folder} holds no matrices: save it again.")
    return {path: _with_scaling(path, pair, config, folder) for path, pair in pairs.items()}


def _with_scaling(path: str, pair: Mapping[str, Tensor], config: Mapping, folder: Path) -> SavedMap:
    rank = _by_pattern(config, "rank_pattern", path, config["r"], folder)
    alpha = _by_pattern(config, "alpha_pattern", path, config["lora_alpha"], folder)
    shapes = {matrix: tuple(tensor.shape) for matrix, tensor in pair.items()}
    if set(pair) != {"A", "B"} or shapes["A"][:1] != (rank,) or shapes["B"][1:] != (rank,):
        shown = ", ".join(f"{matrix} {shape}" for matrix, shape in sorted(shapes.items()))
        raise ValueError(
            f"The LoRA in {folder} should have A (rank, in) and B (out, rank) of rank {rank} in {path}, "
            f"not {shown}: save it again."
        )
    return SavedMap(pair["A"], pair["B"], alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _by_pattern(config: Mapping, field: str, path: str, default: float, folder: Path) -> float:
    """The first value whose pattern matches the end of a path, as PEFT looks it up."""
    for pattern, value in (config.get(field) or {}).items():
        try:
            if re.match(rf"(.*\.)?({pattern})$", path):
                return value
        except re.error as error:
            raise ValueError(f"The {field} in {folder / CONFIG} is no regular expression: {pattern!r}.") from error
    return default
