"""Training by adapters' trainer, under checkpointing, autocast, compilation and data parallelism."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from adapters import AdapterTrainer, Fuse
from datasets import Dataset
from transformers import TrainerCallback, TrainingArguments

from scalearn_lib import ScaLearn, ScaLearnConfig, forward_path, scaling_coefficients

from .helpers import activate, batch, omegas, roberta


def train(
    model: torch.nn.Module, folder: Path, callback: TrainerCallback | None = None, metrics=None, **more: object
) -> AdapterTrainer:
    rows = Dataset.from_dict(
        {name: value.repeat(8, *[1] * (value.dim() - 1)).tolist() for name, value in batch().items()}
    )
    arguments = TrainingArguments(
        str(folder),
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        per_device_train_batch_size=8,
        learning_rate=0.2,
        **more,
    )
    callbacks = [callback] if callback else []
    trainer = AdapterTrainer(
        model, arguments, train_dataset=rows, eval_dataset=rows, callbacks=callbacks, compute_metrics=metrics
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_uniform_pp"])
def test_only_omega_and_the_head_move(variant: str, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, variant)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train(model, tmp_path, max_steps=3)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert {name for name in moved if not name.startswith("heads.")} == set(omegas(model))
    assert any(name.startswith("heads.") for name in moved)


def test_the_penalty_acts_in_adapters_trainer(tmp_path: Path) -> None:
    means = {}
    for strength in (0.0, 100.0):
        model, setup = roberta(), ScaLearn(*"abc")
        activate(model, setup, ScaLearnConfig(regularization=strength, dropout_prob=0.0))
        train(model, tmp_path, max_steps=20, lr_scheduler_type="constant")
        means[strength] = abs(scaling_coefficients(model, setup).mean("hidden") - 1).max()
    assert means[100.0] < 0.2 < means[0.0]


class Record(TrainerCallback):
    """Notes ω at each evaluation."""

    def __init__(self, setup: ScaLearn) -> None:
        self.setup, self.seen = setup, []

    def on_evaluate(self, args, state, control, model, **kwargs) -> None:
        self.seen.append(scaling_coefficients(model, self.setup))


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_pp"])
def test_the_best_checkpoint_brings_omega_back(variant: str, tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, variant)
    record, ranks = Record(setup), iter([1, 3, 2])  # the second of three epochs counts as best
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    options |= {"metric_for_best_model": "rank", "num_train_epochs": 3}
    train(model, tmp_path, record, lambda _: {"rank": next(ranks)}, **options)
    assert len(record.seen) == 3
    assert (scaling_coefficients(model, setup) == record.seen[1]).all()
    assert not (record.seen[1] == record.seen[2]).all()


def test_resuming_brings_a_named_block_back(tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc", name="block")
    activate(model, setup)
    train(model, tmp_path, max_steps=2, save_steps=2)
    saved = scaling_coefficients(model, setup)
    fresh = roberta()
    activate(fresh, setup, seed=7)
    trainer = train(fresh, tmp_path / "other", max_steps=1)
    trainer._load_from_checkpoint(str(tmp_path / "checkpoint-2"))
    assert (scaling_coefficients(fresh, setup) == saved).all()


def gradients(model: torch.nn.Module, **more: object) -> list[torch.Tensor]:
    model.zero_grad()
    model(**batch(), **more).loss.backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_pp"])
def test_gradient_checkpointing_changes_no_gradient(variant: str) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, ScaLearnConfig.load(variant, dropout_prob=0.0))
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain = gradients(model)
    model.gradient_checkpointing_enable()
    for one, other in zip(plain, gradients(model), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fused_equals_loop_under_autocast(dtype: torch.dtype) -> None:
    results = {}
    for fused in (True, False):
        model, setup = roberta(), ScaLearn(*"abc")
        activate(model, setup, ScaLearnConfig(fused=fused))
        with torch.autocast("cpu", dtype):
            out = model(**batch())
        out.loss.backward()
        (first, _) = omegas(model).values()
        assert first.dtype == first.grad.dtype == torch.float32
        results[fused] = (out.logits.float().detach(), first.grad)
    for one, other in zip(results[True], results[False], strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=1e-2 * other.abs().max().item())


def test_compiled_models_give_the_same(tmp_path: Path) -> None:
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup)
    wanted, plain = model(**batch()).logits.detach(), gradients(model)
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(compiled(**batch()).logits, wanted)
    for one, other in zip(plain, gradients(compiled), strict=True):
        torch.testing.assert_close(one, other)
    assert set(forward_path(model, setup).values()) == {"fused"}


def test_adapter_fusion_trains_on_the_same_model(tmp_path: Path) -> None:
    model, setup = roberta(), Fuse(*"abc")
    model.add_adapter_fusion(setup, config="dynamic")
    model.train_adapter_fusion(setup)
    model.active_head = "head"
    before = {name: p.detach().clone() for name, p in model.named_parameters() if "fusion" in name}
    train(model, tmp_path, max_steps=2)
    assert all(not torch.equal(p, before[name]) for name, p in model.named_parameters() if name in before)


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_pp"])
def test_replicas_on_several_gpus_read_their_own_omega(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer's nn.DataParallel, played on the CPU: copying tensors to devices is all that needs them."""
    replicate = importlib.import_module("torch.nn.parallel.replicate")
    monkeypatch.setattr(
        replicate,
        "_broadcast_coalesced_reshape",
        lambda tensors, devices, detach=False: [[tensor * 1 for tensor in tensors] for _ in devices],
    )
    monkeypatch.setattr(replicate, "_get_device_index", lambda device, optional: device)
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, variant)
    single = gradients(model)
    model.zero_grad()
    first, second = replicate.replicate(model, [0, 1])
    layer = first.roberta.encoder.layer[0].output.adapter_fusion_layer["a,b,c"]
    assert layer.owner is layer
    for replica in (first, second):
        replica(**batch()).loss.backward()
    twice = [p.grad for p in model.parameters() if p.grad is not None]
    for one, other in zip(single, twice, strict=True):
        torch.testing.assert_close(2 * one, other)


