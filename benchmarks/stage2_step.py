"""Time of one stage-2 training step: ScaLearn against what a user would pick instead, in one run.

    .venv/bin/python benchmarks/stage2_step.py --json outputs/stage2_step.json

A random encoder of RoBERTa-base's shape, eight source adapters, a batch of 8 × 64 tokens, forward and backward. What is
compared: ScaLearn with the fused forward, the same by the loop over sources, AdapterFusion, one single adapter being
trained, and the floor: one frozen adapter and the head, which is the encoder forward and backward through activations
and nothing else. The order alternates over the rounds; medians and quartiles are over rounds, ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from adapters import Fuse, RobertaAdapterModel
from torch import nn
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path


def build(sources: int) -> nn.Module:
    """A random model of RoBERTa-base's shape with source adapters, all blocks and a head."""
    torch.manual_seed(0)
    model = RobertaAdapterModel(RobertaConfig(vocab_size=1000))
    scalearn_lib.init(model)
    names = [f"source{number}" for number in range(sources)]
    for name in names:
        model.add_adapter(name, config="seq_bn")
    for variant in ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp"):
        model.add_adapter_fusion(ScaLearn(*names, name=variant), config=variant)
    model.add_adapter_fusion(ScaLearn(*names, name="loop"), config=ScaLearnConfig(fused=False))
    model.add_adapter_fusion(Fuse(*names, name="fusion"), config="dynamic")
    model.add_classification_head("head", num_labels=2)
    return model


def modes(model: nn.Module, sources: int) -> dict[str, Callable[[], None]]:
    """How each competitor is switched on."""
    names = [f"source{number}" for number in range(sources)]

    def floor() -> None:
        model.train_adapter(names[0])
        model.freeze_model(True)  # the adapter too: only activations carry gradients, down to the first layer
        model.get_input_embeddings().weight.requires_grad_(False)
        first = model.roberta.encoder.layer[0].output.adapters[names[0]].adapter_up.bias
        first.requires_grad_(True)  # one vector in the lowest layer, so that backward goes all the way

    return {
        "floor": floor,
        "single adapter": lambda: model.train_adapter(names[0]),
        **{
            variant: lambda variant=variant: model.train_adapter_fusion(ScaLearn(*names, name=variant))
            for variant in ("scalearn", "scalearn_uniform", "scalearn_pp", "scalearn_uniform_pp", "loop")
        },
        "AdapterFusion": lambda: model.train_adapter_fusion(Fuse(*names, name="fusion")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(arguments.sources).to(device)
    ids = torch.randint(5, 1000, (arguments.batch, arguments.tokens), device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids[:, 0] % 2}

    def step() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        model(**inputs).loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()
        model.zero_grad()
        return time.perf_counter() - started

    competitors = modes(model, arguments.sources)
    times: dict[str, list[float]] = {name: [] for name in competitors}
    for number in range(arguments.rounds):
        order = list(competitors.items())
        for name, switch_on in order if number % 2 == 0 else reversed(order):
            switch_on()
            model.active_head = "head"
            step()  # warm-up after the switch
            times[name].append(step())

    median = {name: float(np.median(values)) for name, values in times.items()}
    paths = {name: sorted(set(forward_path(model, name).values())) for name in ("scalearn", "loop")}
    print(f"{device}, {arguments.threads} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    print(f"paths: {paths}")
    print(f"{'':<20} {'median':>8} {'quartiles':>17} {'/ floor':>8} {'/ single':>8} {'/ fusion':>8}")
    for name, values in times.items():
        low, high = np.quantile(values, [0.25, 0.75]) * 1e3
        ratios = [median[name] / median[other] for other in ("floor", "single adapter", "AdapterFusion")]
        shown = " ".join(f"{ratio:8.2f}" for ratio in ratios)
        print(f"{name:<20} {median[name] * 1e3:6.0f} ms {low:7.0f} - {high:4.0f} ms {shown}")
    if arguments.json:
        about = {"device": device, "torch": torch.__version__, "python": platform.python_version()}
        settings = {key: value for key, value in vars(arguments).items() if key != "json"}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({**about, **settings, "paths": paths, "seconds": times}, indent=1) + "\n")


if __name__ == "__main__":
    main()
