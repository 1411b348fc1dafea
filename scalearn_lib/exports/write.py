"""Writing what a run learned, so that `adapters` alone can use it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from adapters.composition import Fuse
from datasets import Dataset
from torch import nn

from ..errors import UserError
from ..methods import get_method
from ..runs.data import encoded, tokenizer_of
from ..runs.execution import execute, load_trained
from ..runs.result import new_folder
from ..runs.run import Run
from ..tasks import Task, get_task
from ..tasks.encoders import load_model
from ..tasks.encoding import collator
from .card import model_card
from .load import About, load_exported, write_about

CHECKED = 32
"""Test rows on which the written model is compared with the trained one."""

TOLERANCE = 1e-3
"""How far logits may differ: folding adds in another order."""


def export(run: Run, folder: Path, output: Path) -> float:
    """Write what a run learned for use without this package; the run is made first if need be.

    What is written is one adapter with its head where the method has an equal one (folded where it scales sources),
    AdapterFusion with its sources, or a whole fine-tuned model; with a model card (`README.md`) and `task.json`.

    Args:
        run: the run.
        folder: a new or empty folder.
        output: where results lie.

    Returns:
        The largest difference between the logits of the trained model and those of the written one, loaded again, on
        some test rows.

    Raises:
        UserError: the folder is not empty or cannot be written, or the method has no equal that adapters alone loads.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already and not empty; name a new folder.")
    result = execute(run, output, "weights")  # of the training whose weights are written
    task, model = get_task(run.suite, run.task), load_trained(run, output)
    rows = encoded(task, run.encoder)["test"]
    rows = rows.select(range(min(CHECKED, len(rows))))
    before = logits(model, task, run.encoder, rows)
    with new_folder(folder) as temporary:
        form, sources = _write(model, run, task, temporary)
        names = getattr(task, "names", task.columns)
        as_read = (task.kind, task.labels, names, task.max_length, task.truncation)
        about = About(task.name, *as_read, run.encoder, form, sources)
        write_about(temporary, about)
        (temporary / "README.md").write_text(model_card(run, task, result, about))
        difference = float((logits(load_exported(temporary), task, run.encoder, rows) - before).abs().max())
        if not difference <= TOLERANCE:
            raise UserError(
                f"{run} cannot be exported: written down, its logits differ by {difference:.2g} from those of the run."
            )
    return difference


@torch.inference_mode()
def logits(model: nn.Module, task: Task, encoder: str, rows: Dataset) -> torch.Tensor:
    """Return a model's outputs for encoded rows, `(rows, outputs)`, on the CPU."""
    columns = [name for name in rows.column_names if name in tokenizer_of(encoder).model_input_names]
    batch = collator(task, tokenizer_of(encoder))(list(rows.select_columns([*columns, "labels"])))
    batch.pop("labels")
    return model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits.cpu()


@torch.no_grad()
def _write(model: nn.Module, run: Run, task: Task, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Write weights and head; return the form, and the sources of a fusion."""
    method = get_method(run.method).learner()
    try:
        name = method.as_adapter(model, task)
    except ValueError as error:
        raise UserError(f"{run} cannot be exported: {str(error).rstrip('.')}.") from error
    if name is not None:
        _write_adapter(model, name, run, task, folder)
        return "adapter", ()
    active = model.active_adapters
    if isinstance(active, Fuse):
        sources = tuple(active.children)
        for source in sources:
            (folder / "sources" / source).mkdir(parents=True)
            model.save_adapter(str(folder / "sources" / source), source, with_head=False, use_safetensors=True)
        model.save_adapter_fusion(str(folder / "fusion"), active, with_head=task.name, use_safetensors=True)
        return "fusion", sources
    for head in list(model.heads):
        if head != task.name:
            model.delete_head(head)
    model.save_pretrained(folder / "model", safe_serialization=True)
    return "model", ()


def _write_adapter(model: nn.Module, name: str, run: Run, task: Task, folder: Path) -> None:
    """Write an adapter under the name of its task, as its head has it, by way of a model that knows nothing of ours."""
    plain = load_model(run.encoder)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_adapter(scratch, name, with_head=False, use_safetensors=True)
        model.save_head(scratch, task.name, use_safetensors=True)
        plain.load_adapter(scratch, load_as=task.name, with_head=False, use_safetensors=True)
        plain.load_head(scratch, use_safetensors=True)
    plain.save_adapter(str(folder), task.name, with_head=True, use_safetensors=True)
