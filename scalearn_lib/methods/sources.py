"""Source adapters on a model: those of stage 1, and those that were trained elsewhere."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import nn

import scalearn_lib.composition as composition

from ..composition.sources import config_of, kind_of
from ..errors import UserError
from ..tasks import Adapter, Task
from ..tasks.encoders import load_model
from .table import get_method

CONFIG = "adapter_config.json"


def load_sources(model: nn.Module, sources: Mapping[str, Path]) -> None:
    """Load source adapters from their folders, as adapters or PEFT wrote them, without their heads.

    Raises:
        UserError: a folder holds no adapter, or one for another hidden size or architecture.
    """
    for name, folder in sources.items():
        file = folder / CONFIG
        if not file.exists():
            raise UserError(f"Source adapter '{name}' is missing: {folder} holds no {CONFIG}; train it first.")
        try:
            config = json.loads(file.read_text())
            if "peft_type" in config:
                composition.load_peft(model, folder, name)
                continue
            width, theirs = config["hidden_size"], config.get("model_type", model.config.model_type)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"Source adapter '{name}' cannot be loaded: {error}") from error
        ours = model.config.hidden_size
        if width != ours:
            raise UserError(
                f"Source adapter '{name}' in {folder} was trained for hidden size {width}, but the encoder has {ours}; "
                "train it on this encoder."
            )
        if theirs != model.config.model_type:
            raise UserError(
                f"Source adapter '{name}' in {folder} was trained for the architecture {theirs}, but the encoder is "
                f"{model.config.model_type}; train it on this encoder."
            )
        info = {"missing_keys": [], "unexpected_keys": []}
        try:
            model.load_adapter(str(folder), load_as=name, with_head=False, use_safetensors=True, loading_info=info)
        except Exception as error:  # of damaged files, whose errors are of many kinds
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise UserError(
                f"Source adapter '{name}' in {folder} cannot be loaded ({reason}); save it again."
            ) from error
        astray = [key for key in (*info["missing_keys"], *info["unexpected_keys"]) if f".{name}." in key]
        if astray:
            raise UserError(
                f"Source adapter '{name}' in {folder} was trained on an encoder with other layers: {astray[0]} is only "
                "in one of the two; train it on this encoder."
            )


@functools.lru_cache(maxsize=32)
def check_adapters(method: str, encoder: str, task: Task, adapters: tuple[Adapter, ...]) -> None:
    """Prepare a method with adapters that were trained elsewhere, once in a process, before anything is trained.

    Args:
        method: a two-stage method.
        encoder: what they are loaded on.
        task: the target.
        adapters: the adapters.

    Raises:
        UserError: one does not fit the encoder, is of another kind than those of stage 1, or is none for the method.
    """
    model, ours, chosen = load_model(encoder), "of stage 1", get_method(method)
    folders = {adapter.name: Path(adapter.folder) for adapter in adapters}
    composition.init(model)
    load_sources(model, folders)
    model.add_adapter(ours, config=get_method(chosen.source_method).learner().config)
    wanted = kind_of(ours, config_of(model, ours))
    for adapter in adapters:
        try:
            kind = kind_of(adapter.name, config_of(model, adapter.name))
        except ValueError as error:
            raise UserError(f"{adapter.folder}: {error}") from error
        if kind != wanted:
            raise UserError(
                f"The adapter '{adapter.name}' in {adapter.folder} is a {kind}, but the other sources are {wanted}s; "
                "take a method whose sources are of its kind, such as scalearn for bottleneck adapters and "
                "scalearn_lora for LoRAs."
            )
    with tempfile.TemporaryDirectory() as scratch:
        model.save_adapter(scratch, ours, with_head=False, use_safetensors=True)
        try:
            chosen.learner().prepare(load_model(encoder), [task], {ours: Path(scratch)} | folders)
        except UserError:
            raise
        except ValueError as error:
            names, reason = ", ".join(folders), str(error).strip().splitlines()[0].rstrip(".")
            raise UserError(f"{chosen.title} cannot take {names} beside the sources {ours}: {reason}.") from error
