"""Encoders by name, and the tiny one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_suite, toy, wheels
from scalearn_lib.tasks.encoders import encoder_dir, load_model, load_tokenizer
from scalearn_lib.tasks.tiny import build_tiny


def test_tiny_is_built_once_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_DATA", str(tmp_path))
    folder = encoder_dir("tiny")
    built = (folder / "model.safetensors").stat().st_mtime_ns
    assert encoder_dir("tiny") == folder and (folder / "model.safetensors").stat().st_mtime_ns == built
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]  # no scratch is left
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    assert type(model).__name__ == "RobertaAdapterModel" and not model.training
    assert model.dtype == torch.float32 and model.config.hidden_size == 32 and model.config.num_hidden_layers == 2
    assert type(AutoModel.from_pretrained(folder, local_files_only=True)).__name__ == "RobertaModel"
    assert tokenizer.model_max_length == 384
    assert tokenizer.tokenize("the thunder") == ["the", "Ġthunder"]
    assert max(tokenizer(toy.texts())["input_ids"], key=max) and len(tokenizer) == model.config.vocab_size
    longest = tokenizer("the sea " * 300, truncation=True, return_tensors="pt")
    assert torch.isfinite(model(**longest).last_hidden_state).all()


def test_tiny_is_the_same_everywhere(tmp_path: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    build_tiny(tmp_path / "one")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(8)
    build_tiny(tmp_path / "two")
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    weight = AutoModel.from_pretrained(tmp_path / "one").get_input_embeddings().weight
    assert weight[0, :3].tolist() == pytest.approx([0.529216, 0.120047, 0.293621], abs=1e-6)


def test_a_second_builder_leaves_the_first_one_s_files(tmp_path: Path) -> None:
    build_tiny(tmp_path / "tiny")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "tiny").iterdir()}
    build_tiny(tmp_path / "tiny")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tiny").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_short_names_and_ids_are_found_in_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for repo in ("FacebookAI/roberta-base", "someone/some-model"):
        shutil.copytree(encoder_dir("tiny"), tmp_path / repo)
    monkeypatch.setenv("SCALEARN_HUB", str(tmp_path))
    assert encoder_dir("roberta-base") == tmp_path / "FacebookAI/roberta-base"
    assert load_model("someone/some-model").num_parameters() == load_model("tiny").num_parameters()
    with pytest.raises(UserError, match="Encoder 'xlm-roberta-large' needs config.json.*`scalearn prefetch`"):
        encoder_dir("xlm-roberta-large")


def test_missing_encoders_are_answered_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `scalearn fetch`"):
        encoder_dir("minilm")
    with pytest.raises(UserError, match=r"Unknown encoder 'roberta-bas' \(did you mean 'roberta-base'\?\)"):
        encoder_dir("roberta-bas")
    with pytest.raises(UserError, match="Unknown encoder 'no/such/folder'"):
        encoder_dir("no/such/folder")
    with pytest.raises(UserError, match="has no config.json"):
        encoder_dir(str(tmp_path))


def test_a_local_folder_never_asks_the_hub(tmp_path: Path) -> None:
    shutil.copytree(encoder_dir("tiny"), tmp_path / "mine")
    assert encoder_dir(str(tmp_path / "mine")) == tmp_path / "mine"
    assert load_model(str(tmp_path / "mine")).num_parameters() == load_model("tiny").num_parameters()
    for file, load in {"model.safetensors": load_model, "tokenizer.json": load_tokenizer}.items():
        (tmp_path / "mine" / file).write_text("a pointer")  # as a clone without LFS has it
        with pytest.raises(UserError, match="cannot be loaded"):
            load(str(tmp_path / "mine"))
    (tmp_path / "mine" / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded .*no file named") as error:
        load_model(str(tmp_path / "mine"))
    assert "\n" not in str(error.value)


def test_a_tokenizer_that_states_no_length_gets_the_encoder_s(tmp_path: Path) -> None:
    load_tokenizer("tiny").save_pretrained(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace('"model_max_length": 384', '"model_max_length": 1000000'))
    BertModel(BertConfig(600, 32, 1, 2, 32, max_position_embeddings=50)).save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).model_max_length == 50


@pytest.mark.parametrize("task", get_suite("toy").tasks, ids=lambda task: task.name)
def test_tiny_sees_what_decides_the_toy_tasks(task) -> None:
    """A least-squares fit on the untrained first-token features beats the constant baseline by far on test."""
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    features, targets = {}, {}
    for split in ("train", "test"):
        rows = task.load()[split]
        batch = tokenizer(*(rows[column][:] for column in task.columns), padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state[:, 0]
        features[split] = torch.cat([hidden, torch.ones(len(rows), 1)], dim=1)
        labels = torch.tensor(rows["label"][:])
        targets[split] = labels[:, None] if task.kind == "regression" else torch.eye(task.num_labels)[labels]
    fit = torch.linalg.lstsq(features["train"], targets["train"]).solution
    predicted = features["test"] @ fit
    if task.kind == "regression":
        assert torch.corrcoef(torch.cat([predicted, targets["test"]], dim=1).T)[0, 1] > 0.6
    else:
        assert (predicted.argmax(1) == targets["test"].argmax(1)).float().mean() > 0.8


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_fetched_encoder_that_is_not_the_pinned_one_is_told_of_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "encoders" / "minilm"
    shutil.copytree(encoder_dir("tiny"), folder)
    digests = {file.name: wheels.sha256(file) for file in folder.iterdir()}
    minilm = replace(wheels.WHEELS[1], digests=digests | {name: "0" * 64})
    monkeypatch.setattr(wheels, "WHEELS", (minilm,))
    monkeypatch.setenv("SCALEARN_DATA", str(tmp_path))
    for _ in range(2):
        load_tokenizer("minilm")
        load_model("minilm")
    assert capsys.readouterr().err.count("is not the file that was fetched") == 1
