"""Time and memory of ScaLearn over eight LoRAs: training steps, and inference folded and merged, in one run.

    .venv/bin/python benchmarks/lora.py --json outputs/benchmarks/lora.json

Random encoders of RoBERTa-base's and GPT-2's shapes with a head; LoRAs of rank 8 on query and value (in PEFT on GPT-2,
where those are one matrix, on that). Compared with ScaLearn are one LoRA that trains, ScaLearn by the loop over
sources, and PEFT with all eight LoRAs active, which it sums and trains. Inference is compared with the model without
any LoRA. Each way's peak memory (CPU: resident, GPU: allocated) is that of two steps in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import measure
import peft
import shapes
import torch
from adapters import LoRAConfig
from adapters.methods.lora import LoRA
from torch import nn
from transformers import GPT2Config, GPT2ForSequenceClassification, RobertaConfig, RobertaForSequenceClassification

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig

MODELS: dict[str, Callable[[], nn.Module]] = {
    "RoBERTa-base": lambda: RobertaForSequenceClassification(RobertaConfig(vocab_size=1000)),
    "GPT-2": lambda: GPT2ForSequenceClassification(GPT2Config(vocab_size=1000, pad_token_id=0)),
}
TARGETS = {"RoBERTa-base": ["query", "value"], "GPT-2": ["c_attn"]}
RANK = 8
BLOCKS = ("scalearn", "scalearn_uniform_pp", "loop")
WAYS = ("one LoRA", *BLOCKS, "PEFT, all active")


def with_loras(shape: str, sources: int) -> nn.Module:
    """A model that knows ScaLearn, with random LoRAs, in training mode."""
    torch.manual_seed(0)
    model = MODELS[shape]()
    scalearn_lib.init(model)
    for name in shapes.names_of(sources):
        model.add_adapter(name, config=LoRAConfig(r=RANK, alpha=2 * RANK))
    for module in model.modules():
        if isinstance(module, LoRA):
            nn.init.normal_(module.lora_B, 0, 0.02)
    return model.to(measure.DEVICE).train()


def by_peft(shape: str, sources: int) -> nn.Module:
    """The same in PEFT, every LoRA active."""
    torch.manual_seed(0)
    config = peft.LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=TARGETS[shape], fan_in_fan_out=shape == "GPT-2"
    )
    first, *others = shapes.names_of(sources)
    model = peft.get_peft_model(MODELS[shape](), config, adapter_name=first)
    for name in others:
        model.add_adapter(name, config)
    model.base_model.set_adapter([first, *others])
    return model.to(measure.DEVICE).train()


def ready(shape: str, way: str, sources: int) -> nn.Module:
    """A model of `shape`, set up to train in one way."""
    if way == "PEFT, all active":
        return by_peft(shape, sources)
    model = with_loras(shape, 1 if way == "one LoRA" else sources)
    if way == "one LoRA":
        model.train_adapter("source0")
    else:
        setup = ScaLearn(*shapes.names_of(sources), name=way)
        model.add_adapter_fusion(setup, ScaLearnConfig(fused=False) if way == "loop" else way)
        model.train_adapter_fusion(setup)
    return model


def steps(shape: str, arguments) -> dict[str, list[float]]:
    """Seconds of a step by way of training."""
    inputs = shapes.batch(arguments.batch, arguments.tokens)

    def competitor(model: nn.Module) -> Callable[[], Callable[[], None]]:
        def step() -> None:
            model(**inputs).loss.backward()
            model.zero_grad()

        return lambda: step

    competitors = {way: competitor(ready(shape, way, arguments.sources)) for way in WAYS}
    return measure.alternate(competitors, arguments.rounds)


def inference(shape: str, arguments) -> dict[str, list[float]]:
    """Seconds of a forward pass: the model alone, the block active, and folded into one LoRA, merged or not."""
    model = ready(shape, "scalearn", arguments.sources).eval()
    setup, inputs = model.active_adapters, shapes.batch(arguments.batch, arguments.tokens)
    scalearn_lib.fold(model, setup, "folded")

    def step() -> None:
        with torch.inference_mode():
            model(**inputs)

    def competitor(active: object, merged: bool = False) -> Callable[[], Callable[[], None]]:
        def switch_on() -> Callable[[], None]:
            model.set_active_adapters(active)
            if merged:
                model.merge_adapter("folded")
            return step

        return switch_on

    competitors = {
        "plain model": competitor(None),
        "folded and merged": competitor("folded", merged=True),
        "folded": competitor("folded"),
        "ScaLearn": competitor(setup),
    }
    return measure.alternate(competitors, arguments.rounds)


def memory(shape: str, arguments) -> dict[str, list[float]]:
    """Peak MiB by way of training, each in a process of its own."""
    shared = [f"--{name}={getattr(arguments, name)}" for name in ("sources", "batch", "tokens", "threads")]
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(min(arguments.rounds, 3)):
        for way in WAYS:
            command = [sys.executable, __file__, "--shapes", shape, "--way", way, *shared]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            taken[way].append(json.loads(done.stdout.splitlines()[-1]))
    return taken


def main() -> None:
    parser = measure.parser(__doc__, sources=8, batch=8, tokens=64, rounds=9)
    parser.add_argument("--shapes", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--way", choices=WAYS, help="measure just this one's memory, here, and print the MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.way:
        model = ready(arguments.shapes[0], arguments.way, arguments.sources)
        print(json.dumps(measure.peak_of_training(model, shapes.batch(arguments.batch, arguments.tokens))))
        return
    raw, tables, targets = {}, {}, {}
    for shape in arguments.shapes:  # before this process is large: a child's peak begins at its parent's
        raw[shape] = {"memory": memory(shape, arguments)}
    for shape in arguments.shapes:
        raw[shape] |= {"step": steps(shape, arguments), "inference": inference(shape, arguments)}
        step = measure.table(raw[shape]["step"], {"/ one LoRA": "one LoRA"})
        peaks = measure.table(raw[shape]["memory"], {"/ one LoRA": "one LoRA"}, "MiB")
        forward = measure.table(raw[shape]["inference"], {"/ plain": "plain model"})
        tables |= {f"{shape}: step": step, f"{shape}: memory": peaks, f"{shape}: inference": forward}
        targets[f"{shape}: step / one LoRA"] = (step["/ one LoRA"]["scalearn"], "<=", 1.15)
        targets[f"{shape}: memory / one LoRA"] = (peaks["/ one LoRA"]["scalearn"], "<=", 1.05)
        targets[f"{shape}: folded and merged / plain"] = (forward["/ plain"]["folded and merged"], "<=", 1.02)
    ratios = " and ".join(f"{tables[f'{shape}: step']['/ one LoRA']['scalearn']:.2f}" for shape in arguments.shapes)
    title = f"A step of ScaLearn over {arguments.sources} LoRAs takes {ratios} times that of one LoRA"
    groups = {shape: values["step"] for shape, values in raw.items()}
    figure = measure.dots(groups, "one LoRA", title, "time of a step / one LoRA")
    measure.report(arguments, tables, measure.verdicts(targets), raw, figure)


if __name__ == "__main__":
    main()
