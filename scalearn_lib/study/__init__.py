"""The study: runs, their results, tables and figures."""

import logging

from .execution import RunFailed, execute, execute_all, load_trained
from .result import load_results
from .run import Run, source_tasks_at_hand
from .tables import commands, comparison, scores, table

__all__ = [
    "Run",
    "RunFailed",
    "commands",
    "comparison",
    "execute",
    "execute_all",
    "load_results",
    "load_trained",
    "scores",
    "source_tasks_at_hand",
    "table",
]

# adapters tells of every head and block that is overwritten and of every activation; runs do both all the time.
logging.getLogger("adapters").setLevel(logging.ERROR)
