"""Tiny random models of every family that adapters supports, and inputs for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import transformers as t
from adapters import AutoAdapterModel
from torch import Tensor, nn

TEXT = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 36}
TEXT |= {"max_position_embeddings": 40}
BART = {"vocab_size": 40, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "max_position_embeddings": 40}
BART |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 36, "decoder_ffn_dim": 36}
BART |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
T5 = {"vocab_size": 40, "d_model": 32, "d_kv": 16, "d_ff": 36, "num_layers": 2, "num_heads": 2}
T5 |= {"decoder_start_token_id": 0}
GPT = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 40, "pad_token_id": 1}
GPT |= {"bos_token_id": 0, "eos_token_id": 2}
IMAGE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 36}
IMAGE |= {"image_size": 16, "patch_size": 8}
VISION = {**IMAGE, "projection_dim": 16}

torch.manual_seed(0)
IDS = torch.randint(4, 40, (2, 6))
TOKENS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
BOTH = TOKENS | {"decoder_input_ids": IDS[:, :4]}
PIXELS = {"pixel_values": torch.randn(2, 3, 16, 16)}
SOUND = {"input_features": torch.randn(2, 8, 20), "decoder_input_ids": IDS[:, :4]}


class Family(NamedTuple):
    """How to make a model, what to feed it, and whether it generates text with a head for it."""

    config: Callable[[], t.PretrainedConfig]
    inputs: dict[str, Tensor]
    head: str | None = None


def _of(cls: type, *settings: dict, **more: object) -> Callable[[], t.PretrainedConfig]:
    return lambda: cls(**{name: value for part in settings for name, value in part.items()}, **more)


def _bert_and_bert() -> t.PretrainedConfig:
    config = t.EncoderDecoderConfig.from_encoder_decoder_configs(t.BertConfig(**TEXT), t.BertConfig(**TEXT))
    config.decoder_start_token_id, config.pad_token_id = 2, 1
    return config


FAMILIES = {
    "albert": Family(_of(t.AlbertConfig, TEXT, embedding_size=16), TOKENS),
    "bart": Family(_of(t.BartConfig, BART), BOTH, "seq2seq_lm"),
    "beit": Family(_of(t.BeitConfig, IMAGE), PIXELS),
    "bert": Family(_of(t.BertConfig, TEXT), TOKENS),
    "bert_generation": Family(_of(t.BertGenerationConfig, TEXT, is_decoder=True, use_cache=False), TOKENS, "causal_lm"),
    "clip": Family(
        lambda: t.CLIPConfig(text_config=TEXT | {"projection_dim": 16}, vision_config=VISION, projection_dim=16),
        TOKENS | PIXELS,
    ),
    "deberta": Family(_of(t.DebertaConfig, TEXT), TOKENS),
    "deberta_v2": Family(_of(t.DebertaV2Config, TEXT), TOKENS),
    "distilbert": Family(
        _of(
            t.DistilBertConfig, vocab_size=40, dim=32, n_layers=2, n_heads=2, hidden_dim=36, max_position_embeddings=40
        ),
        TOKENS,
    ),
    "electra": Family(_of(t.ElectraConfig, TEXT, embedding_size=16), TOKENS),
    "encoder_decoder": Family(_bert_and_bert, BOTH, "own"),
    "gpt2": Family(_of(t.GPT2Config, GPT), TOKENS, "causal_lm"),
    "gptj": Family(_of(t.GPTJConfig, GPT, rotary_dim=4), TOKENS, "causal_lm"),
    "llama": Family(_of(t.LlamaConfig, TEXT, pad_token_id=1), TOKENS, "causal_lm"),
    "mbart": Family(_of(t.MBartConfig, BART), BOTH, "seq2seq_lm"),
    "mistral": Family(_of(t.MistralConfig, TEXT, num_key_value_heads=2, pad_token_id=1), TOKENS, "causal_lm"),
    "mt5": Family(_of(t.MT5Config, T5), BOTH, "seq2seq_lm"),
    "plbart": Family(_of(t.PLBartConfig, BART), BOTH, "seq2seq_lm"),
    "roberta": Family(_of(t.RobertaConfig, TEXT), TOKENS),
    "t5": Family(_of(t.T5Config, T5), BOTH, "seq2seq_lm"),
    "vit": Family(_of(t.ViTConfig, IMAGE), PIXELS),
    "whisper": Family(_of(t.WhisperConfig, BART, num_mel_bins=8, max_source_positions=10), SOUND, "seq2seq_lm"),
    "xlm_roberta": Family(_of(t.XLMRobertaConfig, TEXT), TOKENS),
    "xmod": Family(_of(t.XmodConfig, TEXT, languages=["en_XX"], default_language="en_XX"), TOKENS),
}


def make(name: str) -> nn.Module:
    """Return a tiny random model of a family, in evaluation mode; the same every time."""
    torch.manual_seed(0)
    config = FAMILIES[name].config()
    if name == "encoder_decoder":
        return t.EncoderDecoderModel(config).eval()
    return AutoAdapterModel.from_config(config).eval()


def output(model: nn.Module, name: str) -> Tensor:
    """Return what a model gives for its family's inputs, as one tensor."""
    given = model(**FAMILIES[name].inputs)
    parts = [given[key] for key in ("logits", "last_hidden_state", "image_embeds", "text_embeds") if key in given]
    return torch.cat([part.flatten() for part in parts])
