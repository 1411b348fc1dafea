"""The kept stack of source adapters: made once while they stand still, made again whenever one changes."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from scalearn_lib import ScaLearn, ScaLearnConfig
from scalearn_lib.composition import stacking
from scalearn_lib.composition.reading import transfer_layers

from .helpers import activate, batch, logits, randomise, roberta

SETUP = ScaLearn(*"abc")


def ready(fused: bool = True) -> nn.Module:
    model = roberta()
    activate(model, SETUP, ScaLearnConfig(fused=fused))
    return model


def up_weight(model: nn.Module, source: str = "b") -> nn.Parameter:
    return model.roberta.encoder.layer[1].output.adapters[source].adapter_up.weight


def by_loop(model: nn.Module) -> torch.Tensor:
    """The logits of the same weights without any stack."""
    for _, _, layer in transfer_layers(model, SETUP):
        layer.config = ScaLearnConfig(fused=False)
    expected = logits(model)
    for _, _, layer in transfer_layers(model, SETUP):
        layer.config = ScaLearnConfig()
    return expected


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry per stack that is made."""
    made, make = [], stacking.stack_projections
    monkeypatch.setattr(stacking, "stack_projections", lambda *sources: made.append(1) or make(*sources))
    return made


def test_frozen_sources_are_stacked_once_per_layer(counted: list[int]) -> None:
    model = ready()
    for _ in range(3):
        model(**batch()).loss.backward()
        logits(model)
    assert len(counted) == 2  # layers


def step(model: nn.Module) -> None:
    parameter = up_weight(model)
    parameter.requires_grad_(True)
    optimizer = torch.optim.SGD([parameter], lr=1000.0)
    model(**batch()).loss.backward()
    optimizer.step()
    parameter.requires_grad_(False)


def in_place(model: nn.Module) -> None:
    with torch.no_grad():
        up_weight(model).mul_(2.0)


def state_dict(model: nn.Module) -> None:
    model.load_state_dict({name: 2 * value for name, value in model.state_dict().items()})


def other_parameter(model: nn.Module) -> None:
    layer = model.roberta.encoder.layer[1].output.adapters["b"].adapter_up
    layer.weight = nn.Parameter(layer.weight.detach() * 2, requires_grad=False)


def other_adapter(model: nn.Module) -> None:
    model.delete_adapter("b")
    model.add_adapter("b", config="seq_bn[reduction_factor=2]")
    randomise(model)
    for parameter in model.roberta.encoder.layer.parameters():
        parameter.requires_grad_(False)


def other_storage(model: nn.Module) -> None:
    up_weight(model).data = up_weight(model).data * 2


@pytest.mark.parametrize("change", [step, in_place, state_dict, other_parameter, other_adapter, other_storage])
def test_a_changed_source_is_seen(change: Callable[[nn.Module], None]) -> None:
    model = ready()
    before = logits(model)
    change(model)
    after = logits(model)
    assert not torch.allclose(after, before, atol=1e-4)
    torch.testing.assert_close(after, by_loop(model), rtol=1e-5, atol=1e-5)


def test_weights_that_went_away_and_others_that_came_to_their_address_are_seen() -> None:
    model = ready()
    weight, kept = up_weight(model), up_weight(model).detach().clone()
    for factor in range(2, 20):
        logits(model)
        weight.data = torch.empty(0)  # offloaded; the allocator may give the same memory again
        weight.data = kept * factor
        torch.testing.assert_close(logits(model), by_loop(model), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_another_dtype_is_seen(dtype: torch.dtype) -> None:
    model = ready()
    logits(model)
    model.to(dtype)
    assert logits(model).dtype == dtype
    torch.testing.assert_close(logits(model), by_loop(model), rtol=0.0, atol=0.1 if dtype == torch.bfloat16 else 1e-10)


def test_evaluation_in_inference_mode_does_not_spoil_training() -> None:
    model = ready()
    with torch.inference_mode():
        model(**batch())
    model(**batch()).loss.backward()
    fresh = ready()
    fresh(**batch()).loss.backward()
    pairs = zip(transfer_layers(model, SETUP), transfer_layers(fresh, SETUP), strict=True)
    for (_, _, one), (_, _, other) in pairs:
        assert torch.equal(one.omega.grad, other.omega.grad) and one.omega.grad.abs().sum() > 0


def test_autocast_gets_its_own_stack(counted: list[int]) -> None:
    model = ready()
    full = logits(model)
    with torch.autocast("cpu", torch.bfloat16):
        half = [logits(model) for _ in range(3)]
    assert len(counted) == 4  # one for each precision and layer
    down = next(layer for _, _, layer in transfer_layers(model, SETUP))._stack._kept.stack.down
    assert down.dtype == torch.bfloat16
    torch.testing.assert_close(half[0].float(), full, rtol=0.0, atol=0.1)
    assert torch.equal(half[0], half[2])
    assert torch.equal(logits(model), full)


def test_copies_stack_their_own_sources() -> None:
    model = ready()
    before = logits(model)
    twin = copy.deepcopy(model)
    in_place(twin)
    assert torch.equal(logits(model), before)
    torch.testing.assert_close(logits(twin), by_loop(twin), rtol=1e-5, atol=1e-5)
    kept = transfer_layers(model, SETUP)[0][2]._stack
    assert kept._kept is not None and pickle.loads(pickle.dumps(kept))._kept is None


def test_unfrozen_sources_are_never_kept(counted: list[int]) -> None:
    model = ready()
    up_weight(model).requires_grad_(True)
    for _ in range(2):
        logits(model)  # no gradient is wanted here, so the fused forward runs
    assert len(counted) == 3  # the layer below once, this one each time


def test_a_source_that_a_fused_optimizer_trained_is_read_anew() -> None:
    """Its step is no change that PyTorch counts: the parameters, their addresses and versions stay as they were."""
    model = ready()
    before = logits(model)
    model.train_adapter("b")
    parameters = [p for p in model.parameters() if p.requires_grad]
    versions = [p._version for p in parameters]
    model(**batch()).loss.backward()
    torch.optim.AdamW(parameters, lr=0.1, fused=True).step()
    assert [p._version for p in parameters] == versions
    model.train_adapter_fusion(SETUP)
    model.active_head = "head"
    model.eval()
    after = logits(model)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, by_loop(model), rtol=0, atol=1e-5)


def test_replicas_in_threads_get_their_own_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DataParallel` copies layers shallowly, so replicas on several GPUs share what is kept."""
    sources = [[model.roberta.encoder.layer[0].output.adapters[name] for name in "abc"] for model in (ready(), ready())]
    with torch.no_grad():
        for parameter in sources[1][0].parameters():
            parameter.add_(1)
    kept, both = stacking.KeptStack(), threading.Barrier(2)
    make = stacking.Kept
    monkeypatch.setattr(stacking, "Kept", lambda *of: (both.wait(10), make(*of))[1])  # both are about to keep theirs
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(kept.get, sources))
    for stack, of in zip(got, sources, strict=True):
        assert torch.equal(stack.down, stacking.stack_projections(of).down)