class RecordHeads(Record):
    """Notes the active head, too."""

    def on_evaluate(self, args, state, control, model, **kwargs) -> None:
        super().on_evaluate(args, state, control, model=model)
        self.heads = [*getattr(self, "heads", []), copy.deepcopy(model.heads[model.active_head].state_dict())]


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_uniform_pp"])
def test_the_best_checkpoint_leaves_the_head_at_the_last_epoch(variant: str, tmp_path: Path) -> None:
    """A trait of adapters' trainer, which restores adapters and blocks but no head: the study restores it itself."""
    model, setup = roberta(), ScaLearn(*"abc")
    activate(model, setup, variant)
    record, ranks = RecordHeads(setup), iter([3, 1])
    options = {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True}
    options |= {"metric_for_best_model": "rank", "num_train_epochs": 2}
    train(model, tmp_path, record, lambda _: {"rank": next(ranks)}, **options)
    assert (scaling_coefficients(model, setup) == record.seen[0]).all()
    now = model.heads["head"].state_dict()
    same = [all(torch.equal(now[key], value) for key, value in head.items()) for head in record.heads]
    assert same == [False, True]


WORKER = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from scalearn_lib import ScaLearn, ScaLearnConfig
from tests.composition.helpers import activate, batch, roberta

rank, folder, variants = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
for variant in variants:
    model = roberta()
    activate(model, ScaLearn(*"abc"), ScaLearnConfig.load(variant, regularization=0.5))
    parallel = DistributedDataParallel(model)
    model.get_fusion_regularization_loss().backward()  # adapters' trainer adds it before the next step's loss
    parallel(**{name: rows[2 * rank : 2 * rank + 2] for name, rows in batch().items()}).loss.backward()
    torch.save({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, f"{folder}/{variant}-{rank}.pt")
dist.destroy_process_group()
"""


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    variants = ("scalearn", "scalearn_pp")
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    root = Path(__file__).parents[2]
    command = [sys.executable, str(script)]
    environment = {"PYTHONPATH": str(root), "PATH": "", "OMP_NUM_THREADS": "1"}
    workers = [subprocess.Popen([*command, str(rank), str(tmp_path), *variants], env=environment) for rank in (0, 1)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    for variant in variants:
        model = roberta()
        activate(model, ScaLearn(*"abc"), ScaLearnConfig.load(variant, regularization=0.5))
        model.get_fusion_regularization_loss().backward()
        model(**batch()).loss.backward()
        single = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        for rank in (0, 1):
            parallel = torch.load(tmp_path / f"{variant}-{rank}.pt", weights_only=True)
            assert set(parallel) == set(single)
            for name, gradient in parallel.items():
                torch.testing.assert_close(gradient, single[name], rtol=1e-4, atol=1e-6)
