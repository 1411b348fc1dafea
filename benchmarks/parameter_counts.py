"""Parameters that each method learns on RoBERTa-base with the eight GLUE tasks: by formula, and counted.

    .venv/bin/python benchmarks/parameter_counts.py --json outputs/reference/parameter_counts.json

The encoder has RoBERTa-base's configuration and random weights, so nothing is downloaded; so have the source adapters.
The target of single-task and two-stage methods is rte. Heads are two-layer heads on the first token, counted apart.
The script fails where formula and count differ.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from adapters import RobertaAdapterModel
from torch import nn
from transformers import RobertaConfig

from scalearn_lib.methods import METHODS, Learner, trainable_parameters, transfer_parameters
from scalearn_lib.methods.soup import AdapterSoup
from scalearn_lib.tasks import Task, get_suite, get_task

ROBERTA_BASE = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}

d, f, L, T, b = 768, 3072, 12, 8, 48
"""Hidden size, intermediate size, layers, tasks, bottleneck width."""

r = 8
"""Rank of LoRA, which changes query and value."""

e, m, p = 512, 128, 64
"""HyperFormer's task embedding, its projector's hidden layer and output."""

ENCODER = (50265 + 514 + 1 + 2) * d + L * (4 * (d * d + d) + 2 * d * f + f + d + 4 * d) + d * d + d
BOTTLENECK = 2 * d * b + b + d
FORMULAS: dict[str, tuple[str, int]] = {
    "full": ("the encoder", ENCODER),
    "adapter": ("L (2 d b + b + d)", L * BOTTLENECK),
    "propetl": ("2 d b + b + d + 2 d b L", BOTTLENECK + 2 * d * b * L),
    "compacter": ("3 (d + b) L + 4³", 3 * (d + b) * L + 4**3),
    "ia3": ("(2 d + f) L", (2 * d + f) * L),
    "full_m": ("the encoder", ENCODER),
    "adapter_m": ("L (2 d b + b + d)", L * BOTTLENECK),
    "propetl_m": ("2 d b + b + d + 2 d b (L + T)", BOTTLENECK + 2 * d * b * (L + T)),
    "hyperformer": (
        "T e + (e + 1) m + (m + 1) p + 2 p + L (p + 1) (2 d b + b + 3 d)",
        T * e + (e + 1) * m + (m + 1) * p + 2 * p + L * (p + 1) * (2 * d * b + b + 3 * d),
    ),
    "hyperformer_pp": (
        "(T + L) e + (2 e + 1) m + (m + 1) p + 2 p + (p + 1) (2 d b + b + 3 d)",
        (T + L) * e + (2 * e + 1) * m + (m + 1) * p + 2 * p + (p + 1) * (2 * d * b + b + 3 * d),
    ),
    "adapter_fusion": ("L (3 d² + 2 d)", L * (3 * d * d + 2 * d)),
    "adapter_soup": ("0", 0),
    "polytropon": ("T L", T * L),
    "multi_head_routing": ("8 T L", 8 * T * L),
    "scalearn": ("T L d", T * L * d),
    "scalearn_uniform": ("T L", T * L),
    "scalearn_pp": ("T d", T * d),
    "scalearn_uniform_pp": ("T", T),
    "scalearn_mean": ("T L d", T * L * d),
    "scalearn_softmax": ("T L d", T * L * d),
    "scalearn_init_1": ("T L d", T * L * d),
    "scalearn_no_dropout": ("T L d", T * L * d),
    "scalearn_penalty_0_1": ("T L d", T * L * d),
    "scalearn_penalty_0_01": ("T L d", T * L * d),
    "scalearn_from_target": ("T L d", T * L * d),
    "scalearn_uniform_pp_from_target": ("T", T),
    "scalearn_init_4": ("T L d", T * L * d),
    "scalearn_init_8": ("T L d", T * L * d),
    "scalearn_blocks_2": ("2 T L", 2 * T * L),
    "scalearn_blocks_8": ("8 T L", 8 * T * L),
    "scalearn_blocks_32": ("32 T L", 32 * T * L),
    "scalearn_low_rank": ("9 T L d", 9 * T * L * d),
    "lora": ("4 d r L", 4 * d * r * L),
    "lorahub": ("T", T),
    "scalearn_lora": ("2 T L d", 2 * T * L * d),
    "scalearn_uniform_lora": ("2 T L", 2 * T * L),
    "scalearn_uniform_pp_lora": ("2 T", 2 * T),
}


def head(task: Task) -> int:
    """Parameters of a two-layer head."""
    return d * d + d + (d + 1) * task.num_labels


def count(method: Learner, sources: dict[str | None, dict[str, Path]], model: RobertaAdapterModel) -> dict[str, object]:
    """One row of the table."""
    tasks = list(get_suite("glue").tasks) if method.joint else [get_task("glue", "rte")]
    method.prepare(model, tasks, sources[method.source_method])
    formula, expected = FORMULAS[method.name]
    row = {"method": method.title, "formula": formula, "by formula": expected, "counted": transfer_parameters(model)}
    row |= {"heads": sum(map(head, tasks)), "with heads": trainable_parameters(model)}
    if row["counted"] != expected or row["with heads"] != expected + row["heads"]:
        raise SystemExit(f"Formula and count differ: {row}")
    return row


class EvenSoup(AdapterSoup):
    """AdapterSoup with even weights: a random encoder has no meaningful embeddings, and they bear on no count."""

    def weights(self, model: nn.Module, task: Task, sources: Mapping[str, Path]) -> dict[str, float]:
        return dict.fromkeys(list(sources)[: self.top_k], 1 / self.top_k)


def random_model() -> RobertaAdapterModel:
    """RoBERTa-base with random weights."""
    return RobertaAdapterModel(RobertaConfig(**ROBERTA_BASE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources: dict[str | None, dict[str, Path]] = {None: {}}
        for name in ("adapter", "lora"):
            model = random_model()
            (Path(folder) / name).mkdir()
            sources[name] = {task.name: Path(folder) / name / task.name for task in get_suite("glue").tasks}
            for task in get_suite("glue").tasks:
                METHODS[name].learner().prepare(model, [task], {})
                model.save_adapter(str(sources[name][task.name]), task.name, use_safetensors=True)
        methods = METHODS | {"adapter_soup": replace(METHODS["adapter_soup"], made_by=f"{__name__}:EvenSoup")}
        table = pd.DataFrame([count(method.learner(), sources, random_model()) for method in methods.values()])
    with pd.option_context("display.width", None, "display.max_columns", None):
        print(table.to_string(index=False, formatters=dict.fromkeys(table.columns[2:], "{:,}".format)))
    if arguments.json:
        arguments.json.write_text(table.to_json(orient="records", indent=1, force_ascii=False) + "\n")


if __name__ == "__main__":
    main()
