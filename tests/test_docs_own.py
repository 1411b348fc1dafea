"""docs/own_tasks.md: its file is read as it stands, its commands are commands, its sentences are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from scalearn_lib.cli import main
from scalearn_lib.commands import inputs, results, single
from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_suite
from scalearn_lib.tasks.encoders import load_model

TEXT = (Path(__file__).parents[1] / "docs" / "own_tasks.md").read_text()
(FILE,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that the page's suite file names."""
    rows = [(f"note number {n}", ("high", "low")[n % 2]) for n in range(100)]
    pd.DataFrame(rows, columns=["note", "urgency"]).to_csv(tmp_path / "triage.csv", index=False)
    for name in "abc":
        rows = [(f"why {name}{n}?", f"because of {n}", n / 4) for n in range(60)]
        pd.DataFrame(rows, columns=["question", "answer", "score"]).to_csv(tmp_path / f"{name}.csv", index=False)
    model = load_model("tiny")
    model.add_adapter("mnli", config="seq_bn")
    (tmp_path / "adapters").mkdir()
    model.save_adapter(str(tmp_path / "adapters" / "mnli"), "mnli", use_safetensors=True)
    (tmp_path / "clinic.yaml").write_text(FILE)
    return tmp_path


def test_the_file_passes_the_check(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["check", str(folder / "clinic.yaml"), "--encoder", "tiny"]) == 0
    shown = capsys.readouterr().out
    assert "triage: triage.csv" in shown and "regression, scored by pearson" in shown and "adapter mnli: " in shown


def test_every_command_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    where = {inputs: ("check",), single: ("run", "show", "export", "predict"), results: ("table", "claims")}
    for module, names in where.items():
        for name in names:
            monkeypatch.setattr(module, name, lambda arguments: 0)
    lines = re.findall(r"^    scalearn (.*?)(?:  +#.*)?$", TEXT, re.M)
    assert len(lines) >= 11
    for line in lines:
        words = [quoted or plain for quoted, plain in re.findall(r'"(.*?)"|(\S+)', line)]
        assert main(words) == 0


def test_the_sentences_are_those_of_the_code(folder: Path) -> None:
    for bad, sentence in (
        (FILE.replace("text: note", "text: nots"), "triage.csv: Unknown column 'nots' (did you mean 'note'?)"),
        (FILE.replace("name: clinic", "name: glue"), "clinic.yaml, line 1: 'name' is that of a published suite: take"),
    ):
        (folder / "clinic.yaml").write_text(bad)
        with pytest.raises(UserError) as error:
            get_suite(str(folder / "clinic.yaml"))
        assert sentence in str(error.value) and sentence in TEXT
