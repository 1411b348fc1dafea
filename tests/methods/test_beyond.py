"""Variants of ScaLearn beyond the paper: where ω starts, blocks, and maps of low rank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scalearn_lib import ScaLearnConfig, fold, scaling_coefficients
from scalearn_lib.composition.reading import transfer_layers
from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method, transfer_parameters
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.runs.execution import source_folders
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import load_model

RUN = Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke")
LAYERS, WIDTH, SOURCES = 2, 32, 4


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place of results with the source adapters."""
    output = tmp_path_factory.mktemp("outputs")
    for source in RUN.sources().values():
        execute(source, output)
    return output


def prepared(method: str, output: Path, **options: object) -> tuple[torch.nn.Module, object]:
    learner, model = get_method(method).learner(**options), load_model("tiny")
    learner.prepare(model, [get_task("toy", "toy_topic")], source_folders(RUN, output))
    return model.eval(), learner


@pytest.mark.parametrize("method", ["scalearn_from_target", "scalearn_uniform_pp_from_target"])
def test_omega_starts_at_the_target(method: str, output: Path) -> None:
    model, learner = prepared(method, output)
    omega = scaling_coefficients(model, learner.name)
    own = omega.sel(source="toy_topic")
    assert abs(own - 1).max() < 0.01 and abs(omega.drop_sel(source="toy_topic")).max() < 0.01
    assert abs(own - 1).max() > 0  # with noise
    assert transfer_parameters(model) == transfer_parameters(prepared(learner.config, output)[0])


def test_omega_starts_twice_as_high(output: Path) -> None:
    model, learner = prepared("scalearn_init_4", output)
    omega = scaling_coefficients(model, learner.name)
    assert abs(omega - 4 / SOURCES).max() < 0.01 and omega.sizes["source"] == SOURCES
    assert transfer_parameters(model) == LAYERS * SOURCES * WIDTH


def test_without_its_own_source_there_is_no_such_start(output: Path) -> None:
    run = replace(RUN, method="scalearn_from_target", source_tasks=("toy_pair", "toy_score"))
    with pytest.raises(UserError, match="'toy_topic' is not among the sources .toy_pair, toy_score.; add it, or use"):
        execute(run, output)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [(f"scalearn_blocks_{blocks}", LAYERS * SOURCES * blocks) for blocks in (2, 8, 32)]
    + [("scalearn_low_rank", LAYERS * SOURCES * WIDTH * (1 + 2 * 4))],
)
def test_parameters_are_those_of_the_formula(method: str, parameters: int, output: Path) -> None:
    model, learner = prepared(method, output)
    sources = len(transfer_layers(model, learner.name)[0][2].sources)
    assert transfer_parameters(model) == parameters * sources // SOURCES


def test_a_block_has_one_coefficient(output: Path) -> None:
    model, learner = prepared("scalearn_blocks_2", output)
    _, module, layer = transfer_layers(model, learner.name)[0]
    wide = layer.scaling(module.rows(layer))
    assert wide.shape == (len(layer.sources), WIDTH)
    assert torch.equal(wide[:, :16], layer.omega[:, :1].expand(-1, 16))
    assert torch.equal(wide[:, 16:], layer.omega[:, 1:].expand(-1, 16))


def test_a_map_of_low_rank_does_nothing_at_first_and_is_the_equation_later(output: Path) -> None:
    text = {"input_ids": torch.arange(5, 15).view(1, 10)}
    model, learner = prepared("scalearn_low_rank", output)
    plain, _ = prepared("scalearn", output)
    _, module, layer = transfer_layers(model, learner.name)[0]
    adapter, h = module.adapters["toy_pair"], torch.randn(3, WIDTH)
    o = adapter.adapter_up(adapter.adapter_down(h))
    like = transfer_layers(plain, "scalearn")[0][1].adapters["toy_pair"]
    torch.testing.assert_close(o, like.adapter_up(like.adapter_down(h)))
    low = adapter.adapter_up.parametrizations.weight[0]
    torch.nn.init.normal_(low.up)
    torch.testing.assert_close(adapter.adapter_up(adapter.adapter_down(h)), o + o @ low.down.T @ low.up.T)
    expected = model(**text).logits.detach()
    name = learner.as_adapter(model, get_task("toy", "toy_topic"))
    model.set_active_adapters(name)
    model.active_head = "toy_topic"
    torch.testing.assert_close(model(**text).logits, expected, rtol=0.0, atol=1e-5)


def test_what_low_rank_learned_comes_back(output: Path) -> None:
    run = replace(RUN, method="scalearn_low_rank")
    execute(run, output)
    maps = [
        module.adapters[name].adapter_up.parametrizations.weight[0].up
        for _, module, layer in transfer_layers(load_trained(run, output), run.method)
        for name in layer.sources
    ]
    assert all(matrix.abs().max() > 0 for matrix in maps)


def test_wrong_blocks_and_starts_are_refused(output: Path) -> None:
    model, learner = prepared("scalearn", output)
    setup = model.active_adapters
    for wrong, sentence in [
        ({"blocks": 0}, "at least 1, got 0"),
        ({"blocks": 2, "uniform": True}, "leave out uniform"),
        ({"start": [float("nan")]}, "one finite number per source"),
        ({"start": [1.0], "fixed": [1.0]}, "leave out constraint"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            ScaLearnConfig(**wrong)
    for config, sentence in [
        (ScaLearnConfig(blocks=5), "5 blocks do not divide the hidden size of 32"),
        (ScaLearnConfig(start=[1.0]), "1 starting coefficients do not fit"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            model.add_adapter_fusion(setup, config, overwrite_ok=True)
    for sources in (["other"], []):
        with pytest.raises(ValueError, match="sources must be some of the block's"):
            fold(model, setup, "folded", sources=sources)
