"""The progress bars of `datasets`, shown only where something takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lazy_loader

datasets = lazy_loader.load("datasets")


@contextmanager
def progress_bars(show: bool) -> Iterator[None]:
    """Hide the progress bars of `datasets` for a while if they are not to be shown, unless they are hidden already."""
    hide = not show and not datasets.are_progress_bars_disabled()
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.enable_progress_bars()
