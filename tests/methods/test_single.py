"""Methods of one task and one stage: their size, what learns, and that it comes back from disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from adapters import AutoAdapterModel
from torch import nn
from transformers import BertConfig, RobertaConfig

from scalearn_lib.errors import UserError
from scalearn_lib.methods import Learner, get_method, trainable_parameters, transfer_parameters
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model

from .helpers import INPUTS

TASK = get_task("toy", "toy_topic")
WIDE = {"vocab_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
NEW = [get_method("compacter").learner(), get_method("ia3").learner()]


def encoder(kind: type = RobertaConfig, hidden_size: int = 64, seed: int = 0) -> nn.Module:
    """A random encoder that all methods fit: bottleneck 4."""
    torch.manual_seed(seed)
    return AutoAdapterModel.from_config(kind(**WIDE, hidden_size=hidden_size)).eval()


def roberta_base() -> nn.Module:
    """RoBERTa-base without its weights."""
    config = RobertaConfig(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1)
    with torch.device("meta"):
        return AutoAdapterModel.from_config(config)


def prepared(method: Learner, seed: int, kind: type = RobertaConfig) -> nn.Module:
    model = encoder(kind)
    torch.manual_seed(seed)
    method.prepare(model, [TASK], {})
    return model.eval()


def differ(model: nn.Module, seed: int) -> None:
    """Move everything that learns away from where it began, as training would."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.3 * torch.randn_like(p))


@pytest.mark.parametrize(("method", "marker"), [(NEW[0], ".toy_topic."), (NEW[1], ".loras.toy_topic.")])
def test_only_the_adapter_and_the_head_learn(method: Learner, marker: str) -> None:
    model = prepared(method, 0)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    rest = {name for name in learned if not name.startswith("heads.toy_topic.")}
    assert rest and rest < learned and all(marker in name for name in rest)
    assert trainable_parameters(model) > transfer_parameters(model)


def test_compacter_counts_as_its_formula_says() -> None:
    layers, width, bottleneck, parts = 2, 64, 4, 4
    model = prepared(get_method("compacter").learner(), 0)
    assert transfer_parameters(model) == 3 * (width + bottleneck) * layers + parts**3
    assert [name for name, p in model.named_parameters() if p.shape == (parts,) * 3] == [
        "roberta.shared_parameters.toy_topic.phm_rule"  # once, for all layers
    ]


def test_ia3_counts_as_its_formula_says() -> None:
    assert transfer_parameters(prepared(get_method("ia3").learner(), 0)) == (2 * 64 + 96) * 2


def test_sizes_on_roberta_base() -> None:
    """The paper has 29K for Compacter++ and 57K for (IA)³, of which adapters' configuration has 55.3K."""
    counts = {}
    for method in (get_method("adapter").learner(), *NEW):
        model = roberta_base()
        method.prepare(model, [TASK], {})
        counts[method.name] = transfer_parameters(model)
    assert counts == {"adapter": 894_528, "compacter": 29_440, "ia3": 55_296}


@pytest.mark.parametrize("kind", [RobertaConfig, BertConfig])
@pytest.mark.parametrize("method", NEW, ids=lambda method: method.name)
def test_what_was_learned_comes_back(method: Learner, kind: type, tmp_path: Path) -> None:
    models = [prepared(method, seed, kind) for seed in (0, 1)]
    for seed, model in enumerate(models):
        differ(model, seed)
    method.save(models[0], [TASK], tmp_path / "saved")
    assert not [file.name for file in (tmp_path / "saved").iterdir() if file.suffix in (".bin", ".pt")]
    with torch.no_grad():
        expected = models[0](**INPUTS).logits
        assert not torch.equal(models[1](**INPUTS).logits, expected)
        method.load(models[1], [TASK], tmp_path / "saved")
        assert torch.equal(models[1](**INPUTS).logits, expected)
    assert [n for n, p in models[0].named_parameters() if p.requires_grad] == [
        n for n, p in models[1].named_parameters() if p.requires_grad
    ]


@pytest.mark.parametrize("method", NEW, ids=lambda method: method.name)
def test_a_few_steps_reduce_the_loss(method: Learner) -> None:
    model = prepared(method, 0)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=method.learning_rate)
    losses = []
    for _ in range(15):
        loss = model(**INPUTS, labels=torch.tensor([0, 2])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    idle = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle


@pytest.mark.parametrize(("hidden_size", "bottleneck"), [(32, 2), (12, 0), (96, 6)])
def test_compacter_refuses_widths_that_its_products_do_not_fit(hidden_size: int, bottleneck: int) -> None:
    model = encoder(hidden_size=hidden_size)
    with pytest.raises(
        UserError, match=f"that 4 divides, but the encoder has {hidden_size} and {bottleneck}; .* multiple of 64"
    ):
        get_method("compacter").learner().prepare(model, [TASK], {})
    assert not model.has_adapters() and not model.heads  # refused before anything was added


def test_loading_into_another_model_is_refused(tmp_path: Path) -> None:
    method = get_method("full").learner()
    model = load_model("tiny")
    method.prepare(model, [TASK], {})
    method.save(model, [TASK], tmp_path)
    with pytest.raises(UserError, match="does not hold the parameters that this model learns; prepare the model with"):
        method.load(prepared(method, 0), [TASK], tmp_path)
