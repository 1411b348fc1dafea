"""One run, or several of a method: `scalearn run`, `export`, `predict` and `show`."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError

if TYPE_CHECKING:
    from ..runs import Run


def _overrides(settings: list[str]) -> dict[str, object]:
    overrides, words = {}, {"true": True, "false": False}
    for setting in settings:
        key, _, text = setting.partition("=")
        try:
            overrides[key] = ast.literal_eval(text)
        except (SyntaxError, TypeError, ValueError):
            overrides[key] = words.get(text.lower(), text)
    return overrides


def _runs(arguments: argparse.Namespace, tasks: list[str], seeds: list[int]) -> list[Run]:
    """The runs that a command line names."""
    from ..runs import Run, source_tasks_at_hand
    from ..tasks import find_adapter, get_suite
    from ..tasks.names import wrong_name

    suite = get_suite(arguments.suite)
    adapters = () if arguments.no_adapters else None
    for word in arguments.adapters:
        name, _, folder = word.partition("=")
        reason = wrong_name(name)
        if reason or not folder:
            why = f" ({reason})" if reason and folder else ""
            raise UserError(f"--source takes NAME=FOLDER, such as squad=adapters/squad, got '{word}'{why}.")
        adapters = (*(suite.adapters if adapters is None else adapters), find_adapter(name, folder, Path()))
    runs = [
        Run(
            suite.name,
            task,
            arguments.method,
            arguments.encoder,
            seed,
            arguments.k,
            arguments.budget,
            _overrides(arguments.overrides),
            arguments.sampling,
            tuple(arguments.sources) if arguments.sources else None,
            adapters,
        )
        for task in tasks
        for seed in seeds
    ]
    return source_tasks_at_hand(runs) if arguments.sources is None else runs


def run(arguments: argparse.Namespace) -> None:
    from ..tasks import get_suite

    every = arguments.tasks == ["all"]
    tasks = [task.name for task in get_suite(arguments.suite).tasks] if every else arguments.tasks
    runs = _runs(arguments, tasks, arguments.seed)
    from ..runs import execute  # now that the words are known to be right: this imports torch
    from ..training.tracking import trackers

    trackers()  # before anything is trained

    for run in runs:
        result = execute(run, arguments.output)
        print(f"{run}")
        print(f"  test {result.metric} {result.score:.4f}, validation {result.validation[result.metric]:.4f}")
        print(f"  best at epoch {result.selected_epoch:.2f} (step {result.selected_step} of {result.steps})")
        print(f"  {result.transfer_parameters:,} transfer parameters, {result.seconds['total']:.0f} s")
        print(f"  {run.folder(arguments.output) / 'result.json'}", flush=True)


def export(arguments: argparse.Namespace) -> None:
    (run,) = _runs(arguments, [arguments.task], [arguments.seed])
    from ..exports import export

    difference = export(run, arguments.folder, arguments.output)
    print(f"{run}\n  written to {arguments.folder}; loaded again, its logits differ by {difference:.1e} at most")
    print(f"  {arguments.folder / 'README.md'} says how to load it with adapters alone")


def predict(arguments: argparse.Namespace) -> None:
    if bool(arguments.text) == bool(arguments.file) or bool(arguments.file) != bool(arguments.to):
        raise UserError("Name either --file and --to, or --text.")
    from ..exports import predict, predict_file

    if arguments.text:
        for name, value in predict(arguments.folder, arguments.text, arguments.encoder).iloc[0].items():
            print(f"{name}: {value if isinstance(value, str) else f'{value:.4f}'}")
        return
    rows = predict_file(arguments.folder, arguments.file, arguments.to, arguments.encoder)
    print(f"{rows:,} rows with predictions in {arguments.to}")


def show(arguments: argparse.Namespace) -> None:
    (run,) = _runs(arguments, [arguments.task], [arguments.seed])
    from ..evidence import save_omega

    for file in save_omega(run, arguments.output, arguments.folder):
        print(file)
