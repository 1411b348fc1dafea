"""Every kind of encoder, as adapters' own model and as a plain transformers model."""

from __future__ import annotations

import pytest
import torch
import transformers
from adapters import AutoAdapterModel

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path

from .helpers import SHAPE, batch, omegas, randomise

DISTIL = {"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}
CONFIGS = {
    "bert": lambda: transformers.BertConfig(**SHAPE),
    "roberta": lambda: transformers.RobertaConfig(**SHAPE, pad_token_id=1),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**SHAPE, pad_token_id=1),
    "distilbert": lambda: transformers.DistilBertConfig(**DISTIL),
    "deberta-v2": lambda: transformers.DebertaV2Config(**SHAPE),
    "electra": lambda: transformers.ElectraConfig(**SHAPE, embedding_size=32),
}


@pytest.mark.parametrize("adapter", ["seq_bn", "double_seq_bn"])
@pytest.mark.parametrize("plain", [False, True], ids=["adapters", "transformers"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_forward_backward_and_fold(kind: str, plain: bool, adapter: str) -> None:
    torch.manual_seed(0)
    config = CONFIGS[kind]()
    config.num_labels = 3
    auto = transformers.AutoModelForSequenceClassification if plain else AutoAdapterModel
    model = auto.from_config(config)
    scalearn_lib.init(model)
    for source, factor in zip("abc", (4, 8, 4), strict=True):
        model.add_adapter(source, config=f"{adapter}[reduction_factor={factor}]")
    randomise(model)
    if not plain:
        model.add_classification_head("head", num_labels=3)
    results = {}
    for fused in (True, False):
        setup = ScaLearn(*"abc", name=f"fused_{fused}")
        torch.manual_seed(1)
        model.add_adapter_fusion(setup, ScaLearnConfig(fused=fused))
        model.train_adapter_fusion(setup)
        model.eval()
        out = model(**batch())
        out.loss.backward()
        learned = [p for p in omegas(model).values() if p.grad is not None]
        results[fused] = [out.logits.detach(), *(p.grad.clone() for p in learned)]
        assert len(learned) == (4 if adapter == "double_seq_bn" else 2)
        assert all(p.grad.abs().max() > 0 for p in learned)
        assert {path.split(":")[0] for path in forward_path(model, setup).values()} == {"fused" if fused else "loop"}
        model.zero_grad()
    for one, other in zip(results[True], results[False], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    scalearn_lib.fold(model, ScaLearn(*"abc", name="fused_True"), "folded")
    model.set_active_adapters("folded")
    with torch.no_grad():
        torch.testing.assert_close(model(**batch()).logits, results[True][0], rtol=0, atol=1e-5)
