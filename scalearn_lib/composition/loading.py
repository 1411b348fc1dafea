"""Loading a saved block: all of it, or nothing and one clear sentence."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import torch
from adapters.loading import AdapterFusionLoader
from adapters.utils import ADAPTERFUSION_CONFIG_NAME

from .config import ScaLearnConfig, as_scalearn
from .reading import transfer_layers

# Two saved blocks with the same of these have coefficients of the same shape and meaning.
_MEANING = ("uniform", "shared", "blocks", "constraint", "fixed")


def _load(
    self: AdapterFusionLoader,
    save_directory: str,
    load_as: str | None = None,
    loading_info: dict | None = None,
    **kwargs: object,
) -> tuple[str | None, str | None]:
    """Load a block as adapters does; a ScaLearn block comes in whole, or the model stays as it was.

    Raises:
        ValueError: the folder is unreadable, or the block does not fit the model: another hidden size, number of
            layers or set of sources, or another kind of block there under its name.
    """
    model, folder = self.model, Path(save_directory)
    saved = _read(folder / ADAPTERFUSION_CONFIG_NAME)
    name = load_as or saved.get("name")
    there, sources = model.adapters_config.get_fusion(name)
    ours, others = as_scalearn(saved.get("config")), as_scalearn(there)
    # A block saved from a model without a head has no prefix in its keys: adapters can place it, if told to.
    helper = self.weights_helper
    helper.load_weights = functools.partial(type(helper).load_weights, helper, in_base_model=True)
    load = functools.partial(_adapters_load, self, save_directory, load_as)
    if ours is None and others is None:
        return load(loading_info, **kwargs)

    # Models of several parts (EncoderDecoderModel, CLIP) have no width of their own, and adapters saves none.
    width, wanted = saved["hidden_size"], getattr(model.config, "hidden_size", None)
    if width != wanted:
        raise ValueError(f"The block in {folder} has hidden size {width}, the model {wanted}.")
    if there is not None:
        if sources != saved["adapter_names"]:
            raise ValueError(f"A block over the sources {sources} cannot take one over {saved['adapter_names']}.")
        if _meaning(ours) != _meaning(others):
            raise ValueError(
                f"The model has another kind of block named '{name}': load the one in {folder} by load_as."
            )

    active = model.active_adapters
    owners = {layer.owner for _, _, layer in transfer_layers(model, name)} if there is not None else ()
    before = [(layer.omega, layer.omega.detach().clone()) for layer in owners]
    try:
        info = {} if loading_info is None else loading_info
        loaded = load(info, **kwargs)
        if [key for keys in info.values() for key in keys if key.endswith(".omega")]:
            raise ValueError(f"The block in {folder} has coefficients for other layers than this model has.")
        return loaded
    except Exception as error:
        if there is None:
            model.delete_adapter_fusion(name)
            model.set_active_adapters(active)
        for omega, values in before:
            with torch.no_grad():
                omega.copy_(values)
        if isinstance(error, OSError):
            raise ValueError(f"The weights of the block in {folder} cannot be read: save it again.") from error
        raise


def _read(file: Path) -> dict:
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"The block's configuration {file} is no JSON: save the block again.") from error


def _meaning(config: ScaLearnConfig | None) -> list[object] | None:
    return config and [config[key] for key in _MEANING]


_adapters_load = AdapterFusionLoader.load
AdapterFusionLoader.load = functools.wraps(_adapters_load)(_load)
