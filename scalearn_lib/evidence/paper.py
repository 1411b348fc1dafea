"""The paper's published scores, as data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..tasks.hub import ENCODERS

FILE = Path(__file__).with_name("published.csv")


def published(suite: str | None = None) -> pd.DataFrame:
    """Return the published scores, tidy: `benchmark`, `encoder`, `method`, `task`, `score`, `source`.

    Scores are means over seeds on the official validation sets, times 100, in each task's primary metric; the task
    "average" is the benchmark's. `source` is "paper" for the tables of Frohmann et al. (2024), or "third party" for
    averages that others report from its text. There are none for the large encoders and for GSG.
    """
    frame = pd.read_csv(FILE)
    return frame if suite is None else frame[frame["benchmark"] == suite].reset_index(drop=True)


def same_encoder(name: str, other: str) -> bool:
    """Whether two names mean one encoder of the hub: "roberta-base" is "FacebookAI/roberta-base"."""
    return ENCODERS.get(name, name) == ENCODERS.get(other, other)
