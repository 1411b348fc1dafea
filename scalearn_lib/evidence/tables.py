"""Tables from stored results, with the published scores beside them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..errors import UserError, say_once
from ..methods import METHODS, get_method
from ..runs.run import paper_seeds
from ..tasks import get_suite
from .paper import published, same_encoder
from .results import load_results

SETUP = ["method", "source_tasks", "adapters"]
"""What a row of a table has in common: columns of results."""


def suite_results(output: Path, suite: str, **where: object) -> pd.DataFrame:
    """Return the results of a suite as `load_results` does, with what its tasks' home suites share with it.

    Methods stand in the order of `METHODS`, tasks in that of the suite.

    A single-task method does the same in every suite that a task belongs to: its run is stored in the task's home.

    Args:
        output: the folder of results.
        suite: name of the suite.
        **where: further fields to select by; `encoder`, `budget`, `sampling`, `k` (`None`: the whole training split).
    """
    results = load_results(output, **where)
    old = results["outdated"].astype(bool)
    if count := (old & (results["suite"] == suite)).sum():
        say_once(f"{count} results of '{suite}' are left out: they were made from other data or settings.")
    results = results[~old]
    homes = {(task.suite, task.name) for task in get_suite(suite).tasks}
    alone = [
        (home, task) in homes and not (METHODS[method].two_stage or METHODS[method].joint)
        for home, task, method in zip(results["suite"], results["task"], results["method"], strict=True)
    ]
    results = results[(results["suite"] == suite) | pd.Series(alone, results.index, dtype=bool)]
    order = {"method": list(METHODS), "task": [task.name for task in get_suite(suite).tasks]}
    return results.sort_values(
        ["method", "task"], key=lambda names: names.map(order[names.name].index), ignore_index=True
    )


def _two_stage(results: pd.DataFrame) -> pd.Series:
    return results["method"].map(lambda name: get_method(name).two_stage).astype(bool)


def source_tasks_compared(results: pd.DataFrame) -> str:
    """Source tasks of the two-stage results that a comparison should be about, with blanks between.

    All of the suite ("") where some results have them, otherwise those that most results have.
    """
    return _compared(results.loc[_two_stage(results), "source_tasks"])


def _compared(values: pd.Series) -> str:
    """The plain one ("") where some have it, otherwise the one that most have."""
    counts = values.value_counts()
    return "" if counts.empty or "" in counts else str(counts.idxmax())


def with_source_tasks(results: pd.DataFrame, source_tasks: str) -> pd.DataFrame:
    """The two-stage results that have these source tasks, the joint ones of these or all tasks, and all others.

    Of the two-stage results those without adapters from elsewhere, or, where all have some, with those of the most. Of
    a joint method those of all tasks only where it has none of these: they are other runs, which nothing may average.
    """
    two_stage, these = _two_stage(results), results["source_tasks"] == source_tasks
    otherwise = ~two_stage & (results["source_tasks"] == "") & ~results["method"].isin(results.loc[these, "method"])
    fits = these | otherwise
    adapters = _compared(results.loc[fits & two_stage, "adapters"])
    return results[fits & (~two_stage | (results["adapters"] == adapters))].copy()


def scores(output: Path, suite: str, **where: object) -> pd.DataFrame:
    """Return mean, standard deviation and number of seeds per method, sources and task, one row each (tidy).

    Columns: `method`, `source_tasks` ("" for all of the suite), `adapters` (from elsewhere, "" for none), `task`,
    `mean`, `std` (NaN for one seed), `seeds` (how many), `seed_values` (which), `transfer_parameters`, `versions` (of
    code and data, see `versions`). Scores are on test, in the task's primary metric, times 100.

    Args:
        output, suite, where: as in `suite_results`.
    """
    results = suite_results(output, suite, **where)
    results["score"] *= 100
    results["version"] = versions(results)
    grouped = results.groupby([*SETUP, "task"], sort=False)
    summary = grouped.agg(
        mean=("score", "mean"),
        std=("score", "std"),
        seeds=("seed", "nunique"),
        seed_values=("seed", lambda seeds: tuple(sorted(seeds))),
        transfer_parameters=("transfer_parameters", "first"),
        versions=("version", lambda versions: tuple(sorted(set(versions)))),
    )
    return summary.reset_index()


def versions(results: pd.DataFrame) -> pd.Series:
    """What each result was made from: its code, and its data where results of the same task have different ones.

    The data of source adapters are told where results with the same source tasks have different ones.
    """
    version = results["code"]
    for column, title, same in (
        ("data", "data", ["task"]),  # whatever the suite: they share tasks
        ("source_data", "sources' data", ["suite", "source_tasks"]),
        ("method_code", "method", ["method"]),
        ("precision", "in", ["suite"]),
    ):
        several = results.groupby(same)[column].transform("nunique") > 1
        told = several & results[column].notna()  # a run of one stage has no source data
        version = version + (f" {title} " + results[column]).where(told, "")
    return version


def comparison(
    output: Path, suite: str, encoder: str, budget: str, k: int | None = None, sampling: str = "resampled"
) -> pd.DataFrame:
    """Return ours beside the paper's, one row per method, sources and task (tidy).

    Columns: `method`, `source_tasks`, `adapters`, `task`, `paper` (NaN where nothing is published, and for few-shot
    runs), `paper_encoder`, `mean`, `std`, `seeds` (0 for a missing run, whose scores are NaN), `difference` (ours minus
    the paper's, NaN unless the encoder is the paper's), `transfer_parameters`, and the `command` that makes our score,
    with the paper's seeds where there is none yet.

    Raises:
        UserError: the suite is unknown.
    """
    tasks = {task.name: task for task in get_suite(suite).tasks}
    ours = scores(output, suite, encoder=encoder, budget=budget, k=k, sampling=sampling, overrides="{}")
    theirs = published(suite) if k is None else published(suite)[:0]
    theirs = theirs[theirs["task"] != "average"].rename(columns={"score": "paper", "encoder": "paper_encoder"})
    wanted = ours[SETUP].drop_duplicates()
    unrun = [name for name in theirs["method"].unique() if name in METHODS and name not in set(wanted["method"])]
    wanted = pd.concat([wanted, pd.DataFrame({"method": unrun, "source_tasks": "", "adapters": ""})])
    frame = wanted.merge(pd.DataFrame({"task": list(tasks)}), how="cross")
    frame = frame.merge(ours, how="left", on=[*SETUP, "task"])
    frame = frame.merge(theirs[["method", "task", "paper", "paper_encoder"]], how="left", on=["method", "task"])
    frame["seeds"] = frame["seeds"].fillna(0).astype(int)
    comparable = [same_encoder(encoder, str(name)) for name in frame["paper_encoder"]]
    frame["difference"] = (frame["mean"] - frame["paper"]).where(pd.Series(comparable, dtype=bool))
    frame["command"] = [
        command(
            suite,
            row.method,
            [row.task],
            encoder,
            budget,
            k,
            sampling,
            row.source_tasks,
            row.adapters,
            row.seed_values if row.seeds else paper_seeds(tasks[row.task], row.method, k),
        )
        for row in frame.itertuples()
    ]
    order = {name: number for number, name in enumerate(METHODS)}
    return frame.sort_values("method", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def table(
    output: Path,
    suite: str,
    encoder: str,
    budget: str,
    k: int | None = None,
    sampling: str = "resampled",
    paper: bool = False,
) -> pd.DataFrame:
    """Return the table of a suite: a row per method, a column per task, the average, parameters and seeds.

    Cells read "mean ± std" over seeds, or the one score there is; a missing run is blank. The average is given only
    where a method has all tasks of the table. Where results were made by different code or from different data, a
    column `versions` tells them apart.

    Args:
        output, suite, encoder, budget, k, sampling: which results.
        paper: whether each method is followed by the published scores, and by the differences to them where the encoder
            is the paper's; then every task of the suite has a column.

    Raises:
        UserError: there is no result to show.
    """
    frame = comparison(output, suite, encoder, budget, k, sampling)
    if not frame["seeds"].any():
        shots = "" if k is None else f" and k={k}"
        example = command(suite, "scalearn", [get_suite(suite).tasks[0].name], encoder, budget, k)
        raise UserError(
            f"No results for suite '{suite}', encoder '{encoder}', budget '{budget}'{shots} in {output}; "
            f"make some first, for instance with `{example}`."
        )
    all_tasks = [task.name for task in get_suite(suite).tasks]
    there = set(frame.loc[frame["seeds"] > 0, "task"])
    tasks = [name for name in all_tasks if paper or name in there]
    rows = []
    for (method, *sources), cells in frame.groupby(SETUP, sort=False):
        cells = cells.set_index("task").loc[tasks]
        if cells["seeds"].any():
            rows.append(_ours(_title(method, *sources, of=f" of {len(all_tasks)}"), cells))
        elif paper:
            rows.append({"method": get_method(method).title})
        if paper and cells["paper"].notna().any():
            title = f"  paper, {cells['paper_encoder'].dropna().iloc[0]}"
            rows.append(_row(title, cells["paper"], "{:.2f}"))
        if paper and cells["difference"].notna().any():
            rows.append(_row("  ours - paper", cells["difference"], "{:+.2f}"))
    columns = ["method", "parameters", *tasks, "average", "seeds"]
    if len({version for row in rows for version in row.get("versions", "").split(", ") if version}) > 1:
        columns.append("versions")
    return pd.DataFrame(rows, columns=columns).fillna("").set_index("method")


def _title(method: str, source_tasks: str, adapters: str, of: str = "") -> str:
    """A row's name: the method's, and which sources it has if not those of the suite alone."""
    told = [f"{len(source_tasks.split())}{of} sources"] if source_tasks else []
    told += [f"with {' '.join(_names(adapters))}"] if adapters else []
    return get_method(method).title + (f" [{', '.join(told)}]" if told else "")


def _names(adapters: str) -> list[str]:
    """Names of adapters from elsewhere without their checksums; two with one name have both."""
    names = [adapter.partition("@")[0] for adapter in adapters.split()]
    return names if len(set(names)) == len(names) else adapters.split()


def _ours(title: str, cells: pd.DataFrame) -> dict[str, str]:
    seeds = sorted(set(cells.loc[cells["seeds"] > 0, "seeds"]))
    row = _row(title, cells["mean"], "{:.1f}")
    row |= {task: _cell(cell) for task, cell in cells.iterrows()}
    row["parameters"] = f"{cells['transfer_parameters'].max():,.0f}"
    row["seeds"] = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"
    row["versions"] = ", ".join(sorted(set().union(*cells.loc[cells["seeds"] > 0, "versions"])))
    return row


def _row(title: str, values: pd.Series, form: str) -> dict[str, str]:
    row = {"method": title} | {task: "" if pd.isna(value) else form.format(value) for task, value in values.items()}
    row["average"] = form.format(values.mean()) if len(values) > 1 and values.notna().all() else ""
    return row


def _cell(cell: pd.Series) -> str:
    if not cell["seeds"]:
        return ""
    return f"{cell['mean']:.1f}" if cell["seeds"] == 1 else f"{cell['mean']:.1f} ± {cell['std']:.1f}"


def command(
    suite: str,
    method: str,
    tasks: Sequence[str],
    encoder: str,
    budget: str,
    k: int | None = None,
    sampling: str = "resampled",
    source_tasks: str = "",
    adapters: str = "",
    seeds: Sequence[int] = (0,),
) -> str:
    """Return the command line that makes the runs of a method on tasks with seeds.

    Of adapters from elsewhere that the suite does not name, FOLDER stands for where they lie.
    """
    words = ["scalearn", "run", get_suite(suite).word, method, *tasks, "--encoder", encoder, "--budget", budget]
    words += ["--k", str(k)] if k is not None else []
    words += ["--sampling", sampling] if sampling != "resampled" else []
    words += ["--sources", *source_tasks.split()] if source_tasks else []
    of_suite = {adapter.name for adapter in get_suite(suite).adapters}
    if get_method(method).two_stage and of_suite - set(_names(adapters)):
        words.append("--no-adapters")
        of_suite = set()
    given = [name for name in _names(adapters) if name not in of_suite]
    words += [word for name in given for word in ("--source", f"{name}=FOLDER")]
    return shlex.join([*words, "--seed", *map(str, seeds)])


def commands(frame: pd.DataFrame) -> pd.Series:
    """Return one command per row of a table: the commands of a `comparison`, joined over tasks with equal seeds."""
    rows = {}
    for (method, *sources), cells in frame.groupby(SETUP, sort=False):
        parts = cells["command"].map(shlex.split)
        joined = {}
        for words in parts:  # the task is the fifth word
            joined.setdefault((tuple(words[:4]), tuple(words[5:])), []).append(words[4])
        rows[_title(method, *sources)] = "; ".join(
            shlex.join([*head, *names, *tail]) for (head, tail), names in joined.items()
        )
    return pd.Series(rows, name="command")
