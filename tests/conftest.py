"""Shared fixtures: tests have data and output folders of their own, and the tiny encoder."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalearn_lib.runs import Run, execute


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's data/ and outputs/; the tiny encoder is built once per session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEARN_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("SCALEARN_OUTPUT", str(tmp_path_factory.mktemp("outputs")))
        patch.setenv("SCALEARN_REFERENCE", "")
        gc.collect()
        gc.freeze()  # each training ends in searches for garbage, a third of a second each through all imported modules
        patch.setattr(gc, "unfreeze", lambda: None)  # at the end of `execute_all`
        yield


@pytest.fixture(scope="session")
def toy_adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two trained source adapters by task."""
    output = tmp_path_factory.mktemp("outputs")
    runs = [Run("toy", task, "adapter", "tiny", budget="smoke") for task in ("toy_topic", "toy_polarity")]
    for run in runs:
        execute(run, output)
    return {run.task: run.weights(output) for run in runs}
