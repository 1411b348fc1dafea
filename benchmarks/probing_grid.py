"""The scaling analysis as one grid against separate runs of the same protocol.

    .venv/bin/python benchmarks/probing_grid.py --json outputs/benchmarks/probing_grid.json

7 × 7 pairs of coefficients on two source adapters and five heads each: 245 probes of one task. A separate run does what
one probe of the paper does: it loads encoder and adapters, and encodes each batch anew in every epoch while its head
learns, in evaluation mode and without gradients through the encoder. A sample of them is timed. The third figure is
what remains when a separate run too stores its features and encodes each example once.
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path

import measure
import numpy as np
import pandas as pd
import torch

from scalearn_lib.composition.reading import transfer_layers
from scalearn_lib.paths import output_dir
from scalearn_lib.probing import heads, probe, probing_data
from scalearn_lib.probing.features import scaled_features, with_fixed_coefficients
from scalearn_lib.probing.pairs import GRID
from scalearn_lib.runs import Run, execute_all
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_tokenizer
from scalearn_lib.tasks.encoding import collator
from scalearn_lib.tasks.metrics import score


def one_probe(task, data, encoder: str, sources: dict[str, Path], setting, seed: int, store: bool) -> tuple[float, int]:
    """Test score and epochs of one probe as a run of its own.

    Args:
        store: encode each example once, instead of in every epoch.
    """
    (model, block), tokenizer = with_fixed_coefficients(encoder, sources), load_tokenizer(encoder)
    model.to(measure.DEVICE)
    for _, _, layer in transfer_layers(model, block):
        layer.omega.copy_(torch.tensor(setting).unsqueeze(1))
    labels = {split: torch.tensor(rows["labels"][:]) for split, rows in data.items()}
    if store:
        features = {s: scaled_features(model, block, [setting], task, tokenizer, rows) for s, rows in data.items()}
        logits = heads.train_heads(task, features, labels, [seed])
        return score(task, logits["test"][0, 0].numpy(), labels["test"].numpy(), data["test"])[task.metric], 0
    names = [name for name in tokenizer.model_input_names if name in data["train"].column_names]
    inputs = {split: rows.select_columns([*names, "labels"]) for split, rows in data.items()}
    pad = collator(task, tokenizer)

    @torch.no_grad()
    def encode(split: str, rows: list[int]) -> torch.Tensor:
        batch = pad([inputs[split][row] for row in rows])
        return model.base_model(**{n: batch[n].to(measure.DEVICE) for n in names}).last_hidden_state[:, 0].cpu()

    def whole(split: str) -> torch.Tensor:
        order = np.argsort(-np.array(data[split]["length"][:]), kind="stable")
        parts = [encode(split, order[i : i + 64].tolist()) for i in range(0, len(order), 64)]
        return torch.cat(parts)[torch.tensor(np.argsort(order))]

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return heads.losses(task, heads.forward(head, x[None]), y[None])[0]

    generator = torch.Generator().manual_seed(seed)
    head = [p[None].requires_grad_() for p in heads.initial_head(model.config.hidden_size, task.num_labels, generator)]
    optimizer = torch.optim.AdamW(head, lr=3e-4, weight_decay=0.0, fused=True)
    count, best, losses = len(labels["train"]), None, []
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (30 * -(-count // 32)))
    for _ in range(30):
        for rows in torch.randperm(count, generator=generator).split(32):
            optimizer.zero_grad()
            loss_of(encode("train", rows.tolist()), labels["train"][rows]).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            losses.append(loss_of(whole("validation"), labels["validation"]).item())
        if min(losses) not in losses[:-1]:
            best = [p.detach().clone() for p in head]
        if len(losses) - 1 - losses.index(min(losses)) >= 5:
            break
    head = best
    with torch.no_grad():
        logits = heads.forward(head, whole("test")[None])[0]
    return score(task, logits.numpy(), labels["test"].numpy(), data["test"])[task.metric], len(losses)


def main() -> None:
    parser = measure.parser(__doc__, heads=5, sample=6)
    parser.add_argument("--task", default="trec")
    parser.add_argument("--partner", default="movie")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--output", type=Path, default=output_dir(), help="where the source adapters lie or will lie")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    runs = [Run("offline", t, "adapter", arguments.encoder, budget=arguments.budget)
            for t in (arguments.task, arguments.partner)]  # fmt: skip
    execute_all(runs, arguments.output)
    sources = {run.task: run.weights(arguments.output) for run in runs}
    task = get_task("offline", arguments.task)
    data = probing_data("offline", arguments.task, arguments.encoder, arguments.budget)
    settings, seeds = list(product(GRID, GRID)), range(arguments.heads)
    probes = [(setting, seed) for setting in settings for seed in seeds]
    chosen = [probes[int(i)] for i in np.linspace(0, len(probes) - 1, arguments.sample).round()]

    def separate(part, store: bool) -> list[tuple[float, float, int]]:
        done = []
        for setting, seed in part:
            began = time.perf_counter()
            found, epochs = one_probe(task, data, arguments.encoder, sources, setting, seed, store)
            done.append((time.perf_counter() - began, found, epochs))
        return done

    half = len(chosen) // 2
    apart = separate(chosen[:half], False)
    stored = separate(chosen[:half], True)
    began = time.perf_counter()
    grid = probe(task, data, arguments.encoder, sources, settings, list(seeds))
    together = time.perf_counter() - began
    stored += separate(chosen[half:], True)
    apart += separate(chosen[half:], False)

    score_of = grid.set_index([*sources, "seed"])["score"]
    rows = [
        {"ω": str(setting), "seed": seed, "grid": score_of[(*setting, seed)], "separate": found, "epochs": epochs}
        for (setting, seed), (_, found, epochs) in zip(chosen, apart, strict=True)
    ]
    scores = pd.DataFrame(rows)
    noise = grid.groupby(list(sources))["score"].std().mean()
    gap = (scores["grid"] - scores["separate"]).abs().max()
    timed = {"separate runs": apart, "separate, stored features": stored}
    each = {name: float(np.mean([seconds for seconds, *_ in done])) for name, done in timed.items()}
    frame = pd.DataFrame({"seconds": {k: v * len(probes) for k, v in each.items()} | {"one grid": together}}).round(1)
    frame["/ grid"] = (frame["seconds"] / together).round(1)
    targets = {
        "separate runs / grid": (frame["/ grid"]["separate runs"], ">=", 30.0),
        "largest difference in score": (float(gap), "<=", round(float(noise), 4)),
    }
    raw = {"separate": apart, "separate, stored features": stored, "grid": together, "seed noise": float(noise)}
    ratio = frame["/ grid"]["separate runs"]
    title = f"{len(probes)} probes in one grid are {ratio:.0f} times faster than separate runs"
    figure = measure.bars(frame["seconds"].to_dict(), title, "seconds of all probes")
    tables = {f"{len(probes)} probes": frame, "equal scores": scores}
    measure.report(arguments, tables, measure.verdicts(targets), raw, figure)


if __name__ == "__main__":
    main()
