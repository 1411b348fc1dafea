"""Fixtures that several tests of the study share."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalearn_lib.study import Run, execute


@pytest.fixture(scope="session")
def toy_adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of two trained source adapters by task."""
    output = tmp_path_factory.mktemp("outputs")
    runs = [Run("toy", task, "adapter", "tiny", budget="smoke") for task in ("toy_topic", "toy_polarity")]
    for run in runs:
        execute(run, output)
    return {run.task: run.weights(output) for run in runs}
