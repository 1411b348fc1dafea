"""Making a run's result: encoder, method and data are put together, what learns is trained, and all of it is stored."""

from __future__ import annotations

import resource
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
import transformers
from datasets import DatasetDict

from ..methods import get_method, trainable_parameters, transfer_parameters
from ..tasks.encoders import load_model
from ..training.joint import train_jointly
from ..training.parallel import agreed, is_first, processes
from ..training.searched import search_and_train
from ..training.single import Diverged, check_precision, train
from .data import data_version_of, splits_of, tokenizer_of
from .result import Failure, Result, Scores, checksums, new_folder, read_result, write_result
from .run import WEIGHTS, Run, RunFailed
from .versions import code_version, method_version, provenance


@torch.inference_mode(False)
@torch.enable_grad()  # whoever asks for a result within `torch.no_grad()` may be the first to ask
def make(run: Run, folder: Path, sources: dict[str, Path], versions: dict[str, object]) -> Result:
    """Train and test what a run asks for, store the result in `folder` and return it.

    Args:
        run: what to do.
        folder: where its result belongs.
        sources: folder of each source adapter, in the order of ω's rows.
        versions: what the result tells of these (see `source_versions`).

    Raises:
        RunFailed: the loss was NaN or infinite; that is stored.
        UserError: the precision needs a GPU, or the place cannot be written.
    """
    started = time.perf_counter()
    transformers.utils.logging.set_verbosity_error()
    tasks, budget = run.tasks(), run.settings()
    method = get_method(run.method).learner(official=budget.official)
    check_precision(budget)
    code = {"code": code_version(), "method_code": method_version(run.method)}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with new_folder(folder) if is_first() else nullcontext() as temporary:
        data, drawn = zip(*(splits_of(run, task) for task in tasks), strict=True)
        transformers.set_seed(run.seed)
        model = load_model(run.encoder)
        method.prepare(model, tasks, sources)
        about = provenance() | versions | code | {"settings": budget, "few_shot": drawn[0]}
        about |= {
            "transfer_parameters": transfer_parameters(model),
            "trainable_parameters": trainable_parameters(model),
        }
        about |= {"device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}
        about |= {"threads": torch.get_num_threads(), "processes": processes()}
        read = [
            {"sizes": _sizes(rows), "data": data_version_of(t, run.encoder)}
            for t, rows in zip(tasks, data, strict=True)
        ]
        try:
            common = (tokenizer_of(run.encoder), budget, run.seed, str(run))
            if method.joint:
                by_name = {task.name: splits for task, splits in zip(tasks, data, strict=True)}
                outcome, by_task = train_jointly(model, method, tasks, by_name, *common)
                scores = zip(by_task.items(), read, strict=True)
                about |= {"metric": "mean_metric", "tasks": {name: Scores(**s, **r) for (name, s), r in scores}}
            else:
                learn = search_and_train if method.searched else train
                outcome = learn(model, method, tasks[0], data[0], *common)
                about |= {"metric": tasks[0].metric}
        except Diverged as error:
            result = Failure(run=run, error=str(error), **code)
        else:
            if is_first():
                method.save(model, tasks, temporary / WEIGHTS)
            about |= read[0] | asdict(outcome) | {"peak_memory_mib": _peak_memory()}
            about["seconds"] |= {"total": round(time.perf_counter() - started, 3)}
            result = Result(run=run, files=checksums(temporary / WEIGHTS) if is_first() else {}, **about)
        if is_first():
            write_result(temporary, result)
    if isinstance(result, Failure):
        raise RunFailed(f"{run} failed: {result.error}; see {folder}, and try a smaller learning rate.")
    return agreed(lambda: read_result(folder))


def _sizes(splits: DatasetDict) -> dict[str, int]:
    return {split: len(rows) for split, rows in splits.items()}


def _peak_memory() -> float:
    """Peak MiB of the GPU during this run, or on the CPU of this process so far."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
