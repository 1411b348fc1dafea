"""Runs on a user's own data and adapters: what they are known by, and what is checked before anything trains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import adapters
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import scalearn_lib
from scalearn_lib import cli
from scalearn_lib.errors import UserError, say_once
from scalearn_lib.evidence import load_results, table
from scalearn_lib.grids import read_study
from scalearn_lib.grids.jobs import make_jobs, write_plan
from scalearn_lib.grids.worker import planned
from scalearn_lib.methods.sources import check_adapters
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.tasks import find_adapter, get_suite, repositories
from scalearn_lib.tasks.encoders import load_model

SMALL = {"encoder": "tiny", "budget": "smoke"}


def suite_file(folder: Path, words: str = "ward", adapters_: dict[str, str] | None = None) -> str:
    """Two tasks on one small file, each with two classes."""
    rows = [f"{words} note number {n},{'ab'[n % 2]},{'xy'[n // 2 % 2]}" for n in range(80)]
    (folder / "notes.csv").write_text("\n".join(["note,first,second", *rows]))
    tasks = {name: {"data": "notes.csv", "text": "note", "label": name} for name in ("first", "second")}
    file = folder / "notes.yaml"
    file.write_text(yaml.safe_dump({"name": "notes", "tasks": tasks, "adapters": adapters_ or {}}))
    return str(file)


def saved(folder: Path, config: str | adapters.AdapterConfig = "seq_bn", name: str = "elsewhere") -> Path:
    """An adapter as `adapters` saves it."""
    model = load_model("tiny")
    scalearn_lib.init(model)
    model.add_adapter(name, config=config)
    model.save_adapter(str(folder / name), name, use_safetensors=True)
    return folder / name


def test_a_changed_file_gives_new_runs_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    say_once.cache_clear()
    output = tmp_path / "out"
    run = Run(suite_file(tmp_path), "first", "adapter", **SMALL)
    first = execute(run, output)
    assert run.suite == "notes" and run.folder(output).parent.name == f"first@{run.content[:8]}"
    assert execute(replace(run), output) == first, "read"
    changed = Run(suite_file(tmp_path, "other"), "first", "adapter", **SMALL)
    assert changed != run and changed.folder(output) != run.folder(output)
    with pytest.raises(UserError, match="have changed since it was asked for"):
        execute(replace(run, seed=1), output)
    execute(changed, output)
    assert "what was made before stays in" in capsys.readouterr().err
    assert load_results(output)["outdated"].tolist().count(True) == 1
    shown = table(output, "notes", "tiny", "smoke")
    assert "versions" not in shown and "other data or settings" in capsys.readouterr().err


def test_adapters_of_the_suite_are_further_sources(tmp_path: Path) -> None:
    folder, output = saved(tmp_path), tmp_path / "out"
    file = suite_file(tmp_path, adapters_={"elsewhere": "elsewhere"})
    run = Run(file, "first", "scalearn_uniform_pp", **SMALL)
    assert [adapter.name for adapter in run.adapters] == ["elsewhere"]
    result = execute(run, output)
    assert result.transfer_parameters == 3, "two tasks and one adapter"
    assert result.run == run and json.loads((run.folder(output) / "result.json").read_text())["run"]["adapters"]
    omega = scalearn_lib.scaling_coefficients(load_trained(run, output), run.method)
    assert omega["source"].values.tolist() == ["first", "second", "elsewhere"]
    for method in (
        "scalearn_from_target",
        "scalearn_uniform_pp_from_target",
    ):  # the own one is of stage 1
        model = load_trained(Run(file, "first", method, **SMALL), output)
        start = scalearn_lib.scaling_coefficients(model, method).mean(["layer", "hidden"])
        assert start.values == pytest.approx([1, 0, 0], abs=0.1)
    saved(tmp_path)  # other random weights
    with pytest.raises(UserError, match="has changed since"):
        execute(replace(run, seed=1), output)
    assert Run(file, "first", "scalearn_uniform_pp", **SMALL).folder(output) != run.folder(output)
    assert Run(file, "first", "adapter", **SMALL).adapters == (), "one stage has no sources"
    with pytest.raises(UserError, match="AdapterSoup compares the texts"):
        Run(file, "first", "adapter_soup", **SMALL)
    assert folder.is_dir()


def test_sources_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = ["--output", str(tmp_path / "out"), "--encoder", "tiny", "--budget", "smoke"]
    folder = saved(tmp_path)
    line = ["run", "toy", "scalearn_uniform_pp", "toy_topic", *output]
    assert cli.main([*line, "--source", f"mine={folder}"]) == 0
    shown = capsys.readouterr().out
    assert "with mine" in shown and "5 transfer parameters" in shown
    for words, message in (
        (["--source", "mine"], "--source takes NAME=FOLDER"),
        (["--source", f"type={folder}"], "is taken by torch"),
        (["--source", f"mine={tmp_path / 'nowhere'}"], "is no folder; correct its path"),
        (["--source", f"mine={tmp_path}"], "has no adapter_config.json and weights"),
        (["--source", f"toy_topic={folder}"], "has the name of another one"),
        (["--source", f"a={folder}", "--source", f"a={folder}"], "has the name of another one"),
    ):
        assert cli.main([*line, *words]) == 1
        error = capsys.readouterr().err
        assert message in error and error.strip().count("\n") == 0


def fails(method: str, folder: Path, message: str) -> None:
    adapter, output = find_adapter("mine", str(folder), Path()), folder.parent / "out"
    with pytest.raises(UserError, match=message) as error:
        execute(Run("toy", "toy_topic", method, adapters=(adapter,), **SMALL), output)
    assert "\n" not in str(error.value) and not list(output.glob("**/result.json"))


def test_what_does_not_fit_is_told_before_anything_trains(tmp_path: Path) -> None:
    check_adapters.cache_clear()
    fails("scalearn", saved(tmp_path, "lora", "lora"), "is a LoRA, but the other sources are sequential")
    fails("scalearn_lora", saved(tmp_path, "seq_bn", "bottleneck"), "is a sequential bottleneck adapter, but the other")
    fails("scalearn", saved(tmp_path, "par_bn", "parallel"), "is a parallel bottleneck adapter")
    fails("scalearn", saved(tmp_path, "ia3", "factors"), "is \\(IA\\)³")
    wide = saved(tmp_path, "seq_bn", "wide")
    config = json.loads((wide / "adapter_config.json").read_text())
    (wide / "adapter_config.json").write_text(json.dumps(config | {"hidden_size": 77}))
    fails("scalearn", wide, "was trained for hidden size 77")
    (wide / "adapter_config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    fails("scalearn", wide, "was trained for the architecture gpt2")
    (wide / "adapter_config.json").write_text("{")
    fails("scalearn", wide, "cannot be loaded")
    (wide / "adapter_config.json").write_text(json.dumps(config))
    (wide / "adapter.safetensors").write_bytes(b"damaged")
    fails("scalearn", wide, "cannot be loaded")


def test_adapters_of_other_layers_or_places_are_told(tmp_path: Path) -> None:
    check_adapters.cache_clear()
    fails("scalearn", saved(tmp_path, "double_seq_bn", "houlsby"), "cannot take mine beside .* differ in mh_adapter")
    fails("polytropon", saved(tmp_path, "double_seq_bn", "two"), "'of stage 1' has no module in layer 0")
    fails("lorahub", saved(tmp_path, adapters.LoRAConfig(r=3, alpha=6), "rank"), "LoraHub cannot take mine beside")
    shallow = saved(tmp_path, "seq_bn", "shallow")
    weights = load_file(shallow / "adapter.safetensors")
    kept = {key: tensor for key, tensor in weights.items() if ".layer.0." in key}
    assert 0 < len(kept) < len(weights)
    save_file(kept, shallow / "adapter.safetensors")
    fails("scalearn", shallow, "was trained on an encoder with other layers")
    deeper = {key.replace(".layer.0.", ".layer.70."): tensor.clone() for key, tensor in kept.items()}
    save_file(weights | deeper, shallow / "adapter.safetensors")
    fails("scalearn", shallow, "with other layers: .*layer.70")


def test_one_of_adapterhub_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("tiny")
    model.add_adapter("nli", config="seq_bn")
    folder = tmp_path / "mirror" / "AdapterHub" / "tiny-pf-nli"
    folder.parent.mkdir(parents=True)
    model.save_adapter(str(folder), "nli", with_head=False)  # as the repositories there have it: a .bin
    assert (folder / "pytorch_adapter.bin").is_file()
    config = json.loads((folder / "adapter_config.json").read_text())
    for key in ("version", "model_class"):  # older ones lack them
        config.pop(key)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    monkeypatch.setenv("SCALEARN_HUB", str(tmp_path / "mirror"))
    file = suite_file(tmp_path, adapters_={"nli": "AdapterHub/tiny-pf-nli"})
    run = Run(file, "first", "scalearn_uniform_pp", **SMALL)
    assert execute(run, tmp_path / "out").transfer_parameters == 3
    loaded = load_trained(run, tmp_path / "out")
    for key, tensor in model.state_dict().items():
        if ".nli." in key:
            assert torch.equal(loaded.state_dict()[key], tensor)
    assert cli.main(["check", file, "--encoder", "tiny"]) == 0
    assert ("AdapterHub/tiny-pf-nli", "model", ["adapter_config.json", "*adapter*.[sb]*"]) in repositories(file)


def test_a_mistake_in_any_task_is_told_before_anything_trains(tmp_path: Path) -> None:
    file, output = suite_file(tmp_path), tmp_path / "out"
    plain = yaml.safe_load(Path(file).read_text())
    (tmp_path / "test.csv").write_text("note,first,second\nfine,a,x\nill,b,z\n")
    plain["tasks"]["second"]["data"] = {"train": "notes.csv", "test": "test.csv"}
    Path(file).write_text(yaml.safe_dump(plain))
    with pytest.raises(UserError, match="test.csv, row 2: 'second' is 'z', which is no label of train"):
        execute(Run(file, "first", "scalearn", **SMALL), output)
    assert not output.exists()


def test_a_lora_of_peft_is_a_source(tmp_path: Path) -> None:
    model = load_model("tiny")
    scalearn_lib.init(model)
    model.add_adapter("mine", config=adapters.LoRAConfig(r=3, alpha=6))
    scalearn_lib.save_peft(model, "mine", tmp_path / "mine")
    adapter = find_adapter("mine", "mine", tmp_path)
    run = Run("toy", "toy_topic", "scalearn_uniform_pp_lora", adapters=(adapter,), **SMALL)
    assert execute(run, tmp_path / "out").transfer_parameters == 2 * 5


def test_a_study_file_names_a_suite_beside_it(tmp_path: Path) -> None:
    suite_file(tmp_path)
    study = tmp_path / "study.yaml"
    keys = {"suite": "notes.yaml", "encoder": "tiny", "budget": "smoke", "methods": ["scalearn"], "seeds": [0]}
    study.write_text(yaml.safe_dump(keys))
    assert [str(run) for run in read_study(study).runs] == [
        f"notes/{task} scalearn seed 0 (tiny, smoke)" for task in ("first", "second")
    ]
    jobs = make_jobs(read_study(study))
    plan = write_plan(read_study(study), jobs, tmp_path / "out", {})
    assert [item for job in jobs for item in planned(plan, job.name)] == [item for job in jobs for item in job.items]
    assert get_suite("notes").file == str(tmp_path / "notes.yaml")
