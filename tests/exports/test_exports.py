"""What is exported: the same numbers, loaded by adapters alone, and predictions for rows of a user."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scalearn_lib import cli
from scalearn_lib.errors import UserError
from scalearn_lib.exports import export, load_exported, predict, predict_file
from scalearn_lib.exports.card import code, export_command
from scalearn_lib.exports.load import read_about
from scalearn_lib.exports.write import TOLERANCE, logits
from scalearn_lib.methods import METHODS, get_method
from scalearn_lib.runs import Run, execute, load_trained
from scalearn_lib.runs.data import encoded
from scalearn_lib.runs.reference import keep
from scalearn_lib.runs.result import read_result
from scalearn_lib.tasks import get_suite, get_task
from scalearn_lib.tasks.encoders import encoder_dir
from tests.stored import store

SMALL = {"encoder": "tiny", "budget": "smoke"}
TASK = "toy_topic"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


# Compacter++ needs a wider encoder than tiny, AdapterSoup more sources than toy has: see below.
WRITTEN = [method for method in METHODS if method not in ("compacter", "adapter_soup")]


@pytest.mark.parametrize("method", WRITTEN)
def test_every_method_is_written_for_adapters_alone(method: str, output: Path, tmp_path: Path) -> None:
    run, folder = Run("toy", TASK, method, **SMALL), tmp_path / "exported"
    difference = export(run, folder, output)
    assert difference <= TOLERANCE
    about, task = read_about(folder), get_task("toy", TASK)
    assert about.form == {"adapter_fusion": "fusion", "full": "model", "full_m": "model"}.get(method, "adapter")
    rows = encoded(task, "tiny")["validation"].select(range(8))
    ours, theirs = (logits(model, task, "tiny", rows) for model in (load_trained(run, output), load_exported(folder)))
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    assert ours.std() > 0 and ours.shape == (8, task.num_labels)
    weights = [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]
    assert not weights, "nothing is pickled"


CARDS = [(task.name, "scalearn_uniform_pp") for task in get_suite("toy").tasks]
CARDS += [(TASK, method) for method in ("adapter_fusion", "full", "scalearn_lora")]  # each form


def test_the_cards_lines_run_without_this_package(output: Path, tmp_path: Path) -> None:
    """In a process that cannot import this package, compared with what `predict` computes."""
    blocks = []
    for task, method in CARDS:
        folder = tmp_path / f"{task}-{method}"
        export(Run("toy", task, method, **SMALL), folder, output)
        (lines,) = re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)
        about = read_about(folder)
        assert lines == "\n".join(code(about)) and len([line for line in lines.splitlines() if line]) <= 9
        blocks.append(
            lines.replace('encoder, folder = "tiny", "."', f'encoder, folder = "{encoder_dir("tiny")}", "{folder}"')
        )
    program = f"import sys; sys.modules['scalearn_lib'] = None\nfor lines in {blocks!r}:\n    exec(lines, {{}})\n"
    program += "    print('<end>')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for (task, method), printed in zip(CARDS, done.stdout.split("<end>\n")[:-1], strict=True):
        folder = tmp_path / f"{task}-{method}"
        about, numbers = read_about(folder), [float(n) for n in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", printed)]
        if about.kind == "regression":
            assert numbers[0] == pytest.approx(_prediction(folder)["prediction"].iloc[0], abs=2e-4)
        elif about.kind == "classification":
            shares = np.exp(numbers) / np.exp(numbers).sum()
            np.testing.assert_allclose(shares, _prediction(folder).iloc[0, 1:].astype(float), atol=2e-4)
        else:
            assert len(numbers) == len(about.labels)


def _prediction(folder: Path) -> pd.DataFrame:
    return predict(folder, ["A text.", "Another text."][: len(read_about(folder).columns)])


def test_the_score_on_the_card_is_that_of_the_weights_beside_it(output: Path, tmp_path: Path, monkeypatch) -> None:
    """The reference study keeps a run's scores without its weights, which are then trained anew."""
    run, reference = Run("toy", TASK, "scalearn_uniform", **SMALL), tmp_path / "reference"
    store(tmp_path / "made", TASK, "scalearn_uniform", 0, 0.1234)
    keep([run], tmp_path / "made", reference)
    monkeypatch.setenv("SCALEARN_REFERENCE", str(reference))
    assert execute(run, tmp_path / "none").score == 0.1234
    export(run, tmp_path / "exported", output)
    card = (tmp_path / "exported" / "README.md").read_text()
    assert f"{read_result(run.folder(output)).score:.4f}" in card and "0.1234" not in card


