"""The encoder `tiny`: a random two-layer RoBERTa with a small tokenizer, built where it is needed.

For tests and first steps without any download. Tokenizer and weights are the same on every machine: the tokenizer is
trained on the toy suite's texts, and the weights come from NumPy's frozen random stream instead of torch's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

from . import toy

SPECIAL_TOKENS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # in the order of RoBERTa's ids
LENGTH = 384  # positions; RoBERTa numbers them from 2
# Larger weights than BERT's 0.02, but for what decides where to look: so the first token sees the mean of all words
# before any training, and adapters have something to learn from.
WEIGHT_STD = 0.3
SMALL_STD = 0.03
SMALL = ("query", "key", "position_embeddings", "token_type_embeddings")


def build_tiny(folder: Path) -> None:
    """Build the encoder in `folder`, which appears complete or not at all. Takes less than two seconds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tiny-") as scratch:
        new = Path(scratch) / "tiny"
        tokenizer = _tokenizer()
        tokenizer.save_pretrained(new)
        _model(tokenizer).save_pretrained(new, safe_serialization=True)
        try:
            os.replace(new, folder)
        except OSError:
            if not (folder / "config.json").exists():  # else another process was faster, with the same files
                raise
            shutil.rmtree(new)


def _tokenizer() -> RobertaTokenizerFast:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        toy.texts(), vocab_size=600, min_frequency=2, special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    with tempfile.TemporaryDirectory() as scratch:
        trained.save_model(scratch)
        return RobertaTokenizerFast(
            vocab_file=f"{scratch}/vocab.json", merges_file=f"{scratch}/merges.txt", model_max_length=LENGTH
        )


def _model(tokenizer: RobertaTokenizerFast) -> RobertaModel:
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=LENGTH + 2,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        model = RobertaModel(config)
    random = np.random.RandomState(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:  # biases stay 0, layer norms 1
                std = SMALL_STD if any(part in name for part in SMALL) else WEIGHT_STD
                parameter.copy_(torch.from_numpy(std * random.standard_normal(parameter.shape)))
    return model
