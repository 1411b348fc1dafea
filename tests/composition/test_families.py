"""A ScaLearn block works in every model family of adapters; docs/model_families.md has the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import adapters
import pytest
import torch
import transformers
from adapters import AutoAdapterModel
from torch import nn

import scalearn_lib
from scalearn_lib import ScaLearn, forward_path

from .families import FAMILIES, make, output

each_family = pytest.mark.parametrize("name", FAMILIES)
SETUP = ScaLearn("a", "b", name="block")
PAGE = Path(__file__).parents[2] / "docs" / "model_families.md"


def taught(name: str, variant: str = "scalearn") -> nn.Module:
    """A model with two random source adapters and an active block with random coefficients."""
    model = make(name)
    scalearn_lib.init(model)
    for source in SETUP.sources:
        model.add_adapter(source, config="seq_bn")
    model.add_adapter_fusion(SETUP, config=variant, set_active=True)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if ".adapters." in parameter_name or "omega" in parameter_name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def add_text_head(model: nn.Module, kind: str) -> None:
    if kind != "own":
        getattr(model, f"add_{kind}_head")("text")


def loaded(name: str, folder: Path) -> nn.Module:
    cls = transformers.EncoderDecoderModel if name == "encoder_decoder" else AutoAdapterModel
    if name == "encoder_decoder":
        return adapters.load_model(str(folder), cls).eval()
    return cls.from_pretrained(folder).eval()


def test_every_family_of_adapters_is_here() -> None:
    folder = Path(adapters.__file__).parent / "models"
    families = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert families - {"auto"} == set(FAMILIES)


@each_family
def test_forward_gradients_and_fold(name: str) -> None:
    model = taught(name)
    with torch.no_grad():
        scaled = output(model, name)
        model.set_active_adapters(None)
        assert not torch.allclose(scaled, output(model, name), atol=1e-4)
    model.train_adapter_fusion(SETUP)
    model.eval()
    output(model, name).square().sum().backward()
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad and "heads." not in n}
    assert learned and all("block.omega" in n for n in learned)
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learned.values())
    assert set(forward_path(model, SETUP).values()) == {"fused"}
    scalearn_lib.fold(model, SETUP, "folded")
    model.set_active_adapters("folded")
    with torch.no_grad():
        torch.testing.assert_close(output(model, name), scaled, rtol=1e-4, atol=1e-5)


@each_family
def test_a_block_is_saved_and_loaded(name: str, tmp_path: Path) -> None:
    model = taught(name)
    other = taught(name)
    with torch.no_grad():
        scaled = output(model, name)
    model.save_adapter_fusion(str(tmp_path), SETUP, use_safetensors=True)
    other.delete_adapter_fusion(SETUP)
    other.load_adapter_fusion(str(tmp_path), use_safetensors=True)
    other.set_active_adapters(SETUP)
    with torch.no_grad():
        assert torch.equal(output(other, name), scaled)


@pytest.mark.parametrize("variant", ["scalearn", "scalearn_pp"])
@each_family
def test_a_whole_model_is_saved_and_loaded(name: str, variant: str, tmp_path: Path) -> None:
    model = taught(name, variant)
    with torch.no_grad():
        scaled = output(model, name)
    model.save_pretrained(tmp_path)
    again = loaded(name, tmp_path)
    again.set_active_adapters(SETUP)
    with torch.no_grad():
        torch.testing.assert_close(output(again, name), scaled, rtol=0, atol=1e-6)
    omegas = [[n for n, _ in m.named_parameters() if n.endswith(".omega")] for m in (model, again)]
    assert omegas[0] == omegas[1] and (len(omegas[0]) == 1) == (variant == "scalearn_pp" or name == "albert")
    scalearn_lib.fold(again, SETUP, "folded")
    again.set_active_adapters("folded")
    with torch.no_grad():
        torch.testing.assert_close(output(again, name), scaled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.head])
def test_text_is_generated(name: str) -> None:
    family, model = FAMILIES[name], taught(name)
    add_text_head(model, family.head)
    inputs = {key: value for key, value in family.inputs.items() if not key.startswith("decoder")}
    texts = []
    for setup in (SETUP, "folded", None):
        if setup == "folded":
            scalearn_lib.fold(model, SETUP, "folded")
        model.set_active_adapters(setup)
        with torch.no_grad():
            more = {"output_scores": True, "return_dict_in_generate": True, "max_new_tokens": 4, "min_new_tokens": 4}
            texts.append(torch.stack(model.generate(**inputs, **more, do_sample=False).scores))
    torch.testing.assert_close(texts[0], texts[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(texts[0], texts[2], atol=1e-4)


def test_without_the_import_adapters_speaks_for_itself(tmp_path: Path) -> None:
    taught("bert").save_pretrained(tmp_path)
    code = f"""
import traceback
from adapters import AutoAdapterModel
try:
    AutoAdapterModel.from_pretrained({str(tmp_path)!r})
except AttributeError:
    traceback.print_exc()
    import scalearn_lib
    AutoAdapterModel.from_pretrained({str(tmp_path)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "AttributeError" in done.stderr and "scalearn" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_coefficients_are_read_as_attention_is() -> None:
    model = taught("bert")
    given = model(**FAMILIES["bert"].inputs, output_adapter_fusion_attentions=True)
    places = given.adapter_fusion_attentions["block"]
    omega = scalearn_lib.scaling_coefficients(model, SETUP)
    assert list(places) == [0, 1]
    for layer, locations in places.items():
        ((where, told),) = locations.items()
        assert where == "output_adapter" and told.shape == (2, 6, 2) and told.untyped_storage().size() == 2 * 4
        torch.testing.assert_close(told[1, 3], torch.tensor(omega[layer].mean("hidden").to_numpy()))


def test_compacter_sources_run_one_by_one() -> None:
    model = make("bert")
    scalearn_lib.init(model)
    for source in SETUP.sources:
        model.add_adapter(source, config="compacter++[reduction_factor=4]")
    model.add_adapter_fusion(SETUP, config="scalearn", set_active=True)
    model.train_adapter_fusion(SETUP)
    output(model, "bert").square().sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if n.endswith("block.omega"))
    assert set(forward_path(model, SETUP).values()) == {"loop: 'a' has no plain linear projections"}
    with pytest.raises(ValueError, match="cannot be folded into one plain adapter: 'a' has no plain linear"):
        scalearn_lib.fold(model, SETUP, "folded")
    one = ScaLearn("a", name="one")
    model.add_adapter_fusion(one, config=scalearn_lib.ScaLearnConfig(fixed=[1.0]), set_active=True)
    model.eval()
    with torch.no_grad():
        scaled = output(model, "bert")
        model.set_active_adapters("a")
        torch.testing.assert_close(scaled, output(model, "bert"), rtol=1e-4, atol=1e-5)


def test_the_page_tells_what_is_tested() -> None:
    rows = [line.split("|")[1:-1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    told = {row[0].strip(" `"): row[-1].strip() for row in rows}
    assert told == {name: "yes" if family.head else "" for name, family in FAMILIES.items()}
