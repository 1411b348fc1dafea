"""One run per GPU: which of the GPUs of this machine a process works on."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock

from ..runs.locks import acquire

LOOK_SECONDS = 1.0
"""How often a process without a GPU looks for a free one."""

_claimed: FileLock | None = None
"""This process's lock on its GPU, which it keeps until it ends."""


def claim_gpu(folder: Path | None = None) -> str:
    """Make this process see one free GPU only, and keep other processes that ask from it; says which.

    Call it before anything touches CUDA. Free is what no other such process on this machine has claimed: the lock ends
    with the process. A GPU that a batch system has chosen alone (`CUDA_VISIBLE_DEVICES`) is taken as it is.

    Args:
        folder: where the locks lie, by default the machine's folder for temporary files.

    Where every GPU is claimed, it waits for one: a killed driver leaves its workers at work.
    """
    global _claimed
    gpus = visible_gpus()
    if len(gpus) < 2 or _claimed is not None:
        return f"GPU {gpus[0]}" if gpus else "no GPU"
    told = False
    while True:
        for gpu in gpus:
            _claimed = acquire((folder or Path(tempfile.gettempdir())) / f"scalearn-gpu-{gpu}.lock", wait=False)
            if _claimed is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return f"GPU {gpu} of {', '.join(gpus)}"
        if not told:
            print(f"All GPUs ({', '.join(gpus)}) are at work for other runs; waiting for one.", flush=True)
            told = True
        time.sleep(LOOK_SECONDS)


def visible_gpus() -> Sequence[str]:
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        names = [name.strip() for name in named.split(",") if name.strip()]
        return list(itertools.takewhile(lambda name: not name.startswith("-"), names))  # CUDA stops at a negative one
    return [str(number) for number in range(torch.cuda.device_count())]