def test_an_empty_folder_may_be_the_one_where_one_is(output: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(Run("toy", TASK, "adapter", **SMALL), Path("."), output)
    assert (tmp_path / "here" / "task.json").is_file()


def test_compacter_and_soup_have_an_adapter(tmp_path: Path) -> None:
    for method, options in (("compacter", {}), ("adapter_soup", {"top_k": 2})):
        learner, task = get_method(method).learner(**options), get_task("toy", TASK)
        assert learner.as_adapter(None, task) == {"compacter": task.name, "adapter_soup": "adapter_soup"}[method]


@pytest.fixture(scope="module")
def exported(output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "topic"
    export(Run("toy", TASK, "adapter", **SMALL), folder, output)
    return folder


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_predictions_are_those_of_the_run(exported: Path, output: Path, tmp_path: Path, ending: str) -> None:
    task, run = get_task("toy", TASK), Run("toy", TASK, "adapter", **SMALL)
    rows = task.load()["test"]
    frame = pd.DataFrame({"id": range(len(rows)), **{name: rows[name] for name in task.columns}})
    file, to = tmp_path / f"rows.{ending}", tmp_path / f"out.{ending}"
    if ending == "jsonl":
        frame.to_json(file, orient="records", lines=True)
    else:
        frame.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    assert predict_file(exported, file, to) == len(rows)
    found = pd.read_json(to, lines=True) if ending == "jsonl" else pd.read_csv(to, sep="\t" if ending == "tsv" else ",")
    assert found["id"].tolist() == list(range(len(rows))) and found["text"].tolist() == list(rows["text"])
    wanted = logits(load_trained(run, output), task, "tiny", encoded(task, "tiny")["test"]).softmax(-1).numpy()
    columns = [f"probability_{name}" for name in task.labels]
    np.testing.assert_allclose(found[columns].to_numpy(), wanted, atol=1e-4)
    assert found["prediction"].tolist() == [task.labels[number] for number in wanted.argmax(1)]
    assert list(tmp_path.iterdir()) and not list(tmp_path.glob(".*")), "no temporary file stays"


def test_a_file_larger_than_a_chunk_is_read_in_parts(exported: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("scalearn_lib.exports.predictions.CHUNK", 7)
    file = tmp_path / "rows.csv"
    pd.DataFrame({"text": [f'text, "{n}"\nwith a line' for n in range(40)]}).to_csv(file, index=False)
    assert predict_file(exported, file, tmp_path / "out.csv") == 40
    found = pd.read_csv(tmp_path / "out.csv")
    assert len(found) == 40 and found["text"].tolist() == [f'text, "{n}"\nwith a line' for n in range(40)]


def test_cells_stay_in_their_columns_where_later_rows_have_others(exported: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("scalearn_lib.exports.predictions.CHUNK", 2)
    rows = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}, {"text": "three"}, {"text": "four", "id": 4}]
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.csv"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert predict_file(exported, file, out) == 4
    found = pd.read_csv(out)
    assert found["text"].tolist() == ["one", "two", "three", "four"]
    assert found["id"].fillna(0).tolist() == [1, 2, 0, 4]
    assert found["prediction"].isin(get_task("toy", TASK).labels).all()
    file.write_text(file.read_text() + json.dumps({"text": "five", "note": "new"}) + "\n")
    with pytest.raises(UserError, match="has a column 'note' that rows before row 5 lack"):
        predict_file(exported, file, out)
    assert predict_file(exported, file, tmp_path / "out.jsonl") == 5


def test_a_command_of_a_card_names_all_that_tells_the_run_from_others(tmp_path: Path, monkeypatch) -> None:
    run = Run("toy", TASK, "scalearn", "tiny", 2, 8, "smoke", {"max_steps": 3}, "official", ("toy_topic", "toy_pair"))
    asked = []
    monkeypatch.setattr("scalearn_lib.exports.export", lambda run, folder, output: asked.append(run) or 0.0)
    assert cli.main([*shlex.split(export_command(run))[1:], "--to", str(tmp_path)]) == 0
    assert asked == [run]


def test_json_rows_come_back_as_they_were(exported: Path, tmp_path: Path) -> None:
    rows = [{"text": "one", "date": 1700000000, "id": "007", "more": [1, {"a": None}]}, {"text": "two\u2028lines"}]
    (tmp_path / "rows.jsonl").write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert predict_file(exported, tmp_path / "rows.jsonl", tmp_path / "out.jsonl") == 2
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().split("\n") if line]
    assert all(found[0][key] == value for key, value in rows[0].items())
    assert (found[1]["text"], found[1]["date"], found[1]["more"]) == ("two\u2028lines", None, None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", "txt\nfine\n", "rows.csv: Unknown column 'txt'".replace("txt", "text")),
        ("rows.csv", "text,x\nfine,1\n,2\n", "rows.csv, row 2: 'text' is '', expected a text"),
        ("rows.csv", 'text\n"fine\nill\n"better\n', "is no table (in or before line 4: "),
        ("rows.csv", "text,prediction\nfine,1\n", "has a column 'prediction' already"),
        ("rows.csv", "text\n", "rows.csv has no rows"),
        ("rows.csv", "", "rows.csv cannot be read"),
        ("rows.jsonl", '{"text": 7}\n', "rows.jsonl, row 1: 'text' is 7, expected a text"),
        ("rows.jsonl", '{"text": "fine"}\n{"text": \n', "rows.jsonl, line 2 is no JSON"),
        ("rows.jsonl", "[1]\n", "rows.jsonl, line 1 is no object"),
        ("rows.jsonl", '{"text": "fine", "x": "\\ud83d"}\n', "line 1 has half of a character (\\ud83d)"),
        ("rows.csv", "text,x\nfine,1,2\n", "rows.csv cannot be read (Length of header"),
        ("rows.csv", b"text\nkr\xe4nk\n", "rows.csv is not UTF-8"),
        ("rows.xlsx", "", "has an ending that is not known"),
    ],
)
def test_files_that_cannot_be_predicted(exported: Path, tmp_path: Path, name: str, content: str | bytes, message: str):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "out.csv").write_text("what was there")
    with pytest.raises(UserError) as error:
        predict_file(exported, tmp_path / name, tmp_path / "out.csv")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert (tmp_path / "out.csv").read_text() == "what was there" and len(list(tmp_path.iterdir())) == 2


