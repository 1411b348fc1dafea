"""Shared fixtures: tests have data and output folders of their own, and the tiny encoder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep tests away from the user's data/ and outputs/; the tiny encoder is built once per session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEARN_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("SCALEARN_OUTPUT", str(tmp_path_factory.mktemp("outputs")))
        yield
