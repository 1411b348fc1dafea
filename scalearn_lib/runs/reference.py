"""The reference study: a second, read-only place of results. What lies there is read like one's own, not made again.

Source adapters lie there in the folders that they have in any place of results, with their weights (heads apart, which
no target uses), and so do the few runs whose coefficients the notebooks show, heads included. All other results of a
suite are in one compressed file, `<suite>.jsonl.xz`: one per line, its history thinned.
"""

from __future__ import annotations

import functools
import lzma
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Literal

from ..errors import say_once
from ..methods import METHODS
from ..paths import reference_dir, written_whole
from .result import RESULT, Result, check_files, checksums, new_folder, parse_result, read_result, write_result
from .run import WEIGHTS, Run
from .versions import equal_code

Need = Literal["scores", "adapter", "weights"]
"""What is needed of a result: its scores, its adapter too (as a source of others), or all that it learned."""

HISTORY = 40
"""Training losses of a history that are kept, evenly over the training; so are all evaluations."""

STAGE_1 = {method.source_method for method in METHODS.values() if method.two_stage}
"""Methods that make source adapters."""

HEADS = ("*head*",)
"""Names of weights that are left out."""


def reference_result(run: Run, need: Need = "scores") -> Result | None:
    """The reference study's result of a run, or `None` where it has none, or not what is needed."""
    reference = reference_dir()
    if reference is None:
        return None
    result = _in_folder(run.folder(reference))
    if result is None and need == "scores":
        result = _archived(reference, run.suite).get(_key(run))
    elif result is not None and need == "weights" and set(result.files) != set(checksums(run.weights(reference))):
        result = None
    if result is not None and result.settings != run.settings():
        return None  # the budget is no longer what it was
    if result is not None:
        say_once(f"Some results are those of the reference study in {os.path.relpath(reference)}, and not made again.")
    return result


def reference_results() -> Iterator[tuple[Result, Path]]:
    """Yield every result of the reference study with the folder that it has, or would have, there."""
    reference = reference_dir()
    if reference is None:
        return
    for file in sorted(reference.glob(f"*/*/*/*/*/seed*/{RESULT}")):
        result = _in_folder(file.parent)
        if result is not None:
            yield result, file.parent
    for file in sorted(reference.glob("*.jsonl.xz")):
        for key, result in _archived(reference, file.name.removesuffix(".jsonl.xz")).items():
            yield result, reference / key


def keep(
    runs: Iterable[Run],
    output: Path,
    reference: Path,
    with_adapters: Collection[Run] = (),
    with_weights: Collection[Run] = (),
) -> list[str]:
    """Add complete results below `output` to a reference study; return a line per file that was written.

    Damaged ones are named once and left out. Scores that are there stay, unless other code made them or from other
    data, or they are now stored with what was learned: k-shot source adapters are often made again for their weights,
    and stored runs were trained on the first. What lies there with its weights stays, unless weights are stored again.

    Args:
        runs: what may be there.
        output, reference: folders.
        with_adapters: what to store with adapters; so are seed-0 runs of stage 1 on all training rows, which are the
            sources of every two-stage run. Others are stored by their scores.
        with_weights: what to store with all that it learned, heads too.
    """
    new: dict[str, dict[str, Result]] = {}
    lines = []
    for run in runs:
        folder, place = run.folder(output), run.folder(reference)
        whole = run in with_weights
        learned = whole or run in with_adapters or (run.k is None and run.seed == 0 and run.method in STAGE_1)
        try:
            result = read_result(folder)
            if not isinstance(result, Result) or result.settings != run.settings():
                continue
            if learned:
                check_files(folder, result)
        except ValueError as damage:
            say_once(f"Not kept: {damage}; run it again.")
            continue
        scores = new.setdefault(run.suite, {})
        if learned:  # its scores may be in the file: they leave it
            _keep_folder(folder, result, place, () if whole else HEADS)
            lines.append(f"{run}: {place}")
        else:
            scores[_key(run)] = _thinned(result)
    for suite, results in new.items():
        file = _archive(reference, suite)
        _archived.cache_clear()
        before = _archived(reference, suite)
        in_folders = {key for key in before | results if (reference / key / RESULT).exists()}
        if left := [key for key in results if key in in_folders]:
            say_once(f"{len(left)} results lie in {reference} with weights already, and stay, such as {left[0]}.")
        results = {
            key: result
            for key, result in results.items()
            if key not in in_folders and not _alike(before.get(key), result)
        }
        every = {key: result for key, result in sorted((before | results).items()) if key not in in_folders}
        if every == before:
            continue
        text = "".join(f"{result.model_dump_json()}\n" for result in every.values())
        with written_whole(file) as temporary:
            temporary.write_bytes(lzma.compress(text.encode(), preset=9))
        lines.append(f"{len(every)} results, {len(results)} of them from {output}: {file}")
    _archived.cache_clear()
    _in_folder.cache_clear()
    return lines


def _alike(one: Result | None, other: Result) -> bool:
    """Whether both were made by the same code from the same data."""
    if one is None:
        return False
    made = [(equal_code(of.code), of.method_code, of.data, of.source_data) for of in (one, other)]
    return made[0] == made[1]


def _key(run: Run) -> str:
    return run.folder(Path()).as_posix()


def _archive(reference: Path, suite: str) -> Path:
    return reference / f"{suite}.jsonl.xz"


def _keep_folder(folder: Path, result: Result, place: Path, without: Collection[str]) -> None:
    with new_folder(place) as temporary:
        shutil.copytree(folder / WEIGHTS, temporary / WEIGHTS, ignore=shutil.ignore_patterns(*without))
        write_result(temporary, _thinned(result))


def _thinned(result: Result) -> Result:
    logged = [entry for entry in result.history if "eval_loss" not in entry]
    kept = logged[:: -(-len(logged) // HISTORY) or 1]
    history = [entry for entry in result.history if "eval_loss" in entry or entry in kept]
    return result.model_copy(update={"history": history})


@functools.cache  # a grid asks for the same source adapters of every job, and each answer takes their checksums
def _in_folder(folder: Path) -> Result | None:
    """A result that lies there with its adapter; damage is said, and counts as nothing."""
    try:
        result = read_result(folder)
        if not isinstance(result, Result):
            return None
        check_files(folder, result, without=HEADS)
    except ValueError as damage:
        say_once(f"Left out of the reference study: {damage}; `git checkout` brings it back.")
        return None
    return result


@functools.cache
def _archived(reference: Path, suite: str) -> dict[str, Result]:
    """All results in a suite's compressed file by their folders; what is none is named once and left out."""
    file, results = _archive(reference, suite), {}
    try:
        lines = lzma.decompress(file.read_bytes()).splitlines()
    except FileNotFoundError:
        return results
    except (lzma.LZMAError, EOFError) as damage:
        say_once(f"Left out of the reference study: {file} is damaged ({damage}); `git checkout` brings it back.")
        return results
    for number, line in enumerate(lines, 1):
        try:
            result = parse_result(line)
        except ValueError as damage:
            say_once(f"Left out of the reference study: {file}, line {number}: {damage}.")
            continue
        results[_key(result.run)] = result
    return results
