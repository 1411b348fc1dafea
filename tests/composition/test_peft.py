"""LoRAs of PEFT on other models and with other settings; and folders that cannot be loaded, each with its sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import adapters
import peft
import pytest
import torch
import transformers
from adapters import AutoAdapterModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import scalearn_lib
from scalearn_lib import ScaLearn, ScaLearnConfig, fold, load_peft, save_peft

from .helpers import SHAPE, roberta

GOLDEN = Path(__file__).parents[1] / "golden" / "peft"
IDS = torch.randint(5, 60, (2, 7), generator=torch.Generator().manual_seed(0))
GPT2 = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 1}
T5 = {"vocab_size": 60, "d_model": 32, "d_ff": 64, "d_kv": 8, "num_heads": 4, "num_layers": 2}
LLAMA = SHAPE | {"num_key_value_heads": 2}
CASES: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "roberta with a head": (
        lambda: transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**SHAPE, pad_token_id=1)),
        ["query", "key", "value", "intermediate.dense"],
    ),
    "bert with a head": (
        lambda: transformers.BertForTokenClassification(transformers.BertConfig(**SHAPE)),
        ["query", "intermediate.dense"],
    ),
    "gpt2": (lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2)), ["c_attn", "c_fc", "mlp.c_proj"]),
    "t5": (
        lambda: transformers.T5ForConditionalGeneration(transformers.T5Config(**T5, decoder_start_token_id=0)),
        ["q", "v", "wo"],
    ),
    "llama": (
        lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)),
        ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
    ),
}
SETTINGS = {
    "plain": {"r": 4, "lora_alpha": 8},
    "rslora": {"r": 3, "lora_alpha": 5, "use_rslora": True},
    "patterns": {
        "r": 2,
        "lora_alpha": 4,
        "rank_pattern": {"0.*": 5},
        "alpha_pattern": {r".*\.1\..*": 3},
    },
}


def plain(case: str) -> nn.Module:
    torch.manual_seed(0)
    return CASES[case][0]().eval()


def taught(case: str) -> nn.Module:
    model = plain(case)
    scalearn_lib.init(model)
    return model


def run(model: nn.Module) -> Tensor:
    more = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        return model(input_ids=IDS, **more)[0]


def saved_by_peft(case: str, setting: dict, folder: Path, seed: int = 0) -> Tensor:
    """Save a random LoRA by PEFT; returns what PEFT's model gives with it."""
    targets = CASES[case][1]
    fan = case == "gpt2"
    config = peft.LoraConfig(target_modules=targets, fan_in_fan_out=fan, **setting)
    model = peft.get_peft_model(plain(case), config)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter, 0, 0.3)
    model.eval().save_pretrained(folder)
    return run(model)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", CASES)
