"""Carrying out a run: read its result if it is there, else make it, with the source adapters that it needs."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from ..errors import UserError, say_once
from ..methods import check_adapters, get_method
from ..paths import output_dir, reference_dir
from ..tasks import find_adapter, get_task
from ..tasks.encoders import load_model
from ..training.parallel import agreed, is_first
from .locks import sole_maker
from .making import make
from .random_sources import random_sources
from .reference import Need, reference_result
from .result import (
    Failure,
    Result,
    check_encoder,
    check_files,
    fingerprint,
    read_result,
    source_versions,
)
from .run import Run, RunFailed

# adapters tells of every head and block that is overwritten and of every activation; runs do both all the time.
logging.getLogger("adapters").setLevel(logging.ERROR)


def execute(run: Run, output: Path | None = None, need: Need = "scores") -> Result:
    """Return the result of `run`: the stored one if it is complete, or that of the reference study, else one made now.

    Args:
        run: what to do.
        output: where results lie, by default `output_dir()`.
        need: what has to be there; the reference study has only scores of most runs.

    Raises:
        RunFailed: the loss was NaN or infinite; the failure is stored beside the other results.
        UserError: data, encoder or output folder are not as they must be.
    """
    output = output or output_dir()
    folder = run.folder(output)
    result = agreed(lambda: _stored(run, folder) or reference_result(run, need))
    if result is None:
        _check_own(run, folder)
        made = {task: execute(source, output, "adapter") for task, source in run.sources().items()}
        with sole_maker(folder) if is_first() else nullcontext():
            result = agreed(lambda: _stored(run, folder, say=True))  # another process may have made it meanwhile
            if result is None:
                result = make(run, folder, source_folders(run, output), source_versions(made))
    return result.of_task(run.task)


def weights_of(run: Run, output: Path) -> Path:
    """Folder of what a complete run learned: below `output`, or in the reference study."""
    if _stored(run, run.folder(output)) is None and reference_result(run, "adapter") is not None:
        return run.weights(reference_dir())
    return run.weights(output)


def source_folders(run: Run, output: Path) -> dict[str, Path]:
    """Folder of each source adapter in the order of ω's rows: those of stage 1, from elsewhere, and random ones."""
    folders = {name: weights_of(source, output) for name, source in run.sources().items()}
    folders |= {adapter.name: Path(adapter.folder) for adapter in run.adapters}
    if count := run.settings().random_sources:
        others = [folder for name, folder in folders.items() if name != run.task]  # its own may be of k examples
        folders |= random_sources([*others, *folders.values()][0], count, output / "random_sources")
    return folders


def _check_own(run: Run, folder: Path) -> None:
    """Check what a user gave before anything is trained on it, and say if it is new.

    Raises:
        UserError: an adapter does not fit; or data or adapters are no longer those that the run was named for.
    """
    if run.content != run.content_now():
        raise UserError(f"The data of {run} have changed since it was asked for; ask for it again.")
    for adapter in run.adapters:
        if find_adapter(adapter.name, adapter.folder, Path()) != adapter:
            raise UserError(f"{adapter.folder} has changed since {run} was asked for; ask for it again.")
    if run.adapters:
        # There one adapter stands for those of stage 1, under this name: the target's own, for methods that ask for it.
        task = replace(get_task(run.suite, run.task), name="of stage 1")
        check_adapters(run.method, run.encoder, task, run.adapters)
    for task in run.reads():
        if task.content:
            task.load()  # a mistake in the last of them is told before the first is trained on
    earlier = [other for other in folder.parent.parent.glob("*@*/seed*") if run.content and run.is_earlier(other)]
    if earlier and is_first():
        say_once(f"The data of {run} have changed: it is made anew, and what was made before stays in {earlier[0]}.")


def _stored(run: Run, folder: Path, say: bool = False) -> Result | None:
    """The complete result in a folder, or `None`; `say` tells of damage, or that its budget is no longer what it was.

    Raises:
        UserError: it is the result of another encoder, whose name gives the same folder.
    """
    try:
        result = read_result(folder)
        if result is None or isinstance(result, Failure):
            return None
        check_files(folder, result)
        if result.settings != run.settings():
            raise ValueError(f"{folder} was made when the budget '{run.budget}' had other settings")
    except ValueError as damage:
        if say:
            tqdm.write(f"Made again: {damage}.", file=sys.stderr)
        return None
    check_encoder(run, folder, result)
    return result


def stored_results(runs: Iterable[Run], output: Path | None = None) -> list[Result]:
    """Return the results of those runs that are complete, here or in the reference study; none is made."""
    place = output or output_dir()
    found = [_stored(run, run.folder(place)) or reference_result(run) for run in runs]
    return [result for result in found if result is not None]


def execute_all(runs: Iterable[Run], output: Path | None = None, need: Need = "scores") -> list[Result]:
    """Execute many runs, with a progress bar over all of them; failed runs are reported and left out.

    Source adapters come first, so that the bar counts every run once. Stored results of another version of the code
    are kept; where versions differ, a line says so.

    Args:
        runs, output: what to do, and where results lie.
        need: what has to be there of each run (see `execute`).
    """
    wanted = list(dict.fromkeys(runs))
    every = list(dict.fromkeys([source for run in wanted for source in run.sources().values()] + wanted))
    results = {}
    gc.collect()
    gc.freeze()  # each run ends in a search for garbage, which need not go through all imported modules again
    try:
        for run in tqdm(every, desc="runs", unit="run", disable=None):
            lacking = [str(source) for source in run.sources().values() if source not in results]
            if lacking:
                tqdm.write(f"{run} is left out: {lacking[0]} failed, on which it builds.", file=sys.stderr)
                continue
            try:
                results[run] = execute(run, output, need if run in wanted else "scores")
            except RunFailed as error:
                tqdm.write(str(error), file=sys.stderr)
    finally:
        gc.unfreeze()
    made_by = sorted({result.code_label for result in results.values()})
    if len(made_by) > 1:
        tqdm.write(
            f"These results were made by different code ({', '.join(made_by)}), so differences between them may have "
            "other causes than the methods; another output folder gets results of one version.",
            file=sys.stderr,
        )
    return [results[run] for run in wanted if run in results]


@torch.inference_mode(False)  # else the shared encoder would be of tensors that never learn again
def load_trained(run: Run, output: Path | None = None) -> nn.Module:
    """Return the trained model of `run`, in evaluation mode; the run is executed first if need be.

    Raises:
        RunFailed, UserError: as `execute`; or a source adapter is not the one that the run was made with.
    """
    output = output or output_dir()
    result = execute(run, output, "weights")
    for name, source in run.sources().items():
        if fingerprint(execute(source, output, "adapter").files) != result.source_weights[name]:
            raise UserError(
                f"{run} was made with another source adapter '{name}' than the one in {weights_of(source, output)}; "
                f"remove {run.folder(output)} to make it again."
            )
    method, tasks = get_method(run.method).learner(official=run.settings().official), run.tasks()
    model = load_model(run.encoder)
    method.prepare(model, tasks, source_folders(run, output))
    method.load(model, tasks, weights_of(run, output))
    method.activate(model, get_task(run.suite, run.task))
    return model.eval()
