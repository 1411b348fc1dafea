"""What lies below the first adapter runs once for all evaluations of a batch, and no number changes by that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from scalearn_lib.methods import get_method
from scalearn_lib.probing.features import with_fixed_coefficients
from scalearn_lib.probing.probes import probing_data
from scalearn_lib.runs import Run, execute
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model
from scalearn_lib.training import sharing
from scalearn_lib.training.sharing import each_once, modules_below

from ..tasks.mirror import write_mirror

TASK = get_task("toy", "toy_topic")
RUNS = [Run("toy", "toy_topic", "adapter", "tiny", seed, k=4, budget="smoke") for seed in (0, 1)]
OUTCOME = ("test", "validation", "history", "files")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    sharing._kept.cache_clear()
    yield
    sharing._kept.cache_clear()


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Shapes of the batches that were embedded in evaluation."""
    embeddings = type(load_model("tiny").base_model.embeddings)
    shapes, forward = [], embeddings.forward

    def watched(self: nn.Module, *, input_ids: torch.Tensor, **more) -> torch.Tensor:
        if not self.training:
            shapes.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **more)

    monkeypatch.setattr(embeddings, "forward", watched)
    return shapes


def outcome(run: Run, output: Path) -> list[object]:
    return [execute(run, output)[key] for key in OUTCOME]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[list[object]]:
    """What the runs give where nothing is shared."""
    output, found = tmp_path_factory.mktemp("alone"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scalearn_lib.training.single.share_below", lambda trainer, task: None)
        found += [outcome(run, output) for run in RUNS]
    return found


def test_later_evaluations_compute_nothing_below_and_give_the_same(
    alone: list[list[object]], encoded: list[tuple[int, int]], tmp_path: Path
) -> None:
    assert outcome(RUNS[0], tmp_path) == alone[0]
    validations = [entry for entry in execute(RUNS[0], tmp_path)["history"] if "eval_loss" in entry]
    assert len(validations) > 1
    assert len([rows for rows, _ in encoded if rows > 1]) == len(sharing._kept(TASK).outputs) == 2  # and one of test
    encoded.clear()
    assert outcome(RUNS[1], tmp_path) == alone[1]
    assert {rows for rows, _ in encoded} == {1}  # one row, to find what lies below


def test_what_exceeds_the_memory_is_computed_each_time(
    alone: list[list[object]], encoded: list[tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "KEPT_BYTES", 1)
    assert [outcome(run, tmp_path) for run in RUNS] == alone
    assert not sharing._kept(TASK).outputs
    assert len([rows for rows, _ in encoded if rows > 1]) > 4


def test_another_encoder_takes_up_nothing(
    alone: list[list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(RUNS[0], tmp_path / "first")
    kept = sharing._kept(TASK)
    before = dict(kept.outputs)

    def changed(name: str) -> nn.Module:
        model = load_model(name)
        with torch.no_grad():
            model.base_model.embeddings.word_embeddings.weight.mul_(1.5)
        return model

    monkeypatch.setattr("scalearn_lib.runs.execution.load_model", changed)
    shared = outcome(RUNS[1], tmp_path / "second")
    assert set(kept.outputs) == set(before)
    assert not any(torch.equal(kept.outputs[batch]["embeddings"], before[batch]["embeddings"]) for batch in before)
    sharing._kept.cache_clear()
    assert outcome(RUNS[1], tmp_path / "third") == shared != alone[1]


@pytest.mark.parametrize(
    "suite, task, method", [("superglue", "copa", "adapter"), ("toy", "toy_pair", "multi_head_routing")]
)
def test_inputs_and_compositions_of_each_kind_give_the_same(
    suite: str, task: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(write_mirror(tmp_path / "mirror")))
    runs = [Run(suite, task, method, "tiny", seed, k=4, budget="smoke") for seed in (0, 1)]
    together = [outcome(run, tmp_path / "together") for run in runs]
    assert sharing._kept(get_task(suite, task)).outputs
    monkeypatch.setattr("scalearn_lib.training.single.share_below", lambda trainer, task: None)
    assert [outcome(run, tmp_path / "alone") for run in runs] == together


def test_batches_are_told_apart_by_all_but_their_labels() -> None:
    ids, mask = torch.tensor([[5, 6], [7, 1]]), torch.tensor([[1, 1], [1, 0]])
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([0, 1])}
    others = [
        {"input_ids": ids + 1},
        {"input_ids": ids.int()},
        {"input_ids": ids.view(1, 4)},
        {"attention_mask": torch.ones_like(mask)},
        {"token_type_ids": torch.zeros_like(ids)},
    ]
    digests = [sharing._digest(batch | other) for other in [{}, *others]]
    assert len(set(digests)) == len(digests)
    assert sharing._digest(batch | {"labels": torch.tensor([1, 0])}) == digests[0]


@pytest.mark.parametrize("method", ["full", "ia3"])
def test_a_model_without_bottleneck_adapters_shares_nothing(method: str, tmp_path: Path) -> None:
    execute(Run("toy", "toy_topic", method, "tiny", k=4, budget="smoke"), tmp_path)
    assert not sharing._kept(TASK).outputs


def test_an_encoder_that_learns_shares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = type(get_method("adapter").learner()).prepare

    def unfrozen(self, model: nn.Module, *arguments) -> None:
        prepare(self, model, *arguments)
        model.base_model.embeddings.word_embeddings.weight.requires_grad_(True)

    monkeypatch.setattr(type(get_method("adapter").learner()), "prepare", unfrozen)
    execute(RUNS[0], tmp_path)
    assert not sharing._kept(TASK).outputs


def test_all_below_the_first_adapters_is_found_and_nothing_above(toy_adapters: dict[str, Path]) -> None:
    model, _ = with_fixed_coefficients("tiny", toy_adapters)
    ids = torch.tensor([probing_data("toy", "toy_topic", "tiny", "smoke")["test"][0]["input_ids"]])
    below = modules_below(model, partial(model.base_model, input_ids=ids))
    first = "encoder.layer.0"
    assert list(below) == [
        "embeddings",
        f"{first}.attention",
        f"{first}.intermediate",
        f"{first}.output.dense",
        f"{first}.output.dropout",
    ]
    assert all(model.base_model.get_submodule(name) is module for name, module in below.items())


def test_a_module_is_its_own_again_after_the_context(toy_adapters: dict[str, Path]) -> None:
    attention = with_fixed_coefficients("tiny", toy_adapters)[0].base_model.encoder.layer[0].attention.self
    ones, outputs = torch.ones(1, 3, attention.query.in_features), {}
    with torch.no_grad():
        with each_once({"attention": attention}, outputs):
            first, again = attention(ones)[0], attention(-ones)[0]
        fresh = attention(-ones)[0]
        with each_once({"attention": attention}, outputs):
            later = attention(-ones)[0]
    assert again is first is later and not torch.equal(fresh, first) and "forward" not in vars(attention)
