"""What there is to work with: `scalearn fetch`, `tasks`, `check`, `methods` and `prefetch`."""

from __future__ import annotations

import argparse
import sys

from ..errors import UserError


def fetch(arguments: argparse.Namespace) -> None:
    from ..tasks.fetch import fetch, verify

    for line in verify() if arguments.verify else fetch(arguments.source):
        print(line)


def tasks(arguments: argparse.Namespace) -> None:
    from ..tasks import SUITES, get_suite

    for suite in [get_suite(arguments.suite)] if arguments.suite else SUITES.values():
        print(f"{suite.name}: {suite.about}")
        for task in suite.tasks:
            unit = {"multiple_choice": "choices", "multi_label": "labels"}.get(task.kind, "classes")
            labels = "regression" if task.kind == "regression" else f"{task.num_labels} {unit}"
            print(f"  {task.name:<14} {labels:<12} {task.metric:<10} {task.about}")


def check(arguments: argparse.Namespace) -> int:
    from ..tasks import get_suite
    from ..tasks.check import check_suite

    failed = False
    for line, problem in check_suite(get_suite(arguments.suite), arguments.encoder):
        print(line, file=sys.stderr if problem else sys.stdout, flush=True)
        failed |= problem
    return 1 if failed else 0


def methods(arguments: argparse.Namespace) -> None:
    from ..methods import METHODS

    for method in METHODS.values():
        stage = "on source adapters" if method.two_stage else "alone"
        print(f"{method.name:<25} {method.title:<28} {stage:<19} {method.about}")


def prefetch(arguments: argparse.Namespace) -> None:
    from ..tasks import repositories
    from ..tasks.encoders import encoder_repository
    from ..tasks.hub import prefetch

    wanted = repositories(arguments.suite)
    if arguments.encoder is not None:
        wanted.append(encoder_repository(arguments.encoder))
    if not wanted:
        raise UserError(
            f"The suite '{arguments.suite}' has nothing on the hub; name an --encoder to bring, or run "
            "`scalearn fetch` for the offline suite and MiniLM."
        )
    for line in prefetch(wanted, arguments.folder):
        print(line)
    print(f"Name the folder with --hub {arguments.folder} or SCALEARN_HUB={arguments.folder}.")
