"""Frames as text."""

from __future__ import annotations

import pandas as pd


def show_frame(frame: pd.DataFrame) -> None:
    with pd.option_context("display.width", None, "display.max_columns", None, "display.max_colwidth", None):
        print(frame.to_string())


def show_markdown(frame: pd.DataFrame) -> None:
    from ..evidence.findings import markdown  # here, as it takes long to import

    print("\n".join(markdown(frame)))
