"""Joint training: batches of one task each, tasks drawn with temperature, one run for all tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from scalearn_lib.errors import UserError
from scalearn_lib.evidence import load_results, table
from scalearn_lib.methods import get_method
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.encoders import load_model
from scalearn_lib.training.joint import TaskBatches, examples, task_probabilities
from scalearn_lib.training.optimizer import optimizer_for

RUN = Run("toy", "toy_topic", "adapter_m", "tiny", budget="smoke")


def test_tasks_are_drawn_with_temperature() -> None:
    sizes = [392_702, 2_490]
    expected = np.array([392_702**0.1, 2_490**0.1])
    probabilities = task_probabilities(sizes, 10)
    assert probabilities == pytest.approx(expected / expected.sum())
    assert task_probabilities([30, 10], temperature=1) == pytest.approx([0.75, 0.25])
    drawn = [batch[0][0] for batch in TaskBatches([50, 20], probabilities, 4, 4000, seed=0)]
    share = np.mean(np.array(drawn) == 0)
    assert share == pytest.approx(probabilities[0], abs=4 * np.sqrt(0.25 / 4000))  # four standard errors


def test_a_batch_has_one_task_and_a_pass_has_every_row_once() -> None:
    batches = list(TaskBatches([12, 3], np.array([0.7, 0.3]), 4, 60, seed=1))
    assert len(batches) == 60 and all(len({task for task, _ in batch}) == 1 for batch in batches)
    rows = [row for batch in batches for task, row in batch if task == 0]
    assert all(sorted(rows[i : i + 12]) == list(range(12)) for i in range(0, len(rows) - 11, 12))
    assert {len(batch) for batch in batches if batch[0][0] == 1} == {3}  # a task smaller than a batch
    again = list(TaskBatches([12, 3], np.array([0.7, 0.3]), 4, 60, seed=1))
    assert again == batches != list(TaskBatches([12, 3], np.array([0.7, 0.3]), 4, 60, seed=2))


def test_record_counts_its_questions() -> None:
    rows = Dataset.from_dict({"question": [1, 1, 2], "answers": [["a"]] * 3})
    assert examples(rows) == 2 and examples(rows.remove_columns("answers")) == 3


@pytest.mark.parametrize("method", ["full_m", "adapter_m", "propetl_m", "hyperformer", "hyperformer_pp"])
def test_one_run_gives_every_task_its_result(method: str, tmp_path: Path) -> None:
    runs = [replace(RUN, method=method, task=task.name) for task in get_suite("toy").tasks]
    results = [execute(run, tmp_path) for run in runs]
    files = list(tmp_path.rglob("result.json"))
    assert [file.parent for file in files] == [tmp_path / f"toy/tiny/smoke/{method}/all/seed0"]
    assert [r.metric for r in results] == [task.metric for task in get_suite("toy").tasks]
    assert results[0].sizes == {"train": 64, "validation": 32, "test": 32} and results[0].steps == 16
    frame = load_results(tmp_path, task="toy_score")
    assert frame["score"].tolist() == [results[2].test["pearson"]]
    assert (table(tmp_path, "toy", "tiny", "smoke").iloc[0] != "").all()
    model = load_trained(runs[2], tmp_path)
    inputs = torch.arange(5, 25).view(2, 10)
    with torch.no_grad():
        assert model(inputs).logits.shape == (2, 1)  # the target's head is active


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    first, second = (execute(replace(RUN, method="propetl_m"), tmp_path / name) for name in "ab")
    assert first.tasks == second.tasks and first.files == second.files


def test_what_joint_training_refuses() -> None:
    with pytest.raises(UserError, match="the paper does not do on k examples; leave k out"):
        replace(RUN, k=4)
    with pytest.raises(UserError, match="give it at least two source tasks"):
        replace(RUN, source_tasks=("toy_topic",))


def test_masks_learn_at_their_own_rate_without_decay_of_biases() -> None:
    model, method = load_model("tiny"), get_method("propetl").learner()
    method.prepare(model, [get_suite("toy").tasks[0]], {})
    budget = Run("toy", "toy_topic", "propetl", "tiny", budget="paper").settings()
    optimizer = optimizer_for(model, method, budget)
    names = {id(p): name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert group["lr"] == pytest.approx(5e-3 if "mask" in name else 1e-3), name
            assert group["weight_decay"] == (0.0 if name.endswith("bias") else 0.1), name
    learned = sum(p.requires_grad for p in model.parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == learned
