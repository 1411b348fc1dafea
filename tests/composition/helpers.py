"""Small random models for the tests of the method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from adapters import RobertaAdapterModel
from adapters.methods.lora import LoRA
from adapters.methods.modeling import Adapter
from torch import Tensor, nn
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path

SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def roberta(sources: Sequence[str] = "abc", configs: Sequence[str] = ("seq_bn[reduction_factor=4]",)) -> nn.Module:
    """A random RoBERTa that knows ScaLearn, with random sources and a head; the same weights at each call."""
    torch.manual_seed(0)
    config = RobertaConfig(**SHAPE, pad_token_id=1, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = RobertaAdapterModel(config)
    scalearn_lib.init(model)
    for index, source in enumerate(sources):
        model.add_adapter(source, config=configs[index % len(configs)])
    randomise(model)
    model.add_classification_head("head", num_labels=3)
    return model.eval()


def randomise(model: nn.Module) -> None:
    """Give all adapters weights of the size that training gives them; fresh ones are nearly zero."""
    for module in model.modules():
        if isinstance(module, Adapter | LoRA):
            for parameter in module.parameters():
                nn.init.normal_(parameter, 0, 0.2)


def activate(model: nn.Module, setup: ScaLearn, config: object = "scalearn", seed: int = 1) -> None:
    """Add a block with the same random ω at each call, and train nothing but it and the head; evaluation mode."""
    torch.manual_seed(seed)
    model.add_adapter_fusion(setup, config=config)
    model.train_adapter_fusion(setup)
    model.active_head = "head"
    model.eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(f".{setup.name}.omega"):
                parameter.add_(torch.randn_like(parameter) * 0.3)


def forward_and_gradients(
    model: nn.Module, setup: ScaLearn, variant: str | ScaLearnConfig, fused: bool
) -> tuple[Tensor, list[Tensor]]:
    """Logits of a block with random ω, and the gradients of ω; the path taken is the one that was asked for."""
    activate(model, setup, ScaLearnConfig.load(variant, fused=fused))
    out = model(**batch())
    out.loss.backward()
    assert set(forward_path(model, setup).values()) == {"fused" if fused else "loop: switched on by the configuration"}
    gradients = [p.grad for p in omegas(model).values()]
    assert gradients and all(gradient is not None for gradient in gradients)
    return out.logits.detach(), gradients


def batch(rows: int = 4, tokens: int = 9) -> dict[str, Tensor]:
    """Token ids with padded rows, and labels."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 60, (rows, tokens), generator=generator)
    mask = torch.ones_like(ids)
    mask[1:3, tokens // 2 :] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(rows) % 3}


def omegas(model: nn.Module) -> dict[str, nn.Parameter]:
    """The coefficients that learn, by name."""
    return {n: p for n, p in model.named_parameters() if n.endswith(".omega") and p.requires_grad}


def logits(model: nn.Module) -> Tensor:
    """Logits on `batch()` without gradients."""
    with torch.no_grad():
        return model(**batch()).logits
