"""The model card of an exported run: what it is, how well it did, and the lines that load it."""

from __future__ import annotations

import importlib.metadata
import shlex
from pathlib import Path

from ..methods import get_method
from ..runs.result import Result
from ..runs.run import Run
from ..tasks import Task, get_suite
from ..tasks.hub import ENCODERS
from .load import About

HUB = ENCODERS | {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
"""Ids of encoders on the hub by our names."""

PACKAGES = ("adapters", "transformers", "torch")

CARD = """# {task}: {title} on {encoder}

{about}

| | |
|---|---|
| kind | {kind} |
| labels | {labels} |
| texts | {columns} |
| data | {sizes} (fingerprint {data}) |
| test {metric} | {score:.4f} |
| method | {title}: {method} |
| sources | {sources} |
| learned in stage 2 | {parameters:,} parameters, and the head |
| seed, budget | {seed}, {budget}{shots} |

Texts are cut to {max_length} tokens ({truncation}). The score is that of one seed on the task's own test rows.

## Use

With {packages}, and nothing else:

```python
{lines}
```

`encoder` is an id on the hub, or a folder with the same encoder.{labels_note}
While it loads, adapters may warn that no adapter is active yet.
`scalearn predict FOLDER --file rows.csv --to out.csv` does the same for many rows.

Made by `{command}` at commit {commit}.
"""

LOAD = {
    "adapter": ["model.load_adapter(folder, use_safetensors=True, set_active=True)"],
    "fusion": [
        'for name in {sources}: model.load_adapter(f"{{folder}}/sources/{{name}}", use_safetensors=True)',
        'model.load_adapter_fusion(f"{{folder}}/fusion", use_safetensors=True, set_active=True)',
    ],
    "model": [],
}


def model_card(run: Run, task: Task, result: Result, about: About) -> str:
    """Return the card as Markdown."""
    method = get_method(run.method)
    sources = [*run.sources(), *(adapter.name for adapter in run.adapters)]
    choice = "The highest of the choices' scores is the answer."
    meaning = {
        "classification": "The highest of the scores is the label, in the order of the table.",
        "multi_label": "Each score above 0 is a label, in the order of the table.",
        "multiple_choice": choice,
        "regression": "What comes out is the score itself.",
    }
    return CARD.format(
        task=task.name,
        title=method.title,
        encoder=HUB.get(run.encoder, run.encoder),
        about=task.about,
        kind=task.kind.replace("_", " "),
        labels=", ".join(task.labels) or "numbers",
        columns=", ".join(about.columns),
        sizes=", ".join(f"{rows:,} {split}" for split, rows in result.sizes.items()),
        data=result.data,
        metric=result.metric,
        score=result.score,
        method=method.about,
        sources=", ".join(sources) or "none",
        parameters=result.transfer_parameters,
        seed=run.seed,
        budget=run.budget,
        shots="" if run.k is None else f", {run.k} training rows",
        max_length=task.max_length,
        truncation=task.truncation,
        packages=", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
        lines="\n".join(code(about)),
        labels_note=f" {meaning[task.kind]}",
        command=export_command(run),
        commit=(result.commit or "unknown")[:10],
    )


def code(about: About) -> list[str]:
    """The lines of Python that load an exported folder with adapters alone, and run it on one row."""
    where = 'f"{folder}/model"' if about.form == "model" else "encoder"
    texts = ["A text."] if len(about.columns) == 1 else ["A text.", "Another text."]
    rows = ", ".join(f'["{text}"]' for text in texts)
    after = "model.eval()(**batch).logits"
    if about.kind == "multiple_choice":
        n = len(about.labels)
        rows = f'["A text."] * {n}, {[f"Choice {i + 1}." for i in range(n)]}'
        after = "model.eval()(**{key: value[None] for key, value in batch.items()}).logits"
    load = [line.format(sources=list(about.sources)) if "{{" in line else line for line in LOAD[about.form]]
    options = f'truncation="{about.truncation}", max_length={about.max_length}, padding=True, return_tensors="pt"'
    return [
        "from adapters import AutoAdapterModel",
        "from transformers import AutoTokenizer",
        "",
        f'encoder, folder = "{HUB.get(about.encoder, about.encoder)}", "."',
        f"model = AutoAdapterModel.from_pretrained({where})",
        *load,
        f'model.active_head = "{about.task}"',
        f"batch = AutoTokenizer.from_pretrained(encoder)({rows}, {options})",
        f"print({after})",
    ]


def export_command(run: Run) -> str:
    """Return the command that exports a run, with all that tells it from others; files are named as they lie here."""
    suite = get_suite(run.suite)
    words = ["scalearn", "export", Path(suite.word).name, run.method, run.task, "--encoder", run.encoder]
    words += ["--budget", run.budget, "--seed", str(run.seed)]
    words += ["--k", str(run.k), "--sampling", run.sampling] if run.k is not None else []
    words += ["--sources", *run.source_tasks] if run.source_tasks is not None else []
    of_suite = suite.adapters if set(suite.adapters) <= set(run.adapters) else ()
    words += ["--no-adapters"] if suite.adapters and not of_suite and get_method(run.method).two_stage else []
    words += [f"--source={one.name}={one.folder}" for one in run.adapters if one not in of_suite]
    words += [f"--set={key}={value}" for key, value in run.overrides]
    return shlex.join(words)
