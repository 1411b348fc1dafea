"""The lines of docs/lora.md run as they stand, on tiny models in a folder that looks like what they name."""

from __future__ import annotations

import re
from pathlib import Path

import peft
import pytest
import torch
from adapters import RobertaAdapterModel
from datasets import Dataset
from torch import nn
from transformers import RobertaConfig, RobertaModel, TrainingArguments

import scalearn_lib
from scalearn_lib import ScaLearn, scaling_coefficients

from .composition.helpers import SHAPE, batch

TEXT = (Path(__file__).parents[1] / "docs" / "lora.md").read_text()
(SNIPPET,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_eight_loras_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len([line for line in SNIPPET.splitlines() if line and not line.startswith(("import", "from"))]) <= 15
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    base = RobertaModel(RobertaConfig(**SHAPE, pad_token_id=1), add_pooling_layer=False)
    base.save_pretrained("FacebookAI/roberta-base")
    for name in re.search(r"names = \[(.*)\]", SNIPPET)[1].replace('"', "").split(", "):
        bare = RobertaModel.from_pretrained("FacebookAI/roberta-base", add_pooling_layer=False)
        model = peft.get_peft_model(bare, peft.LoraConfig(r=2, target_modules=["query", "value"]))
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                nn.init.normal_(parameter, 0, 0.3)
        model.save_pretrained(f"loras/{name}")
    labels = batch()["labels"] % 2
    rows = Dataset.from_dict({key: value.tolist() for key, value in (batch() | {"labels": labels}).items()})
    arguments = TrainingArguments("out", report_to=[], disable_tqdm=True, max_steps=2, learning_rate=0.1)
    names = {"arguments": arguments, "rows": rows}
    exec(SNIPPET, names)  # the snippet is ours
    ours, ids = names["model"].eval(), batch()["input_ids"]
    ours.set_active_adapters(names["setup"])
    bare = RobertaModel.from_pretrained("FacebookAI/roberta-base", add_pooling_layer=False)
    theirs = peft.PeftModel.from_pretrained(bare, "loras/one").eval()
    with torch.no_grad():
        wanted = ours.base_model(ids)[0]
        torch.testing.assert_close(theirs(ids)[0], wanted, rtol=0, atol=1e-4)
    assert sum(p.numel() for n, p in ours.named_parameters() if n.endswith("omega")) == 16
    assert abs(scaling_coefficients(ours, names["setup"]) - 2 / 8).max() > 0.01  # and they learned


def test_the_numbers_of_the_table() -> None:
    model = RobertaAdapterModel(RobertaConfig(vocab_size=20))  # RoBERTa-base's widths and depth
    scalearn_lib.init(model)
    names = [f"source{number}" for number in range(8)]
    for name in names:
        model.add_adapter(name, config="lora[r=1]")
    told = re.findall(r"^\| `(\w+)` \| T .* \| ([\d,]+) \|$", TEXT, re.M)
    assert len(told) == 4
    for variant, number in told:
        setup = ScaLearn(*names, name=variant)
        model.add_adapter_fusion(setup, config=variant)
        model.train_adapter_fusion(setup)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == int(number.replace(",", ""))
