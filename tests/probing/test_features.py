"""Features of many settings in one pass: what lies below the adapters runs once, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import torch

from scalearn_lib import ScaLearn, ScaLearnConfig, init
from scalearn_lib.methods.fusion import load_sources
from scalearn_lib.probing.features import scaled_features, with_fixed_coefficients
from scalearn_lib.probing.probes import probing_data
from scalearn_lib.runs import Run, load_trained
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model, load_tokenizer

TASK = get_task("toy", "toy_topic")


def first_token(model: torch.nn.Module, row: dict[str, list[int]]) -> torch.Tensor:
    ids = torch.tensor([row["input_ids"]])
    with torch.no_grad():
        return model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0, 0]


def test_features_of_many_settings_are_those_of_each_alone(toy_adapters: dict[str, Path]) -> None:
    rows = probing_data("toy", "toy_topic", "tiny", "smoke")["test"]
    settings = [(0.0, 0.0), (1.0, 0.3), (0.0, 1.0)]
    model, block = with_fixed_coefficients("tiny", toy_adapters)
    together = scaled_features(model, block, settings, TASK, load_tokenizer("tiny"), rows)
    assert together.shape == (3, len(rows), model.config.hidden_size)
    for number, setting in enumerate(settings):
        alone, fixed = load_model("tiny"), ScaLearn(*toy_adapters, name="alone")
        init(alone)
        load_sources(alone, toy_adapters)
        alone.add_adapter_fusion(fixed, ScaLearnConfig(fixed=list(setting)), set_active=True)
        for index in (0, 3, len(rows) - 1):
            expected = first_token(alone.eval(), rows[index])
            torch.testing.assert_close(together[number, index], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_features_at_one_are_those_of_the_trained_adapter(toy_adapters: dict[str, Path]) -> None:
    run = Run("toy", "toy_topic", "adapter", "tiny", budget="smoke")
    trained = load_trained(run, toy_adapters["toy_topic"].parents[6])
    rows = probing_data("toy", "toy_topic", "tiny", "smoke")["test"]
    model, block = with_fixed_coefficients("tiny", {"toy_topic": toy_adapters["toy_topic"]})
    features = scaled_features(model, block, [(1.0,)], TASK, load_tokenizer("tiny"), rows)
    for index in (0, 3):
        torch.testing.assert_close(features[0, index], first_token(trained, rows[index]), rtol=1e-4, atol=1e-5)