def test_peft_there_and_back(case: str, setting: str, tmp_path: Path) -> None:
    wanted = saved_by_peft(case, SETTINGS[setting], tmp_path / "a")
    model = taught(case)
    base = run(model)
    assert load_peft(model, tmp_path / "a", set_active=True) == "a"
    torch.testing.assert_close(run(model), wanted, rtol=0, atol=1e-5)
    assert (wanted - base).abs().max() > 1e-4
    save_peft(model, "a", tmp_path / "back")
    again = peft.PeftModel.from_pretrained(plain(case), tmp_path / "back").eval()
    torch.testing.assert_close(run(again), wanted, rtol=0, atol=1e-5)
    before = load_file(tmp_path / "a" / "adapter_model.safetensors")
    after = load_file(tmp_path / "back" / "adapter_model.safetensors")
    assert {key: value.shape for key, value in before.items()} == {key: value.shape for key, value in after.items()}
    model.save_adapter(str(tmp_path / "adapters"), "a", use_safetensors=True)
    alone = plain(case)
    adapters.init(alone)
    alone.load_adapter(str(tmp_path / "adapters"), set_active=True, use_safetensors=True)
    torch.testing.assert_close(run(alone), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_loras_of_peft_folded_into_one_for_peft(case: str, tmp_path: Path) -> None:
    model = taught(case)
    for seed, name in enumerate(SETTINGS):
        saved_by_peft(case, SETTINGS[name], tmp_path / name, seed)
        load_peft(model, tmp_path / name)
    setup = ScaLearn(*SETTINGS)
    model.add_adapter_fusion(setup, ScaLearnConfig(init_std=0.3), set_active=True)
    wanted = run(model.eval())
    fold(model, setup, "one")
    save_peft(model, "one", tmp_path / "one")
    theirs = peft.PeftModel.from_pretrained(plain(case), tmp_path / "one").eval()
    torch.testing.assert_close(run(theirs), wanted, rtol=0, atol=2e-5)


def test_loras_of_task_models_and_of_bare_ones(tmp_path: Path) -> None:
    """What PEFT saved with a head's prefix, on adapters' own model class; and written for either."""
    wanted = saved_by_peft("roberta with a head", SETTINGS["plain"], tmp_path / "a")
    task = plain("roberta with a head")
    model = AutoAdapterModel.from_config(task.config)
    scalearn_lib.init(model)
    model.roberta.load_state_dict(task.roberta.state_dict(), strict=False)
    load_peft(model, tmp_path / "a", set_active=True)
    hidden = run(model.base_model.eval())
    save_peft(model, "a", tmp_path / "bare")
    bare = peft.PeftModel.from_pretrained(task.roberta, tmp_path / "bare").eval()
    torch.testing.assert_close(run(bare), hidden, rtol=0, atol=1e-5)
    save_peft(model, "a", tmp_path / "task", prefix="roberta")
    with_head = peft.PeftModel.from_pretrained(plain("roberta with a head"), tmp_path / "task").eval()
    torch.testing.assert_close(run(with_head), wanted, rtol=0, atol=1e-5)


def test_a_head_that_peft_saved_beside_a_lora_stays_out(tmp_path: Path) -> None:
    """What PEFT writes after training for a task, which is what most people have."""
    config = transformers.RobertaConfig(**SHAPE, num_labels=3)
    torch.manual_seed(0)
    task_model = transformers.RobertaForSequenceClassification(config).eval()
    encoder = {key: value.clone() for key, value in task_model.roberta.state_dict().items()}
    lora = peft.LoraConfig(task_type="SEQ_CLS", r=4, init_lora_weights=False)
    peft.get_peft_model(task_model, lora).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["modules_to_save"]
    assert any("classifier" in key for key in load_file(tmp_path / "adapter_model.safetensors"))
    model = AutoAdapterModel.from_config(config)
    model.base_model.load_state_dict(encoder, strict=False)
    scalearn_lib.init(model)
    load_peft(model, tmp_path, "theirs", set_active=True)
    ids = torch.tensor([[0, 5, 6, 2]])
    with torch.no_grad():
        ours = model.eval().base_model(ids).last_hidden_state
        theirs = task_model.roberta(ids).last_hidden_state
    assert (ours - theirs).abs().max() < 1e-5
    assert (ours - run_without(model, ids)).abs().max() > 1e-3


def run_without(model: nn.Module, ids: Tensor) -> Tensor:
    """The encoder's output without any adapter."""
    model.set_active_adapters(None)
    with torch.no_grad():
        return model.base_model(ids).last_hidden_state


def test_only_the_maps_that_a_lora_changes_have_it(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "alpha", tmp_path / "part")
    file = tmp_path / "part" / "adapter_model.safetensors"
    kept = {key: value for key, value in load_file(file).items() if "layer.0" not in key and "value" not in key}
    save_file(kept, file)
    configured(target_modules=["query"], layers_to_transform=[1])(tmp_path / "part")
    model = transformers.RobertaModel.from_pretrained(GOLDEN / "base")
    scalearn_lib.init(model)
    load_peft(model, tmp_path / "part")
    with_lora = [name for name, module in model.named_modules() if "part" in getattr(module, "loras", ())]
    assert with_lora == ["encoder.layer.1.attention.self.query"]


def golden_model() -> nn.Module:
    model = transformers.RobertaModel.from_pretrained(GOLDEN / "base")
    scalearn_lib.init(model)
    model.add_adapter("there", config="lora")
    return model


def configured(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | fields))

    return change


