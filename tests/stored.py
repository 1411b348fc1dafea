"""Results written by hand, as `execute` would."""

from __future__ import annotations

from pathlib import Path

from scalearn_lib.runs import Run
from scalearn_lib.runs.result import Failure, Result, write_result


def result_of(run: Run, score: float, **more: object) -> Result:
    """A complete result of a run with this score."""
    scores = {"accuracy": score, "loss": 1.0}
    fields = {
        "metric": "accuracy",
        "test": scores,
        "validation": scores,
        "sizes": {"train": 10, "validation": 5, "test": 5},
        "data": "data",
        "files": {},
        "settings": run.settings(),
        "transfer_parameters": 8,
        "trainable_parameters": 9,
        "selected_epoch": 1.0,
        "selected_step": 4,
        "steps": 4,
        "history": [{"step": 4, "eval_loss": 1.0}],
        "seconds": {"train": 0.5, "test": 0.2, "total": 1.0},
        "peak_memory_mib": 100.0,
        "versions": {"torch": "2"},
        "commit": None,
        "changed": False,
        "code": "code",
        "device": "cpu",
        "threads": 1,
    }
    if run.sources():
        fields |= {"source_code": [more.get("code", "code")], "source_data": "source data"}
    return Result(run=run, **fields | more)


def store(
    output: Path,
    task: str,
    method: str,
    seed: int,
    score: float,
    status: str = "ok",
    suite: str = "toy",
    encoder: str = "tiny",
    budget: str = "smoke",
    made_from: dict[str, object] | None = None,
    **more: object,
) -> Path:
    """Write a result with this test score, or a failure, and return its folder."""
    run = Run(suite, task, method, encoder, seed, budget=budget, **more)
    folder = run.folder(output)
    folder.mkdir(parents=True)
    failed = Failure(run=run, error="loss is nan", code="code")
    write_result(folder, failed if status == "failed" else result_of(run, score, **made_from or {}))
    return folder
