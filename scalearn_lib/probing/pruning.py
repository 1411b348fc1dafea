"""Leaving sources out of a trained ScaLearn run: only those that count most are kept, folded and scored.

The folded adapter of few sources is narrower, so inference is faster; a short repair lets the kept ω and the head
learn on.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
import transformers
from datasets import Dataset, DatasetDict
from torch import nn
from transformers import Trainer

from ..composition import ScaLearn, ScaLearnConfig, fold
from ..composition.reading import transfer_layers
from ..composition.stacking import projections
from ..errors import UserError
from ..methods import get_method
from ..methods.fusion import ScaLearn as ScaLearnLearner
from ..paths import output_dir, reference_dir
from ..runs.data import at_most, splits_of, tokenizer_of
from ..runs.execution import execute, load_trained, stored_results
from ..runs.locks import sole_maker
from ..runs.result import Result, fingerprint
from ..runs.run import Run
from ..runs.versions import BEARING, code_label, code_version
from ..tasks import Task, get_task
from ..tasks.encoding import collator
from ..training.single import Diverged, KeepBest, by_length, check_precision, test_scores, train, training_arguments
from .pruning_store import REPAIR_STEPS, TYPES, pruned_file, read_pruned, write_pruned
from .source_sizes import source_sizes

ROWS = 64
"""Training rows that sources are measured on, at most."""

PRUNING = (*BEARING, "probing/pruning.py", "probing/source_sizes.py")
"""The sources that bear on these scores."""


def prune(
    run: Run, kept: Sequence[int] = (1, 2, 4), repair_steps: int = REPAIR_STEPS, output: Path | None = None
) -> pd.DataFrame:
    """Return a run's scores with only its largest sources, and with all: stored ones, or made now and stored.

    Scores are those of the folded adapter, in the run's own precision, as it is and after a repair: ω of the kept
    sources and the head learn on with the run's settings, and validation chooses among the states after that.

    Args:
        run: of ScaLearn or a variant of it; it is executed first if need be.
        kept: how many sources to keep, largest first; all are kept besides.
        repair_steps: steps of a repair at most; it has no more than the run itself may have.
        output: where results lie, by default `output_dir()`.

    Returns:
        A row per number of sources, without and with repair; columns as `pruning_store.TYPES` says. Scores have the
        range of the task's metric.

    Raises:
        UserError: the method has no ω, or its sources cannot be folded; a number is no whole one of at least 1; a
            repair diverged; or as `execute` (`RunFailed` among them).
    """
    output, method = output or output_dir(), get_method(run.method)
    if not isinstance(method.learner(), ScaLearnLearner):
        raise UserError(
            f"Sources are left out of ScaLearn and its variants, which fold; {method.title} is none of them."
        )
    for number in (*kept, repair_steps):
        if type(number) is not int or number < 1:
            raise UserError(f"Sources kept and steps of repair are whole numbers of at least 1, got {number!r}.")
    file = pruned_file(output, run, repair_steps)
    stored = _stored(run, repair_steps, output)
    if _lacking(stored, kept):
        with sole_maker(file):
            result = execute(run, output, "weights")
            stored = _stored(run, repair_steps, output)  # another process may have made it meanwhile
            if _lacking(stored, kept):
                there = set() if stored is None else {*stored["kept"]}
                try:
                    rows = _rows(run, result, kept, repair_steps, there, output)
                except Diverged as error:
                    raise UserError(f"{run} cannot be scored with fewer sources: {error}.") from error
                made = pd.DataFrame(rows)[[*TYPES]].astype(TYPES)
                write_pruned(pd.concat([stored, made]), file)  # the first may be None
                stored = read_pruned(file, repair_steps)
    return stored[stored["kept"].isin(_counts(kept, stored["of"].iloc[0]))].reset_index(drop=True)


def _stored(run: Run, repair_steps: int, output: Path) -> pd.DataFrame | None:
    """The stored table of a run as it is now, one's own or the reference study's, with repairs of so many steps."""
    weights = [fingerprint(result.files) for result in stored_results([run], output)]
    for place in filter(None, (output, reference_dir())):
        table = read_pruned(pruned_file(place, run, repair_steps), repair_steps)
        if table is not None and (not weights or (table["weights"] == weights[0]).all()):
            return table
    return None


def _lacking(stored: pd.DataFrame | None, kept: Sequence[int]) -> bool:
    return stored is None or not set(_counts(kept, stored["of"].iloc[0])) <= {*stored["kept"]}


def _counts(kept: Sequence[int], every: int) -> list[int]:
    """How many sources are kept, in ascending order: those numbers that there are, and all."""
    return sorted({min(count, every) for count in kept} | {every})


@torch.inference_mode(False)
@torch.enable_grad()  # a repair learns, wherever this is called
def _rows(
    run: Run, result: Result, kept: Sequence[int], repair_steps: int, there: set[int], output: Path
) -> list[dict[str, object]]:
    """The rows for these numbers of sources and all, but for those that are `there`."""
    transformers.utils.logging.set_verbosity_error()
    task = get_task(run.suite, run.task)
    check_precision(run.settings())
    data, _ = splits_of(run, task)
    model = _foldable(run, task, output)
    few = at_most(data["train"], ROWS)
    ranking = [*source_sizes(model, model.active_adapters, task, tokenizer_of(run.encoder), few).index]
    about = {key: getattr(run, key) for key in "suite task method encoder seed k budget sampling".split()}
    about |= {"source_tasks": " ".join(run.source_tasks or ()), "of": len(ranking), "repair_steps": repair_steps}
    about |= {"adapters": " ".join(adapter.name for adapter in run.adapters)}
    about |= {"code": code_label(code_version(PRUNING), [result.code, *result.source_code])}
    about |= {"weights": fingerprint(result.files)}
    rows = []
    for count in sorted({*_counts(kept, len(ranking))} - there):
        for repaired in (False, True):
            started, steps = time.perf_counter(), 0
            model = _foldable(run, task, output)  # anew: a repair changes the head, too
            block = model.active_adapters
            if repaired:
                block, steps = _repair(model, block, ranking[:count], run, task, data, repair_steps)
            name = f"{block.name}_{count}"
            fold(model, block, name, sources=ranking[:count])
            model.set_active_adapters(name)
            scores = _scores(model, run, task, {split: data[split] for split in ("test", "validation")})
            row = {"kept": count, "repaired": repaired, "score": scores["test"], "validation": scores["validation"]}
            row |= {"width": _width(model, block, name), "steps": steps, "sources": " ".join(ranking[:count])}
            rows.append(about | row | {"seconds": round(time.perf_counter() - started, 1)})
    return rows


def _foldable(run: Run, task: Task, output: Path) -> nn.Module:
    """The trained model; where a map is part of a source's output (low rank), it is written into the source."""
    model, method = load_trained(run, output), get_method(run.method).learner(official=run.settings().official)
    try:
        method.as_adapter(model, task)
    except ValueError as error:
        raise UserError(f"{run} cannot keep fewer sources: {str(error).rstrip('.')}.") from error
    return model