def tensors(change: Callable[[str, Tensor], tuple[str, Tensor] | None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        pairs = [change(key, value) for key, value in load_file(file).items()]
        save_file({key: value.contiguous() for key, value in (pair for pair in pairs if pair)}, file)

    return rewrite


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncated(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()


def extra(key: str) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        file = folder / "adapter_model.safetensors"
        save_file(load_file(file) | {key: torch.ones(32)}, file)

    return add


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return tensors(lambda key, value: (key.replace(old, new), value))


QUERY = "base_model.model.encoder.layer.0.attention.self.query"
BAD = {
    "no LoRA folder": (removed("adapter_config.json"), "holds no adapter_config.json: name a folder that PEFT saved"),
    "another method of PEFT": (configured(peft_type="IA3"), "holds no LoRA but peft_type 'IA3': only LoRAs"),
    "malformed JSON": (lambda f: (f / "adapter_config.json").write_text('{"r": 4,'), "is no JSON: save the LoRA again"),
    "no object": (lambda f: (f / "adapter_config.json").write_text("[4]"), "holds no LoRA but peft_type None"),
    "no rank": (configured(r=None), "ranks or alphas that are no positive numbers"),
    "a malformed pattern": (configured(rank_pattern={"(": 4}), "rank_pattern in .* is no regular expression"),
    "DoRA": (configured(use_dora=True), "is DoRA, which adapters cannot hold: train a plain LoRA"),
    "biases": (configured(bias="lora_only"), "has biases, which adapters cannot hold"),
    "biases of B": (configured(lora_bias=True), "has biases, which adapters cannot hold"),
    "modules_to_save": (configured(modules_to_save=["pooler"]), "also holds the whole module pooler .modules_to_save."),
    "PiSSA": (configured(init_lora_weights="pissa_niter_4"), "goes with other frozen weights .init_lora_weights"),
    "a magnitude": (extra(f"{QUERY}.lora_magnitude_vector"), "lora_magnitude_vector, which is no LoRA matrix"),
    "a bias": (extra(f"{QUERY}.base_layer.bias"), "base_layer.bias, which is no LoRA matrix"),
    "another architecture by its name": (
        configured(auto_mapping={"parent_library": "transformers.models.bert.modeling_bert"}),
        "was made for the architecture bert, the model is roberta",
    ),
    "another architecture by its modules": (
        renamed("encoder.layer.", "h."),
        "changes h.0.attention.self.query, which RobertaModel lacks: it is of another model",
    ),
    "a task model of another architecture": (
        renamed("model.encoder", "model.bert.encoder"),
        "changes bert.encoder.layer.0.attention.self.query, which RobertaModel lacks",
    ),
    "more layers": (renamed("layer.1", "layer.2"), "changes encoder.layer.2.* which RobertaModel lacks"),
    "fewer layers": (
        tensors(lambda key, value: None if "layer.1." in key else (key, value)),
        "has nothing for encoder.layer.1.attention.self.query: it is of a model with fewer layers",
    ),
    "the attention output": (
        renamed("self.query", "output.dense"),
        "changes encoder.layer.0.attention.output.dense, where adapters has no LoRA: it has them in query",
    ),
    "another width": (
        tensors(lambda key, value: (key, value.repeat(1, 2) if "lora_A" in key else value.repeat(2, 1))),
        "has widths 64 to 64 in encoder.layer.0.attention.self.query, the model 32 to 32: it is of another size",
    ),
    "another rank": (configured(r=8), r"of rank 8 in .*, not A \(4, 32\), B \(32, 4\): save it again"),
    "ranks that differ": (
        tensors(lambda key, value: (key, value[:, :3] if "lora_B" in key else value)),
        r"of rank 4 in .*, not A \(4, 32\), B \(32, 3\)",
    ),
    "one dimension": (tensors(lambda key, value: (key, value.flatten())), r"not A \(128,\), B \(128,\): save it again"),
    "A alone": (tensors(lambda key, value: (key, value) if "lora_A" in key else None), r"not A \(4, 32\): save it"),
    "nothing": (tensors(lambda key, value: None), "holds no matrices: save it again"),
    "truncated weights": (truncated, "adapter_model.safetensors is damaged: save the LoRA again"),
    "pickled weights": (pickled, "only pickled weights .adapter_model.bin., which may run code: save safetensors"),
    "no weights": (removed("adapter_model.safetensors"), "has no adapter_model.safetensors: save the LoRA again"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_loaded_changes_nothing(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    shutil.copytree(GOLDEN / "alpha", tmp_path / "alpha")
    change(tmp_path / "alpha")
    model = golden_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as error:
        load_peft(model, tmp_path / "alpha")
    print(f"{case}: {error.value}")
    assert "\n" not in str(error.value)
    after = model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert [*model.adapters_config] == ["there"]


def test_names_that_are_taken_and_models_that_were_not_taught(tmp_path: Path) -> None:
    model = golden_model()
    with pytest.raises(ValueError, match="has an adapter named 'there' already: load the one in .* by load_as"):
        load_peft(model, GOLDEN / "alpha", load_as="there")
    untaught = transformers.RobertaModel.from_pretrained(GOLDEN / "base")
    for use in (lambda: load_peft(untaught, GOLDEN / "alpha"), lambda: save_peft(untaught, "alpha", tmp_path)):
        with pytest.raises(RuntimeError, match="call scalearn_lib.init.model. first"):
            use()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "No adapter named 'x' on the model"),
        ("seq_bn", "but 'x' is a bottleneck adapter: use save_adapter"),
        ("dora", "'x' is DoRA"),
    ],
)
def test_what_is_no_lora_is_not_written(config: str | None, message: str, tmp_path: Path) -> None:
    model = roberta("", [])
    if config:
        model.add_adapter("x", config=config)
    with pytest.raises(ValueError, match=message):
        save_peft(model, "x", tmp_path / "x")
    assert not (tmp_path / "x").exists()
