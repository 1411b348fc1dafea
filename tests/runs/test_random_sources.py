"""Random sources: as large as trained ones, the same in every call, beside a run's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scalearn_lib import scaling_coefficients
from scalearn_lib.errors import UserError
from scalearn_lib.methods.sources import CONFIG
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.runs.locks import run_lock
from scalearn_lib.runs.random_sources import random_sources
from tests.processes import Other, holds

SETTINGS = {"random_sources": 2}


def test_they_are_as_large_as_a_trained_one_and_written_once(tmp_path: Path) -> None:
    run = Run("toy", "toy_topic", "adapter", "tiny", budget="smoke")
    execute(run, tmp_path)
    trained = load_file(run.weights(tmp_path) / "adapter.safetensors")
    folders = random_sources(run.weights(tmp_path), 3, tmp_path / "random")
    assert list(folders) == ["random_1", "random_2", "random_3"]
    first, second = (load_file(folders[f"random_{n}"] / "adapter.safetensors") for n in (1, 2))
    for name, tensor in trained.items():
        assert first[name].shape == tensor.shape and not torch.equal(first[name], second[name])
        if tensor.numel() > 32:
            size, meant = (t.square().mean().sqrt().item() for t in (first[name], tensor))
            assert size == pytest.approx(meant, rel=0.5)
    before = (folders["random_1"] / "adapter.safetensors").stat().st_mtime_ns
    assert random_sources(run.weights(tmp_path), 1, tmp_path / "random") == {"random_1": folders["random_1"]}
    assert (folders["random_1"] / "adapter.safetensors").stat().st_mtime_ns == before


def test_a_process_waits_for_another_one_that_makes_them(tmp_path: Path) -> None:
    like = tmp_path / "like"
    like.mkdir()
    (like / CONFIG).write_text("{}")
    save_file({"weight": torch.ones(4)}, like / "adapter.safetensors")
    (first,) = random_sources(like, 1, tmp_path / "random").values()
    shutil.rmtree(first)
    maker = Other(holds, run_lock(first))
    assert maker.says() is True
    waiting = Other(random_sources, like, 1, tmp_path / "random")
    assert waiting.says(seconds=0.5) is None
    first.mkdir()
    maker.kill()
    assert waiting.says() == {"random_1": first} and not list(first.iterdir())  # not made twice
    waiting.kill()


@pytest.mark.parametrize("method", ["scalearn", "adapter_fusion", "lorahub"])
def test_a_run_has_them_beside_its_own_sources(method: str, tmp_path: Path) -> None:
    run = Run("toy", "toy_topic", method, "tiny", budget="smoke", overrides=SETTINGS)
    plain = execute(Run("toy", "toy_topic", method, "tiny", budget="smoke"), tmp_path)
    result = execute(run, tmp_path)
    assert result.settings.random_sources == 2 and plain.settings.random_sources == 0
    model = load_trained(run, tmp_path)
    loaded = model.active_adapters
    if method == "scalearn":
        sources = list(scaling_coefficients(model, loaded)["source"].values)
        assert sources[-2:] == ["random_1", "random_2"] and len(sources) == 2 + len(run.sources())
        assert result.transfer_parameters == plain.transfer_parameters * len(sources) / len(run.sources())
    elif method == "adapter_fusion":
        assert loaded.children[-2:] == ["random_1", "random_2"]
    else:
        assert result.transfer_parameters == plain.transfer_parameters + 2  # a weight for each


@pytest.mark.parametrize("method", ["adapter", "adapter_soup", "adapter_m"])
def test_a_method_without_a_choice_of_sources_takes_none(method: str) -> None:
    with pytest.raises(UserError, match="takes no random sources"):
        Run("toy", "toy_topic", method, "tiny", budget="smoke", overrides=SETTINGS)


def test_their_number_is_a_whole_one() -> None:
    with pytest.raises(UserError, match="random_sources must be a whole number"):
        Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke", overrides={"random_sources": -1})
