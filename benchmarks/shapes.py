"""Random encoders of the shapes of RoBERTa-base and -large, with source adapters and everything that composes them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from adapters import Fuse, RobertaAdapterModel
from measure import DEVICE
from torch import nn
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig

SHAPES = {
    "base": {},
    "large": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
}
VARIANTS = ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp")


def build(shape: str, sources: int, blocks: tuple[str, ...] = (*VARIANTS, "loop", "fusion")) -> nn.Module:
    """Return a random model with source adapters, a head and the named blocks, in training mode."""
    torch.manual_seed(0)
    model = RobertaAdapterModel(RobertaConfig(vocab_size=1000, **SHAPES[shape]))
    scalearn_lib.init(model)
    names = names_of(sources)
    for name in names:
        model.add_adapter(name, config="seq_bn")
    for block in blocks:
        if block == "fusion":
            model.add_adapter_fusion(Fuse(*names, name=block), config="dynamic")
        else:
            config = ScaLearnConfig(fused=False) if block == "loop" else block
            model.add_adapter_fusion(ScaLearn(*names, name=block), config=config)
    model.add_classification_head("head", num_labels=2)
    return model.to(DEVICE).train()


def names_of(sources: int) -> list[str]:
    """Names of the source adapters."""
    return [f"source{number}" for number in range(sources)]


def train_block(model: nn.Module, block: str, sources: int) -> None:
    """Let a block over the source adapters learn, and the head."""
    setup = Fuse if block == "fusion" else ScaLearn
    model.train_adapter_fusion(setup(*names_of(sources), name=block))
    model.active_head = "head"


def train_single(model: nn.Module) -> None:
    """Let the first source adapter learn, as in stage 1."""
    model.train_adapter("source0")
    model.active_head = "head"


def train_all(model: nn.Module) -> None:
    """Full fine-tuning: no adapter active, every parameter of the encoder learns."""
    model.set_active_adapters(None)
    model.active_head = "head"
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in ("adapters.", "adapter_fusion_layer.")))


def train_floor(model: nn.Module) -> None:
    """The floor: encoder and one adapter forward, and backward through activations down to the first layer.

    Nothing learns but the head and one vector in the lowest layer, which makes backward go all the way.
    """
    train_single(model)
    model.freeze_model(True)
    for parameter in model.roberta.parameters():
        parameter.requires_grad_(False)
    model.roberta.encoder.layer[0].output.adapters["source0"].adapter_up.bias.requires_grad_(True)


def stage2(model: nn.Module, sources: int) -> dict[str, Callable[[], None]]:
    """What switches each way of training on, by the name that tables show."""
    return {
        "floor": lambda: train_floor(model),
        "single adapter": lambda: train_single(model),
        **{name: lambda name=name: train_block(model, name, sources) for name in (*VARIANTS, "loop")},
        "AdapterFusion": lambda: train_block(model, "fusion", sources),
        "full fine-tuning": lambda: train_all(model),
    }


def batch(rows: int, tokens: int) -> dict[str, torch.Tensor]:
    """Random inputs, all of one length, with labels."""
    ids = torch.randint(5, 1000, (rows, tokens), device=DEVICE)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}
