"""What each command of `scalearn` does, from its parsed arguments."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .errors import UserError
from .paths import output_dir

if TYPE_CHECKING:
    from .runs import Run

FOLLOW_SECONDS = 10
"""How often `scalearn status --follow` looks."""


def _show(frame: pd.DataFrame) -> None:
    with pd.option_context("display.width", None, "display.max_columns", None, "display.max_colwidth", None):
        print(frame.to_string())


def _show_markdown(frame: pd.DataFrame) -> None:
    rows = [[*frame.columns], ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


# Each command imports what it needs: torch and the trainers take seconds, and `scalearn --help` should not.


def fetch(arguments: argparse.Namespace) -> None:
    from .tasks.fetch import fetch, verify

    for line in verify() if arguments.verify else fetch(arguments.source):
        print(line)


def tasks(arguments: argparse.Namespace) -> None:
    from .tasks import SUITES, get_suite

    for suite in [get_suite(arguments.suite)] if arguments.suite else SUITES.values():
        print(f"{suite.name}: {suite.about}")
        for task in suite.tasks:
            unit = {"multiple_choice": "choices", "multi_label": "labels"}.get(task.kind, "classes")
            labels = "regression" if task.kind == "regression" else f"{task.num_labels} {unit}"
            print(f"  {task.name:<14} {labels:<12} {task.metric:<10} {task.about}")


def check(arguments: argparse.Namespace) -> int:
    from .tasks import get_suite
    from .tasks.check import check_suite

    failed = False
    for line, problem in check_suite(get_suite(arguments.suite), arguments.encoder):
        print(line, file=sys.stderr if problem else sys.stdout, flush=True)
        failed |= problem
    return 1 if failed else 0


def methods(arguments: argparse.Namespace) -> None:
    from .methods import METHODS

    for method in METHODS.values():
        stage = "on source adapters" if method.two_stage else "alone"
        print(f"{method.name:<25} {method.title:<28} {stage:<19} {method.about}")


def _overrides(settings: list[str]) -> dict[str, object]:
    overrides, words = {}, {"true": True, "false": False}
    for setting in settings:
        key, _, text = setting.partition("=")
        try:
            overrides[key] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            overrides[key] = words.get(text.lower(), text)
    return overrides


def prefetch(arguments: argparse.Namespace) -> None:
    from .tasks import repositories
    from .tasks.encoders import encoder_repository
    from .tasks.hub import prefetch

    wanted = repositories(arguments.suite)
    if not wanted:
        raise UserError(
            f"The suite '{arguments.suite}' has nothing on the hub; `scalearn fetch` brings the offline one."
        )
    if arguments.encoder is not None:
        wanted.append(encoder_repository(arguments.encoder))
    for line in prefetch(wanted, arguments.folder):
        print(line)
    print(f"Name the folder with --hub {arguments.folder} or SCALEARN_HUB={arguments.folder}.")


def _runs(arguments: argparse.Namespace, tasks: list[str], seeds: list[int]) -> list[Run]:
    """The runs that a command line names."""
    from .runs import Run, source_tasks_at_hand
    from .tasks import find_adapter, get_suite
    from .tasks.names import wrong_name

    suite, adapters = get_suite(arguments.suite), None
    if tasks == ["all"]:
        tasks = [task.name for task in suite.tasks]
    for word in arguments.adapters:
        name, _, folder = word.partition("=")
        reason = wrong_name(name)
        if reason or not folder:
            why = f" ({reason})" if reason and folder else ""
            raise UserError(f"--source takes NAME=FOLDER, such as mnli=adapters/mnli, got '{word}'{why}.")
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
    runs = _runs(arguments, arguments.tasks, arguments.seed)
    from .runs import execute  # now that the words are known to be right: this imports torch
    from .training.tracking import trackers

    trackers()  # before anything is trained

    output = arguments.output or output_dir()
    for run in runs:
        result = execute(run, output)
        print(f"{run}")
        print(f"  test {result.metric} {result.score:.4f}, validation {result.validation[result.metric]:.4f}")
        print(f"  best at epoch {result.selected_epoch:.2f} (step {result.selected_step} of {result.steps})")
        print(f"  {result.transfer_parameters:,} transfer parameters, {result.seconds['total']:.0f} s")
        print(f"  {run.folder(output) / 'result.json'}", flush=True)


def export(arguments: argparse.Namespace) -> None:
    (run,) = _runs(arguments, [arguments.task], [arguments.seed])
    from .exports import export

    difference = export(run, arguments.folder, arguments.output or output_dir())
    print(f"{run}\n  written to {arguments.folder}; loaded again, its logits differ by {difference:.1e} at most")
    print(f"  {arguments.folder / 'README.md'} says how to load it with adapters alone")


def predict(arguments: argparse.Namespace) -> None:
    if bool(arguments.text) == bool(arguments.file) or bool(arguments.file) != bool(arguments.to):
        raise UserError("Name either --file and --to, or --text.")
    from .exports import predict, predict_file

    if arguments.text:
        for name, value in predict(arguments.folder, arguments.text, arguments.encoder).iloc[0].items():
            print(f"{name}: {value if isinstance(value, str) else f'{value:.4f}'}")
        return
    rows = predict_file(arguments.folder, arguments.file, arguments.to, arguments.encoder)
    print(f"{rows:,} rows with predictions in {arguments.to}")


def show(arguments: argparse.Namespace) -> None:
    (run,) = _runs(arguments, [arguments.task], [arguments.seed])
    from .evidence import save_omega

    for file in save_omega(run, arguments.output or output_dir(), arguments.folder):
        print(file)


def table(arguments: argparse.Namespace) -> None:
    from .evidence import commands, comparison, table
    from .tasks import get_suite

    suite, output = get_suite(arguments.suite).name, arguments.output or output_dir()
    where = (suite, arguments.encoder, arguments.budget, arguments.k, arguments.sampling)
    if arguments.markdown:
        _show_markdown(table(output, *where).reset_index())
        return
    frame = comparison(output, *where)
    print(f"Test scores x 100 on {suite}, {arguments.encoder}, budget {arguments.budget}: mean ± std over seeds")
    shown = table(output, *where, paper=True)
    _show(shown)
    if "versions" in shown:
        print(
            "These results were made by different code or from different data (versions), so differences between them "
            "may have other causes than the methods."
        )
    if frame["paper"].notna().any() and frame["difference"].isna().all():
        print("The encoder is not the paper's, so no differences are given.")
    print("\nCommand of each row:")
    for title, line in commands(frame).items():
        print(f"  {title}:\n    " + line.replace("; ", "\n    "))


def claims(arguments: argparse.Namespace) -> None:
    from .evidence import claims, lines, source_tasks_compared, suite_results
    from .tasks import get_suite

    where = (arguments.output or output_dir(), get_suite(arguments.suite).name)
    results = suite_results(*where, encoder=arguments.encoder, budget=arguments.budget)
    sources = source_tasks_compared(results)
    print("\n".join(lines(claims(*where, arguments.encoder, arguments.budget, sources))))


def findings(arguments: argparse.Namespace) -> None:
    from .evidence import findings_page

    print(findings_page(arguments.output or output_dir(), arguments.encoder, arguments.budget), end="")


def grid(arguments: argparse.Namespace) -> int:
    from .grids import read_study, run_grid

    if arguments.hub is not None:
        os.environ["SCALEARN_HUB"] = str(arguments.hub.resolve())  # jobs work elsewhere
    if arguments.report_to:
        from .training.tracking import trackers

        trackers()  # before any job starts
    study = read_study(arguments.study)
    output = arguments.output or output_dir()
    done = run_grid(study, output, arguments.jobs, arguments.executor, arguments.profile, arguments.dry_run)
    return 0 if done else 1


def status(arguments: argparse.Namespace) -> None:
    from .grids import read_study, status

    study, output = read_study(arguments.study), arguments.output or output_dir()
    while True:
        complete, lines = status(study, output)
        if arguments.follow and sys.stdout.isatty():
            print("\033[2J\033[H", end="")  # clear the screen, and go to its top
        print("\n".join(lines), flush=True)
        if complete or not arguments.follow:
            return
        time.sleep(FOLLOW_SECONDS)


def keep(arguments: argparse.Namespace) -> None:
    from .grids import all_items, read_study
    from .notebook import notebook_looks_at, notebook_runs
    from .probing.pairs import Probe
    from .probing.pruning_store import keep_pruned
    from .probing.store import keep_pairs
    from .runs import Run
    from .runs.reference import keep, reference_result

    items = all_items(read_study(arguments.study))
    # The notebooks find there the runs whose coefficients they show, and the source adapters of these and of all that
    # they make; of other runs they read scores.
    shown = [run for notebook in _notebooks() for run in notebook_runs(notebook)]
    looked_at = {run for notebook in _notebooks() for run in notebook_looks_at(notebook)}
    made = [run for run in shown if run not in items and reference_result(run) is None]
    sources = {source for run in [*made, *looked_at] for source in run.sources().values()}
    output = arguments.output or output_dir()
    reference = arguments.to or output_dir() / "reference"
    runs = [item for item in items if isinstance(item, Run)]
    lines = keep(runs, output, reference, sources, looked_at) + keep_pruned(runs, output, reference)
    for probe in (item for item in items if isinstance(item, Probe)):
        if probe.file(output).exists():
            lines.append(str(keep_pairs(probe.file(output), probe.file(reference))))
    print("\n".join(lines or [f"Nothing of {arguments.study} is complete in {output}."]))


def costs(arguments: argparse.Namespace) -> None:
    from .grids import cost_table, measured

    costs = measured(arguments.output or output_dir())
    if arguments.csv is not None:
        try:
            costs.to_csv(arguments.csv, index=False)
        except OSError as error:
            raise UserError(f"Cannot write {arguments.csv}: {error.strerror or error}; name another file.") from error
    (_show_markdown if arguments.markdown else _show)(cost_table(costs))


def _notebooks() -> list[Path]:
    notebooks = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("0*.ipynb"))
    if not notebooks:
        raise UserError("The notebooks are not beside the package: run `scalearn` from a clone of the repository.")
    return notebooks


def demo(arguments: argparse.Namespace) -> None:
    from .evidence import claims, counted, table
    from .notebook import execute_notebook, notebook_runs
    from .runs import execute_all

    started = time.perf_counter()
    output = (arguments.output or output_dir()).resolve()
    notebooks = _notebooks()
    # One process for all runs: it shares the encoded texts, and its progress bars are seen; the notebooks then read.
    execute_all([run for notebook in notebooks for run in notebook_runs(notebook)], output)
    for number, notebook in enumerate(notebooks, 1):
        executed = output / "notebooks" / notebook.name
        print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
        seconds = execute_notebook(notebook, executed, {"OUTPUT": str(output)})
        print(f"      {f'{seconds:.0f} s' if seconds else 'already executed'}: {executed}", flush=True)
    print("\nTest scores x 100 from 32 examples of the target, made here in the budget quick:\n")
    _show(table(output, "offline", "minilm", "quick", 32))
    verdicts = claims(output, "offline", "minilm", "converged")
    print("\nThe reference study (notebook 05, scalearn claims offline):\n")
    for family, asked in verdicts.groupby("family", sort=False):
        print(f"  of {family}, {counted(asked['verdict'])}")
    print(f"\nExecuted notebooks: {output / 'notebooks'}\nFigures:            {output / 'figures'}")
    print(f"Wall time:          {time.perf_counter() - started:.0f} s")
