"""Tables of stored results: `scalearn table`, `claims`, `findings` and `costs`."""

from __future__ import annotations

import argparse

from ..errors import UserError
from .printing import show_frame, show_markdown


def table(arguments: argparse.Namespace) -> None:
    from ..evidence import commands, comparison, table
    from ..tasks import get_suite

    suite, output = get_suite(arguments.suite).name, arguments.output
    where = (suite, arguments.encoder, arguments.budget, arguments.k, arguments.sampling)
    if arguments.markdown:
        show_markdown(table(output, *where).reset_index())
        return
    frame = comparison(output, *where)
    print(f"Test scores x 100 on {suite}, {arguments.encoder}, budget {arguments.budget}: mean ± std over seeds")
    shown = table(output, *where, paper=True)
    show_frame(shown)
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
    from ..evidence import claims, lines, source_tasks_compared, suite_results
    from ..tasks import get_suite

    where = (arguments.output, get_suite(arguments.suite).name)
    results = suite_results(*where, encoder=arguments.encoder, budget=arguments.budget)
    sources = source_tasks_compared(results)
    print("\n".join(lines(claims(*where, arguments.encoder, arguments.budget, sources))))
    if results.empty and len(others := suite_results(*where, encoder=arguments.encoder)):
        there = ", ".join(f"{count} in {budget}" for budget, count in others["budget"].value_counts().items())
        print(f"\nNo results in the budget {arguments.budget}, but {there}: name one with --budget.")


def findings(arguments: argparse.Namespace) -> None:
    from ..evidence import findings_page

    print(findings_page(arguments.output, arguments.encoder, arguments.budget), end="")


def costs(arguments: argparse.Namespace) -> None:
    from ..grids import cost_table, measured

    costs = measured(arguments.output)
    if arguments.csv is not None:
        try:
            costs.to_csv(arguments.csv, index=False)
        except OSError as error:
            raise UserError(f"Cannot write {arguments.csv}: {error.strerror or error}; name another file.") from error
    (show_markdown if arguments.markdown else show_frame)(cost_table(costs))
