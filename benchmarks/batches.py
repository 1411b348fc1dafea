"""Tokens per second on real sentences: batches of similar length against shuffled ones, and against full padding.

    .venv/bin/python benchmarks/batches.py --json outputs/benchmarks/batches.json

MiniLM, ScaLearn over nine random sources, forward and backward, on training texts of the offline suite. Tokens are real
ones: padding counts as time, not as tokens.
"""

from __future__ import annotations

from itertools import islice

import measure
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

import scalearn_lib
from scalearn_lib import ScaLearn
from scalearn_lib.runs.data import encoded
from scalearn_lib.tasks import get_suite, get_task
from scalearn_lib.tasks.encoders import load_model, load_tokenizer
from scalearn_lib.tasks.encoding import collator


def main() -> None:
    parser = measure.parser(__doc__, batch=32, batches=12, rounds=5)
    parser.add_argument("--tasks", nargs="+", default=["movie", "spam", "dialog"])
    parser.add_argument("--encoder", default="minilm")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [task.name for task in get_suite("offline").tasks]
    model, tokenizer = load_model(arguments.encoder).to(measure.DEVICE), load_tokenizer(arguments.encoder)
    scalearn_lib.init(model)
    for name in names:
        model.add_adapter(name, config="seq_bn")
    setup = ScaLearn(*names, name="scalearn")
    model.add_adapter_fusion(setup)
    model.add_classification_head("head", num_labels=2)
    model.train_adapter_fusion(setup)
    model.active_head = "head"
    raw, tables, targets = {}, {}, {}
    for name in arguments.tasks:
        task = get_task("offline", name)
        rows = encoded(task, arguments.encoder)["train"]
        lengths = rows["length"][:]
        inputs = rows.select_columns([*tokenizer.model_input_names, "labels"])
        pad, limit = collator(task, tokenizer), max(lengths)

        def full(batch, pad=pad, limit=limit):
            return tokenizer.pad(batch, padding="max_length", max_length=limit, return_tensors="pt")

        def samplers(lengths=lengths, rows=rows) -> dict[str, Sampler]:
            seed = torch.Generator().manual_seed(0)
            grouped = LengthGroupedSampler(arguments.batch, lengths=lengths, generator=seed)
            return {"grouped by length": grouped, "shuffled": RandomSampler(rows, generator=seed)}

        tokens: dict[str, int] = {}

        def competitor(kind, collate, inputs=inputs, samplers=samplers, tokens=tokens):
            def ready():
                # Length-grouped batches come longest first: a whole pass, thinned, is what training sees.
                every = list(samplers()["grouped by length" if kind == "grouped by length" else "shuffled"])
                cut = [every[i : i + arguments.batch] for i in range(0, len(every), arguments.batch)]
                chosen = list(islice(cut, 0, None, max(1, len(cut) // arguments.batches)))
                loader = DataLoader(inputs, batch_sampler=chosen, collate_fn=collate)
                tokens[kind] = sum(len(inputs[row]["input_ids"]) for batch in chosen for row in batch)

                def steps() -> None:
                    for batch in loader:
                        batch = {key: value.to(measure.DEVICE) for key, value in batch.items()}
                        batch["labels"] = (batch["labels"] > 0).long()
                        model(**batch).loss.backward()
                        model.zero_grad()

                return steps

            return ready

        ways = {"grouped by length": pad, "shuffled": pad, "padded to the longest": full}
        taken = measure.alternate({k: competitor(k, c) for k, c in ways.items()}, arguments.rounds, warm=0)
        raw[name] = {kind: [second / tokens[kind] * 1e6 for second in values] for kind, values in taken.items()}
        frame = measure.table(raw[name], {"/ shuffled": "shuffled"}, "µs per token")
        frame["tokens per second"] = (1e6 / frame["median µs per token"]).round().astype(int)
        tables[name] = frame
        targets[f"{name}: shuffled / grouped"] = (1 / frame["/ shuffled"]["grouped by length"], ">=", 1.0)
    gains = [1 / frame["/ shuffled"]["grouped by length"] for frame in tables.values()]
    title = f"Batches of similar length are {min(gains):.1f} to {max(gains):.1f} times faster than shuffled ones"
    figure = measure.dots(raw, "shuffled", title, "time per token / shuffled")
    measure.report(arguments, tables, measure.verdicts(targets), raw, figure)


if __name__ == "__main__":
    main()
