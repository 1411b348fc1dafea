"""One run per GPU, with locks in the place of GPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalearn_lib.grids.devices import claim_gpu, visible_gpus
from tests.processes import Other


def claim(folder: Path, visible: str) -> tuple[str, str]:
    """What a process that sees these GPUs claims, and which it sees then."""
    os.environ["CUDA_VISIBLE_DEVICES"] = visible
    return claim_gpu(folder), os.environ["CUDA_VISIBLE_DEVICES"]


def test_each_process_gets_a_gpu_of_its_own_until_it_ends(tmp_path: Path) -> None:
    first = Other(claim, tmp_path, "3,5")
    assert first.says() == ("GPU 3 of 3, 5", "3")
    second = Other(claim, tmp_path, "3,5")
    assert second.says() == ("GPU 5 of 3, 5", "5")
    third = Other(claim, tmp_path, "3,5")  # waits, as after a killed driver, whose workers go on
    first.kill()
    assert third.says() == ("GPU 3 of 3, 5", "3")
    for process in (second, third):
        process.kill()


def test_gpus_end_at_a_negative_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, names in (("-1", []), ("", []), ("2,-1,3", ["2"]), (" 0, 1", ["0", "1"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
        assert visible_gpus() == names


def test_a_gpu_that_the_batch_system_chose_is_taken_as_it_is(tmp_path: Path) -> None:
    processes = [Other(claim, tmp_path, visible) for visible in ("7", "7", "")]
    assert [process.says() for process in processes] == [("GPU 7", "7"), ("GPU 7", "7"), ("no GPU", "")]
    for process in processes:
        process.kill()
