"""Shared fixtures: every test has its own data and output folders, and the tiny encoder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def session_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data folder for the whole session, so that the tiny encoder is built once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def folders(session_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests away from the user's data/ and outputs/."""
    monkeypatch.setenv("SCALEARN_DATA", str(session_data))
    monkeypatch.setenv("SCALEARN_OUTPUT", str(tmp_path / "outputs"))
