"""Following a run in TensorBoard or another tracker that transformers knows: off by default, no part of the run."""

from __future__ import annotations

import os
import re

from transformers.integrations import get_available_reporting_integrations
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from ..errors import UserError, unknown
from ..paths import tracking_dir

VARIABLE = "SCALEARN_REPORT_TO"
"""Environment variable with the trackers' names, commas between; jobs and notebooks that are started inherit it."""


def trackers() -> list[str]:
    """Return the names of the trackers to report to.

    Raises:
        UserError: a name is not known, or its package is not installed.
    """
    names = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            raise unknown("tracker", name, INTEGRATION_TO_CALLBACK)
        if name not in get_available_reporting_integrations():
            raise UserError(f"The tracker '{name}' is not installed; install its package, or report to another one.")
    return names


def tracking(title: str) -> dict[str, object]:
    """Return the settings of transformers' trainer that follow a run under its own name; see `trackers`."""
    name = re.sub(r"[^\w.=+-]+", "-", title).strip("-")
    return {"report_to": trackers(), "run_name": name, "logging_dir": str(tracking_dir() / name)}