def kept_block(model: nn.Module, block: ScaLearn, names: Iterable[str]) -> ScaLearn:
    """Replace a model's block by one over some of its sources, in their order, and return that, active.

    Its ω are the rows that the sources have in the old one. Where a constraint goes over the sources, the same rows
    give other coefficients.
    """
    old = {(module, layer.kind): layer for _, module, layer in transfer_layers(model, block)}
    config = ScaLearnConfig.load(next(iter(old.values())).config, start=None)  # for all sources; replaced below
    names = set(names)
    few = [row for row, source in enumerate(block.sources) if source in names]
    setup = ScaLearn(*(block.sources[row] for row in few), name=f"{block.name}_kept")
    model.add_adapter_fusion(setup, config, set_active=True)
    with torch.no_grad():
        for _, module, layer in transfer_layers(model, setup):
            layer.owner.omega.copy_(old[module, layer.kind].owner.omega[few])
    model.delete_adapter_fusion(block)
    return setup


def _repair(
    model: nn.Module, block: ScaLearn, names: Iterable[str], run: Run, task: Task, data: DatasetDict, steps: int
) -> tuple[ScaLearn, int]:
    """Let ω of the kept sources and the head learn on; return the new block, and how many steps were made.

    Maps of low rank stay as they were learned.
    """
    settings = run.settings()
    method = get_method(run.method).learner(official=settings.official)
    budget = replace(settings, max_steps=min(steps, settings.max_steps))
    setup = kept_block(model, block, names)
    model.train_adapter_fusion(setup)
    method.activate(model, task)
    learned_from = DatasetDict({split: data[split] for split in {"train", budget.select_on}})  # scored when folded
    title = f"{run}, {len(setup.sources)} kept"
    outcome = train(model, method, task, learned_from, tokenizer_of(run.encoder), budget, run.seed, title)
    return setup, outcome.steps


def _scores(model: nn.Module, run: Run, task: Task, splits: dict[str, Dataset]) -> dict[str, float]:
    """The primary metric on each split, predicted as a run's own test is: same precision, batches and order."""
    budget = replace(run.settings(), group_by_length=False)  # rows are sorted by length already, and stay so
    with tempfile.TemporaryDirectory() as scratch:
        arguments = training_arguments(scratch, budget, 1, 1, run.seed, KeepBest("eval_loss", False))
        collate = collator(task, tokenizer_of(run.encoder))
        trainer = Trainer(model, arguments, collate, eval_dataset=splits["validation"])  # it insists on one
        return {split: test_scores(trainer, task, by_length(rows), "")[task.metric] for split, rows in splits.items()}


def _width(model: nn.Module, block: ScaLearn, name: str) -> int:
    """The width (of LoRAs, the rank) of the folded adapter, in the place where it is widest."""
    places = [module.adapter_modules for _, module, _ in transfer_layers(model, block)]
    return max(projections(place[name]).up.shape[1] for place in places if name in place)
