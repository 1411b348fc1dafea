"""Wrong input gets one clear sentence and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from adapters import (
    AdapterSetup,
    ConfigUnion,
    Fuse,
    LoRAConfig,
    MTLLoRAConfig,
    Parallel,
    RobertaAdapterModel,
    SeqBnConfig,
    Split,
    Stack,
)
from transformers import RobertaConfig

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig

from .helpers import SHAPE, activate, logits, roberta


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((), "at least one source adapter"),
        (("a", ""), "no empty names"),
        (("a", "b", "a"), "a is given more than once"),
        (("a", Stack("b", "a")), "a is given more than once"),
        (("a", Fuse("b", "c")), "takes adapter names or Stacks of adapter names, not Fuse"),
        (("a", Parallel("b", "c")), "takes adapter names or Stacks"),
        (("a", ScaLearn("b", "c")), "takes adapter names or Stacks"),
        (("a", Stack("b", Fuse("c", "d"))), "takes adapter names or Stacks"),
        ((["a", "b"],), "takes adapter names or Stacks"),
    ],
)
def test_setups_that_cannot_work(sources: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        ScaLearn(*sources)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "nesting",
    [lambda s: Fuse("c", s), lambda s: Split("c", s, splits=4), lambda s: Stack("c", Stack("c", s))],
)
def test_nestings_that_cannot_work(nesting) -> None:
    model, setup = roberta(), ScaLearn("a", "b")
    activate(model, setup)
    with pytest.raises(ValueError, match="Cannot nest|invalid|too deep"):
        model.set_active_adapters(nesting(setup))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"init_scale": float("nan")}, "init_scale must be a finite number"),
        ({"init_std": -1.0}, "init_std must be .* at least 0"),
        ({"dropout_prob": 1.0}, "dropout_prob must be at least 0 and below 1"),
        ({"constraint": "max"}, "constraint must be None, 'mean' or 'softmax'"),
        ({"regularization": -0.1}, "regularization must be"),
        ({"fixed": []}, "fixed must hold one finite number per source"),
        ({"fixed": [1.0, float("inf")]}, "fixed must hold one finite number per source"),
        ({"fixed": [1.0], "constraint": "mean"}, "fixed coefficients are not learned"),
        ({"architecture": "lora"}, "architecture 'scalearn', not 'lora'"),
    ],
)
def test_configurations_out_of_range(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScaLearnConfig(**fields)


def test_unknown_variants_name_the_nearest() -> None:
    model, setup = roberta(), ScaLearn("a", "b")
    with pytest.raises(ValueError, match="Unknown fusion configuration 'scalern' .did you mean 'scalearn'.*valid: "):
        model.add_adapter_fusion(setup, config="scalern")
    with pytest.raises(ValueError, match="did you mean 'scalearn_pp'"):
        ScaLearnConfig.load("scalearn_p")
    with pytest.raises(ValueError, match="no field droput"):
        ScaLearnConfig.load("scalearn", droput=0.1)
    assert not model.adapters_config.fusions


def test_a_scalearn_setup_needs_a_scalearn_configuration() -> None:
    model = roberta()
    with pytest.raises(ValueError, match="needs a ScaLearn configuration, not 'dynamic'"):
        model.add_adapter_fusion(ScaLearn("a", "b"), config="dynamic")
    model.add_adapter_fusion(["a", "b"], config="scalearn", name="from_list")
    model.add_adapter_fusion("a,c", config="scalearn_pp")
    model.add_adapter_fusion(ScaLearn("b", "c"))  # "scalearn" unless told otherwise
    assert set(model.adapters_config.fusions) == {"from_list", "a,c", "b,c"}
    with pytest.raises(ValueError, match="has already been added"):
        model.add_adapter_fusion(ScaLearn("b", "c"))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("lora", "sources of one kind, but 'a' is a sequential bottleneck adapter and 'x' a LoRA: give each"),
        ("par_bn", "one kind, but 'a' is a sequential bottleneck adapter and 'x' a parallel bottleneck adapter"),
        ("dora", "bottleneck adapters and LoRAs, but 'x' is DoRA, which also rescales the frozen weights"),
        ("vera", "'x' is VeRA, whose projections belong to all layers together"),
        ("ia3", "'x' is .IA.³, which multiplies what a map gives"),
        (LoRAConfig(use_gating=True), "'x' is a gated LoRA, whose output depends on more"),
        (MTLLoRAConfig(), "'x' is an MTL-LoRA, whose weights depend on the task: train a plain one"),
        ("prefix_tuning", "'x' is a prefix or prompt, which lengthens the input"),
        ("prompt_tuning", "'x' is a prefix or prompt, which lengthens the input"),
        ("loreft", "'x' is ReFT, which replaces what a layer gives"),
        ("mam", "'x' joins several kinds of adapter"),
        (ConfigUnion(SeqBnConfig(), LoRAConfig()), "'x' joins several kinds of adapter: train a plain one"),
        ("seq_bn[original_ln_before=False]", "'x' and 'a' differ in original_ln_before"),
        ("seq_bn[mh_adapter=True]", "'x' and 'a' differ in mh_adapter"),
        (None, "Source adapters not on the model: x"),
    ],
)
def test_sources_that_cannot_be_scaled(adapter: object, message: str) -> None:
    model = roberta()
    if adapter is not None:
        model.add_adapter("x", config=adapter)
    before = set(model.state_dict())
    with pytest.raises(ValueError, match=message) as error:
        model.add_adapter_fusion(ScaLearn("a", "x"), config="scalearn")
    assert "\n" not in str(error.value)
    assert set(model.state_dict()) == before and not model.adapters_config.fusions


@pytest.mark.parametrize(("adapter", "kind"), [("lora", "LoRA"), ("par_bn", "parallel bottleneck adapter")])
def test_only_sequential_adapters_come_in_stacks(adapter: str, kind: str) -> None:
    model, setup = roberta("ab", [adapter]), ScaLearn("a", Stack("c", "b"))
    model.add_adapter("c", config="seq_bn")
    for use in (
        lambda: model.add_adapter_fusion(setup),
        lambda: model.add_adapter_fusion(ScaLearn("a", "b", name=setup.name)) or model.set_active_adapters(setup),
    ):
        with pytest.raises(ValueError, match=f"over {kind}s takes their names, not Stacks"):
            use()
    if adapter == "lora":  # a context takes any setup; it is checked where it runs
        with AdapterSetup(setup), pytest.raises(ValueError, match="takes their names, not Stacks"):
            logits(model)


def test_a_stack_below_parallel_adapters_would_be_lost() -> None:
    model, setup = roberta("abc", ["par_bn", "par_bn", "seq_bn"]), ScaLearn("a", "b")
    model.add_adapter_fusion(setup)
    with pytest.raises(ValueError, match="a block over them would drop 'c' of its Stack"):
        model.set_active_adapters(Stack("c", setup))


def test_adapter_fusion_over_loras_is_refused_by_adapters() -> None:
    model = roberta("ab", ["lora"])
    model.add_adapter_fusion(Fuse("a", "b"), config="dynamic", set_active=True)
    with pytest.raises(NotImplementedError):
        logits(model)


def test_fixed_coefficients_must_fit_the_sources() -> None:
    with pytest.raises(ValueError, match="2 fixed coefficients do not fit 3 sources"):
        roberta().add_adapter_fusion(ScaLearn(*"abc"), config=ScaLearnConfig(fixed=[1.0, 2.0]))


def test_a_block_must_be_added_before_it_is_used() -> None:
    model = roberta()
    for use in (model.set_active_adapters, model.train_adapter_fusion):
        with pytest.raises(
            ValueError, match="No ScaLearn block named 'a,b' on the model: call add_adapter_fusion first"
        ):
            use(ScaLearn("a", "b"))
    with pytest.raises(ValueError, match="No ScaLearn block named 'x'"):
        scalearn_lib.scaling_coefficients(model, "x")


def untaught() -> RobertaAdapterModel:
    model = RobertaAdapterModel(RobertaConfig(**SHAPE, pad_token_id=1))
    for source in "abc":
        model.add_adapter(source, config="seq_bn[reduction_factor=4]")
    return model


@pytest.mark.parametrize("config", [None, "scalearn", "dynamic", ScaLearnConfig(), ScaLearnConfig().to_dict()])
def test_a_model_that_was_not_taught_says_so_and_can_still_be_taught(config: object) -> None:
    model, setup = untaught(), ScaLearn(*"abc")
    with pytest.raises(RuntimeError, match="call scalearn_lib.init.model. first"):
        model.add_adapter_fusion(setup, config=config)
    with pytest.raises(RuntimeError, match="call scalearn_lib.init.model. first"):
        model.set_active_adapters(setup)
    assert not model.adapters_config.fusions
    scalearn_lib.init(model)
    model.add_adapter_fusion(setup, config="scalearn", set_active=True)
    assert model.active_adapters == setup


def test_a_saved_block_is_no_adapter_fusion_to_a_model_that_was_not_taught(tmp_path: Path) -> None:
    model = roberta()
    activate(model, ScaLearn(*"abc"))
    model.save_adapter_fusion(str(tmp_path / "block"), ScaLearn(*"abc"))
    fresh = untaught()
    with pytest.raises(RuntimeError, match="call scalearn_lib.init.model. first"):
        fresh.load_adapter_fusion(str(tmp_path / "block"))
    assert not fresh.adapters_config.fusions


def test_models_that_were_not_taught_keep_adapters_own_behaviour() -> None:
    model = untaught()
    model.add_adapter("scalearn", config="seq_bn")  # a name like a variant's is a name like any other
    model.set_active_adapters("scalearn")
    model.add_adapter_fusion(adapter_names=Fuse(*"abc"), config="dynamic", name="scalearn_pp", set_active=True)
    assert model.active_adapters.name == "scalearn_pp"


@pytest.mark.parametrize("sources", ["cba", "ab", "abcd"])
def test_a_named_block_is_used_with_its_own_sources(sources: str) -> None:
    """Coefficients of one source must not silently scale another."""
    model, other = roberta("abcd"), ScaLearn(*sources, name="block")
    activate(model, ScaLearn(*"abc", name="block"))
    uses = [
        lambda: model.set_active_adapters(other),
        lambda: scalearn_lib.fold(model, other, "folded"),
        lambda: scalearn_lib.scaling_coefficients(model, other),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="'block' has coefficients for a, b, c: name these sources, in this order"):
            use()
    with AdapterSetup(other), pytest.raises(ValueError, match="coefficients for a, b, c"):
        logits(model)
    assert model.active_adapters == ScaLearn(*"abc", name="block")


def test_an_unknown_block_in_a_context_says_so() -> None:
    model = roberta()
    with AdapterSetup(ScaLearn("a", "b")), pytest.raises(ValueError, match="No ScaLearn block named 'a,b'"):
        logits(model)


@pytest.mark.parametrize("name", ["v1.0", "values"])
def test_names_that_no_module_can_have(name: str) -> None:
    model = roberta()
    with pytest.raises(ValueError, match=f"cannot be named '{name}'"):
        model.add_adapter_fusion(ScaLearn("a", "b", name=name))
    assert not model.adapters_config.fusions


@pytest.mark.parametrize("config", [5, ["scalearn"]])
def test_what_is_no_configuration(config: object) -> None:
    with pytest.raises(ValueError, match="is a name, a configuration object or a dictionary, not"):
        roberta().add_adapter_fusion(ScaLearn("a", "b"), config=config)
