"""Methods prepare a model: what is learned, what is frozen, and where the sources come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scalearn_lib.errors import UserError
from scalearn_lib.methods import METHODS, get_method, trainable_parameters, transfer_parameters
from scalearn_lib.methods.fusion import load_sources
from scalearn_lib.methods.method import Method
from scalearn_lib.tasks import Task, get_suite, get_task
from scalearn_lib.tasks.encoders import load_model

TASK = get_task("toy", "toy_topic")
# tiny is too narrow for one and three sources too few for the other: see test_single and test_soup
FITTING = [name for name in METHODS if name not in ("compacter", "adapter_soup")]
MARKERS = {  # what the names of learned parameters contain, heads apart
    "full": "",
    "full_m": "",
    "adapter": "adapters.toy_topic.",
    "ia3": "loras.toy_topic.",
    "lora": "loras.toy_topic.",
    "lorahub": "source_weights",
    "adapter_fusion": "adapter_fusion_layer.adapter_fusion.",
} | {name: f".{name}." for name in ("adapter_m", "propetl", "propetl_m", "hyperformer", "hyperformer_pp")}
MARKERS |= {name: f"adapters.{name}.logits" for name in ("polytropon", "multi_head_routing")}


def tasks_of(name: str) -> list[Task]:
    return list(get_suite("toy").tasks) if get_method(name).joint else [TASK]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Three random source adapters in adapters' own format."""
    model = load_model("tiny")
    folders = {name: tmp_path / name for name in ("toy_topic", "toy_pair", "toy_score")}
    for name, folder in folders.items():
        model.add_adapter(name, config="seq_bn")
        model.save_adapter(str(folder), name, use_safetensors=True)
    return folders


@pytest.fixture
def loras(tmp_path: Path) -> dict[str, Path]:
    """Three random source LoRAs, as the method `lora` makes them."""
    model = load_model("tiny")
    (tmp_path / "loras").mkdir()
    folders = {name: tmp_path / "loras" / name for name in ("toy_topic", "toy_pair", "toy_score")}
    for name, folder in folders.items():
        model.add_adapter(name, config=get_method("lora").learner().config)
        for n, p in model.named_parameters():
            if f"loras.{name}.lora_B" in n:
                torch.nn.init.normal_(p, std=0.3)
        model.save_adapter(str(folder), name, use_safetensors=True)
    return folders


def sources_of(method: Method, sources: dict[str, Path], loras: dict[str, Path]) -> dict[str, Path]:
    return {None: {}, "adapter": sources, "lora": loras}[method.source_method]


def learned(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize("name", FITTING)
def test_only_the_methods_own_parameters_and_the_head_learn(
    name: str, sources: dict[str, Path], loras: dict[str, Path]
) -> None:
    model, method = load_model("tiny"), get_method(name).learner()
    tasks = tasks_of(name)
    method.prepare(model, tasks, sources_of(method, sources, loras))
    heads = tuple(f"heads.{task.name}." for task in tasks)
    assert {n for n in learned(model) if n.startswith("heads.")} == {
        n for n, _ in model.named_parameters() if n.startswith(heads)
    }
    rest = {n for n in learned(model) if not n.startswith("heads.")}
    marker = MARKERS.get(name, f"adapter_fusion_layer.{name}.omega")
    if name == "scalearn_low_rank":  # and a map on each source's output
        rest = {n for n in rest if ".adapter_up.parametrizations.weight.0." not in n}
    assert rest and all(marker in n for n in rest)
    head = sum(p.numel() for n, p in model.named_parameters() if n.startswith("heads."))
    assert trainable_parameters(model) == transfer_parameters(model) + head


@pytest.mark.parametrize("name", FITTING)
def test_what_was_learned_comes_back(
    name: str, sources: dict[str, Path], loras: dict[str, Path], tmp_path: Path
) -> None:
    method = get_method(name).learner()
    models = [load_model("tiny") for _ in range(2)]
    for seed, model in enumerate(models):
        torch.manual_seed(seed)
        method.prepare(model, tasks_of(name), sources_of(method, sources, loras))
        if name == "lorahub":  # its weights start at zero whatever the seed
            torch.nn.init.normal_(model.source_weights)
            method.mix(model)
        if name == "ia3":  # its factors start at one whatever the seed
            torch.nn.init.normal_(next(p for n, p in model.named_parameters() if "loras" in n), 1.0)
        model.eval()
    method.save(models[0], tasks_of(name), tmp_path / "saved")
    inputs = {"input_ids": torch.arange(5, 25).view(2, 10), "attention_mask": torch.ones(2, 10, dtype=torch.long)}
    with torch.no_grad():
        assert not torch.equal(models[0](**inputs).logits, models[1](**inputs).logits)
        method.load(models[1], tasks_of(name), tmp_path / "saved")
        for task in tasks_of(name):
            for model in models:
                method.activate(model, task)
            assert torch.equal(models[0](**inputs).logits, models[1](**inputs).logits)
    assert learned(models[0]) == learned(models[1])  # still prepared for training


def test_source_order_is_the_order_of_omega(sources: dict[str, Path]) -> None:
    model = load_model("tiny")
    method = get_method("scalearn").learner()
    method.prepare(model, [TASK], dict(reversed(sources.items())))
    assert model.adapters_config.get_fusion("scalearn")[1] == list(reversed(sources))


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Source adapter 'movie' is missing: .*train it first"):
        load_sources(load_model("tiny"), {"movie": tmp_path})


def test_a_source_of_another_hidden_size_is_refused(sources: dict[str, Path]) -> None:
    file = sources["toy_pair"] / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "hidden_size": 768}))
    with pytest.raises(UserError, match="'toy_pair' .* hidden size 768, but the encoder has 32"):
        load_sources(load_model("tiny"), sources)


def test_unknown_methods_are_refused_with_a_near_match() -> None:
    with pytest.raises(UserError, match="Unknown method 'scalearn_up' .did you mean 'scalearn"):
        get_method("scalearn_up")


def test_regression_heads_have_one_output() -> None:
    model = load_model("tiny")
    get_method("adapter").learner().prepare(model, [get_task("toy", "toy_score")], {})
    with torch.no_grad():
        assert model(torch.arange(5, 15).view(1, 10)).logits.shape == (1, 1)
