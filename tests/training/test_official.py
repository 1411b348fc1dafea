"""`official` repeats what were mistakes of the paper's runs, one by one; without it none of them is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method, trainable_parameters
from scalearn_lib.methods.base import add_head
from scalearn_lib.methods.propetl import MaskedLinear
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.runs.data import splits_of
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model
from scalearn_lib.training.joint import OFFICIAL_ROWS, JointTrainer, TaskBatches
from scalearn_lib.training.single import KeepBest

from ..tasks.mirror import TRAIN, write_mirror

OFFICIAL = {"official": True}
RUN = Run("toy", "toy_topic", "scalearn_pp", "tiny", budget="smoke", source_tasks=("toy_topic", "toy_pair"))


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mirror(tmp_path_factory.mktemp("mirror"))


def settings(suite: str, task: str, method: str, **more: object):
    return Run(suite, task, method, "tiny", budget="paper", **more).settings()


def test_the_published_settings() -> None:
    for method in ("adapter_fusion", "adapter_soup", "ia3", "scalearn", "scalearn_uniform_pp"):
        assert settings("superglue", "record", method).epochs == 3, method
    for method in ("full", "adapter", "compacter", "propetl"):
        assert settings("superglue", "record", method).epochs == 30, method
    assert settings("humset", "sectors", "adapter_soup").patience == 3
    assert settings("glue", "rte", "adapter_soup").patience == settings("humset", "sectors", "adapter").patience == 5
    assert settings("glue", "rte", "scalearn", k=4).max_validation == 5000
    assert settings("glue", "rte", "scalearn").max_validation is None
    assert settings("glue", "rte", "adapter_m").sampling_temperature == 1
    assert not settings("glue", "rte", "scalearn").group_by_length


@pytest.mark.parametrize("budget", ["paper", "medium", "quick", "smoke"])
def test_joint_training_selects_on_the_mean_loss_also_on_humset(budget: str) -> None:
    joint, single = (Run("humset", "sectors", method, "tiny", budget=budget) for method in ("adapter_m", "adapter"))
    assert joint.settings().select == "loss" and single.settings().select == "metric"


@pytest.mark.parametrize("name", ["official", "group_by_length"])
def test_a_switch_is_true_or_false(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be true or false, got 'yes'"):
        replace(RUN, overrides={name: "yes"})
    with pytest.raises(UserError, match="sampling_temperature must be positive, got 0"):
        replace(RUN, overrides={"sampling_temperature": 0})


def test_few_shot_runs_have_one_draw_and_one_source_of_their_own() -> None:
    ours, theirs = replace(RUN, seed=3, k=4), replace(RUN, seed=3, k=4, overrides=OFFICIAL)
    assert ours.sources()["toy_topic"].seed == 3 and ours.sources()["toy_topic"].sampling == "resampled"
    assert theirs.sampling == "official" == replace(ours, sampling="official").sources()["toy_topic"].sampling
    own = theirs.sources()["toy_topic"]
    assert (own.seed, own.k, own.sampling) == (0, 4, "official") and dict(own.overrides) == OFFICIAL
    assert dict(theirs.sources()["toy_pair"].overrides) == OFFICIAL and not ours.sources()["toy_pair"].overrides
    assert splits_of(theirs, get_task("toy", "toy_topic"))[1]["indices"] == [0, 1, 2, 3]


def test_record_trains_on_all_rows_and_selects_on_test(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    run, task = Run("superglue", "record", "adapter", "tiny", budget="paper"), get_task("superglue", "record")
    ours, theirs = (splits_of(replace(run, overrides=over), task)[0] for over in ({}, OFFICIAL))
    assert len(ours["train"]) == 3 * TRAIN * 9 // 10 and len(theirs["train"]) == 3 * TRAIN
    assert theirs["train"]["question"][:] == np.repeat(range(TRAIN), 3).tolist()  # the order of the file
    assert theirs["validation"]["input_ids"][:] == theirs["test"]["input_ids"][:] == ours["test"]["input_ids"][:]
    few, drawn = splits_of(replace(run, k=4, overrides=OFFICIAL), task)
    assert few["train"]["question"][:] == [0, 0, 0, 1] and drawn["indices"] == [0, 1, 2, 3]
    boolq = get_task("superglue", "boolq")
    of_boolq = Run("superglue", "boolq", "adapter", "tiny", budget="paper")
    ours, theirs = (splits_of(replace(of_boolq, overrides=over), boolq)[0] for over in ({}, OFFICIAL))
    assert ours["train"]["input_ids"][:] == theirs["train"]["input_ids"][:]


@pytest.mark.parametrize("official", [False, True])
def test_joint_training_selects_without_record_and_officially_draws_its_first_rows(
    official: bool, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    assert OFFICIAL_ROWS == 100_730
    monkeypatch.setattr("scalearn_lib.training.joint.OFFICIAL_ROWS", 10)
    seen: dict[str, object] = {}
    evaluate, draw = JointTrainer.evaluate, TaskBatches.__init__

    def noted(self: JointTrainer, *arguments: object, **more: object) -> dict[str, float]:
        seen["metrics"] = evaluate(self, *arguments, **more)
        return seen["metrics"]

    def drawn(self: TaskBatches, sizes: list[int], probabilities: np.ndarray, *more: object) -> None:
        seen["sizes"], seen["probabilities"] = sizes, probabilities.tolist()
        draw(self, sizes, probabilities, *more)

    monkeypatch.setattr(JointTrainer, "evaluate", noted)
    monkeypatch.setattr(TaskBatches, "__init__", drawn)
    over = {"official": official, "max_train": None}
    run = Run("superglue", "record", "adapter_m", "tiny", budget="smoke", overrides=over)
    run = replace(run, source_tasks=("record", "boolq", "rte"))
    result = execute(run, tmp_path)
    metrics, rows = seen["metrics"], [TRAIN * 9 // 10] * 2
    assert not [name for name in metrics if "record" in name]
    assert metrics["eval_loss"] == pytest.approx((metrics["eval_boolq_loss"] + metrics["eval_rte_loss"]) / 2)
    record = 10 if official else 3 * TRAIN * 9 // 10
    assert seen["sizes"] == [record, *rows]
    weights = np.array([10 if official else TRAIN * 9 // 10, *rows])
    assert seen["probabilities"] == pytest.approx(weights / weights.sum())
    assert (
        result.tasks["record"].validation["answer_f1"] >= 0
        and result.sizes["train"] == 3 * TRAIN * (10 if official else 9) // 10
    )


def test_copas_head_in_stage_2_is_one_linear_unit_on_a_pooler_that_does_not_learn(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(mirror))
    run = Run("superglue", "copa", "scalearn_uniform_pp", "tiny", budget="smoke", source_tasks=("copa", "rte"))
    ours, theirs = (execute(replace(run, overrides=over), tmp_path) for over in ({}, OFFICIAL))
    assert theirs.trainable_parameters - theirs.transfer_parameters == 32 + 1
    assert ours.trainable_parameters - ours.transfer_parameters == 32 * 32 + 32 + 32 + 1
    model = load_model("tiny")
    add_head(model, get_task("superglue", "copa"), one_layer=True)
    first, pooler, tanh, second, linear = model.heads["copa"]
    assert (first.p, second.p, tanh(torch.ones(1))) == (0, 0.1, torch.ones(1).tanh())
    assert not pooler.weight.requires_grad and linear.weight.shape == (1, 32) and linear.weight.requires_grad
    start = load_trained(replace(run, overrides=OFFICIAL), tmp_path).heads["copa"][1].weight.detach()
    assert start.std() == pytest.approx(0.02, rel=0.2) and abs(start.mean()) < 0.005  # as it was drawn
    rte = replace(run, task="rte")
    ours, theirs = (execute(replace(rte, overrides=over), tmp_path) for over in ({}, OFFICIAL))
    assert ours.trainable_parameters == theirs.trainable_parameters
    stage_1 = run.sources()["copa"]
    assert execute(stage_1, tmp_path).trainable_parameters > 32 * 32


def prepared(official: bool) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(0)
    get_method("propetl").learner(official=official).prepare(model, [get_task("toy", "toy_topic")], {})
    return model


def test_official_masks_of_propetl_stay_random() -> None:
    ours, theirs = prepared(False), prepared(True)
    masks = [name for name, _ in ours.named_parameters() if "mask" in name]
    assert len(masks) == 2 * 2
    scores = sum(p.numel() for name, p in ours.named_parameters() if name in masks)
    assert trainable_parameters(ours) - trainable_parameters(theirs) == scores == 2 * 2 * 32 * 2
    assert not any(p.requires_grad for name, p in theirs.named_parameters() if name in masks)


def test_first_scores_of_single_task_propetl_are_bounded_by_the_width_that_a_projection_gives() -> None:
    """Uniform within ± 1 / √48 going down and ± 1 / √768 going up at RoBERTa's size; here 2 and 32."""
    for module in (module for module in prepared(False).modules() if isinstance(module, MaskedLinear)):
        outputs = module.mask_scores.shape[0]
        bound = outputs**-0.5
        assert outputs == (2 if module.part == "down" else 32)
        assert 0.8 * bound < module.mask_scores.abs().max() <= bound
        assert module.mask_scores.is_contiguous()


def test_officially_only_the_head_of_a_shared_variant_comes_back() -> None:
    assert get_method("scalearn_pp").learner(official=True).loses_coefficients
    assert not get_method("scalearn_pp").learner().loses_coefficients
    for method in ("scalearn", "scalearn_uniform", "adapter_fusion", "adapter", "propetl_m"):
        assert not get_method(method).learner(official=True).loses_coefficients, method
    model = nn.Module()
    model.omega, model.heads = nn.Linear(1, 1, bias=False), nn.ModuleDict({"task": nn.Linear(1, 1, bias=False)})
    for heads_only in (False, True):
        keep = KeepBest("eval_loss", False, heads_only)
        for step, loss in enumerate((2.0, 1.0, 3.0)):
            for part in (model.omega, model.heads["task"]):
                nn.init.constant_(part.weight, step)
            keep.on_evaluate(None, State(step), None, {"eval_loss": loss}, model)
        keep.on_train_end(None, None, None, model)
        assert model.heads["task"].weight.item() == 1 and model.omega.weight.item() == (2 if heads_only else 1)


class State:
    """What `KeepBest` reads of the trainer's state."""

    def __init__(self, step: int) -> None:
        self.global_step = self.epoch = step
