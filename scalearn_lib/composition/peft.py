"""LoRAs to and from the files of PEFT: its paths are those of the linear maps in the model that it wrapped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from adapters.heads import ModelWithFlexibleHeadsAdaptersMixin
from adapters.methods.lora import LoRALayer, LoRAMergedLinear
from safetensors.torch import save_file
from torch import Tensor, nn

from .lora import MERGED, ScaLearnLoRALayer, maps_of, part
from .lora_weights import LoRAWeights, Place, add_lora
from .peft_files import CONFIG, WEIGHTS, SavedMap, read_config, read_maps
from .sources import LORA, config_of, kind_of


def load_peft(model: nn.Module, folder: str | Path, load_as: str | None = None, set_active: bool = False) -> str:
    """Add a LoRA that PEFT saved to `model`; or nothing, and one sentence that says why.

    It is added in exactly the linear maps that it changes. Ranks and alphas that differ between maps, and rslora, come
    out as PEFT computes them: adapters gives a LoRA one rank and one scaling, so narrower maps are filled up with zeros
    and B takes up what differs. A task's head that PEFT saved beside it stays out.

    Args:
        model: a model that `init` has taught, with or without a head; the paths of the modules in the folder may have
            the prefix of a task model ("roberta.encoder...") or none.
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        load_as: the adapter's name, by default that of the folder.
        set_active: also activate it.

    Returns:
        The adapter's name.

    Raises:
        RuntimeError: the model was not taught.
        ValueError: the folder is no readable LoRA, not one of this model, one that adapters cannot hold, or the name
            is taken. The model is unchanged then.
    """
    folder = Path(folder)
    name = load_as or folder.resolve().name
    places = _lora_layers(model)
    if name in model.adapters_config:
        raise ValueError(f"The model has an adapter named '{name}' already: load the one in {folder} by load_as.")
    config = read_config(folder)
    _check_architecture(model, config, folder)
    saved = read_maps(folder, config)
    layers = {path: _find(model, places, path, folder) for path in saved}
    for path, matrices in saved.items():
        _check_shape(layers[path], path, matrices, folder)
    _check_depth(places, layers, config, folder)

    scaling = next(iter(saved.values())).scaling
    weights: dict[Place, LoRAWeights] = {}
    for path, (down, up, own) in saved.items():
        module = layers[path]
        down, up = down.to(module.weight), up.to(module.weight) * (own / scaling)
        kinds = MERGED if isinstance(module, LoRAMergedLinear) else (module.map_kind,)
        for kind, rows in zip(kinds, up.chunk(len(kinds)), strict=True):
            weights[module, kind] = LoRAWeights(down, rows)
    add_lora(model, name, weights, scaling)
    if set_active:
        model.set_active_adapters(name)
    return name


def save_peft(model: nn.Module, name: str, folder: str | Path, prefix: str | None = None) -> None:
    """Write a LoRA of `model`, such as a folded block, for PEFT and what serves its adapters.

    Args:
        model: a model that `init` has taught.
        name: the LoRA's name on the model.
        folder: made if need be; files of PEFT in it are replaced.
        prefix: where the encoder lies in the model that PEFT will load it on, such as `"roberta"` for
            `RobertaForSequenceClassification`, or `""` for `RobertaModel`. By default as in `model` itself; for
            adapters' own `...AdapterModel` classes, which PEFT never sees, as in the encoder alone.

    Raises:
        RuntimeError: the model was not taught.
        ValueError: there is no such adapter, or it is no plain LoRA.
    """
    layers = _lora_layers(model)
    if name not in model.adapters_config:
        raise ValueError(f"No adapter named '{name}' on the model: nothing to save.")
    config = config_of(model, name)
    if kind_of(name, config) != LORA:
        raise ValueError(f"PEFT's format is for LoRAs, but '{name}' is a bottleneck adapter: use save_adapter.")
    if prefix is None:
        prefix = "" if isinstance(model, ModelWithFlexibleHeadsAdaptersMixin) else _prefix(model)
    with torch.no_grad():
        matrices = {path: _one_map(module, name) for path, module in layers.items() if name in module.loras}
    start = prefix + "." if prefix else ""
    ranks = {start + path: len(down) for path, (down, _) in matrices.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    unusual = {path: rank for path, rank in ranks.items() if rank != usual}
    scaling = config.alpha / config.r
    written = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": model.config.name_or_path or None,
        "r": usual,
        "lora_alpha": _number(scaling * usual),
        "rank_pattern": unusual,
        "alpha_pattern": {path: _number(scaling * rank) for path, rank in unusual.items()},
        "lora_dropout": config.dropout,
        "target_modules": sorted(ranks),
        "fan_in_fan_out": any(layers[path].fan_in_fan_out for path in matrices),
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "inference_mode": True,
    }
    tensors = {}
    for path, (down, up) in matrices.items():
        tensors[f"base_model.model.{start}{path}.lora_A.weight"] = down.contiguous()
        tensors[f"base_model.model.{start}{path}.lora_B.weight"] = up.contiguous()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(written, indent=2) + "\n")


def _lora_layers(model: nn.Module) -> dict[str, ScaLearnLoRALayer]:
    """The linear maps that may have LoRAs, by their path in the encoder."""
    modules = getattr(model, "base_model", model).named_modules()
    layers = {path: module for path, module in modules if isinstance(module, LoRALayer)}
    if not all(isinstance(module, ScaLearnLoRALayer) for module in layers.values()) or not layers:
        raise RuntimeError("This model cannot hold LoRAs for ScaLearn yet: call scalearn_lib.init(model) first, once.")
    return layers


def _prefix(model: nn.Module) -> str:
    """Where the encoder lies in `model`: "roberta", or "" where it is the model itself."""
    return next(path for path, module in model.named_modules() if module is model.base_model)


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def _one_map(module: LoRALayer, name: str) -> tuple[Tensor, Tensor]:
    """A and B of a module as PEFT has them: one map, also where adapters keeps q, k and v apart."""
    lora = module.loras[name]
    parts = {kind: part(module, kind, lora) for kind in maps_of(module, lora)}
    downs, ups = [p.down for p in parts.values()], [p.up for p in parts.values()]
    if isinstance(module, LoRAMergedLinear):
        shared = all(torch.equal(down, downs[0]) for down in downs)
        rank, width = len(downs[0]), len(ups[0])
        up = ups[0].new_zeros(module.out_features, rank if shared else rank * len(downs))
        for number, (kind, rows) in enumerate(zip(parts, ups, strict=True)):
            start, first = MERGED.index(kind) * width, 0 if shared else number * rank
            up[start : start + width, first : first + rank] = rows
        down = downs[0] if shared else torch.cat(downs)
    else:
        (down,), (up,) = downs, ups
    used = (down != 0).any(1) | (up != 0).any(0)  # what only fills up to the common rank is left out
    used[0] |= not used.any()
    return down[used].clone(), up[:, used].clone()


def _check_architecture(model: nn.Module, config: Mapping, folder: Path) -> None:
    library = str((config.get("auto_mapping") or {}).get("parent_library", ""))
    if library.startswith("transformers.models."):
        theirs, ours = library.split(".")[2], type(model.config).__module__.split(".")[2]
        if theirs != ours:
            raise ValueError(f"The LoRA in {folder} was made for the architecture {theirs}, the model is {ours}.")


def _find(model: nn.Module, layers: Mapping[str, LoRALayer], path: str, folder: Path) -> LoRALayer:
    """The module of the model that a path in PEFT's file means."""
    prefix = f"{model.base_model_prefix}."
    for candidate in (path, path.removeprefix(prefix)):
        if candidate in layers:
            return layers[candidate]
        try:
            model.base_model.get_submodule(candidate)
        except AttributeError:
            continue
        raise ValueError(
            f"The LoRA in {folder} changes {candidate}, where adapters has no LoRA: it has them in query, key, value "
            "and the feed-forward maps of most models."
        )
    raise ValueError(
        f"The LoRA in {folder} changes {path}, which {type(model).__name__} lacks: it is of another model."
    )


def _check_depth(
    places: Mapping[str, LoRALayer], changed: Mapping[str, LoRALayer], config: Mapping, folder: Path
) -> None:
    """PEFT changes every map whose path ends in a name it was given: what is missing, its model did not have."""
    targets = config.get("target_modules")
    if not isinstance(targets, list) or config.get("layers_to_transform") is not None or config.get("exclude_modules"):
        return
    there = set(changed.values())
    for path, module in places.items():
        if module not in there and any(f".{path}".endswith(f".{name}") for name in targets):
            raise ValueError(f"The LoRA in {folder} has nothing for {path}: it is of a model with fewer layers.")


def _check_shape(module: LoRALayer, path: str, saved: SavedMap, folder: Path) -> None:
    theirs = saved.down.shape[1], saved.up.shape[0]
    if theirs != (module.in_features, module.out_features):
        raise ValueError(
            f"The LoRA in {folder} has widths {theirs[0]} to {theirs[1]} in {path}, the model {module.in_features} to "
            f"{module.out_features}: it is of another size."
        )