def test_on_the_command_line(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = ["--encoder", "tiny", "--budget", "smoke", "--output", str(output)]
    folder = str(tmp_path / "to")
    assert cli.main(["export", "toy", "scalearn", TASK, "--to", folder, *where]) == 0
    assert "its logits differ by" in capsys.readouterr().out
    assert cli.main(["predict", folder, "--text", "a text"]) == 0
    assert "prediction: " in capsys.readouterr().out
    (tmp_path / "in.csv").write_text("text\nfine\n")
    assert cli.main(["predict", folder, "--file", str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.csv")]) == 0
    assert "1 rows with predictions" in capsys.readouterr().out
    for words, message in (
        (["export", "toy", "scalearn", TASK, "--to", folder, *where], "is there already and not empty"),
        (["predict", folder], "Name either --file and --to, or --text."),
        (["predict", folder, "--text", "a", "b"], "takes 1 texts (text), got 2"),
        (["predict", folder, "--text", " "], "A text is empty"),
        (["predict", str(tmp_path), "--text", "a"], "is no folder that `scalearn export` wrote"),
        (["predict", folder, "--file", str(tmp_path / "no.csv"), "--to", str(tmp_path / "o.csv")], "is not there"),
        (["predict", folder, "--file", str(tmp_path / "in.csv"), "--to", "/nowhere/o.csv"], "Cannot write to /nowhere"),
    ):
        assert cli.main(words) == 1
        error = capsys.readouterr().err
        assert message in error and error.strip().count("\n") == 0


def test_a_damaged_export_is_told(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    (folder / "adapter.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_exported(folder)
    about = json.loads((exported / "task.json").read_text())
    for damaged in ({"form": "adapter"}, [], about | {"labels": "abc"}, about | {"form": "other"}):
        (folder / "task.json").write_text(json.dumps(damaged))
        with pytest.raises(UserError, match="is no folder that `scalearn export` wrote"):
            load_exported(folder)
