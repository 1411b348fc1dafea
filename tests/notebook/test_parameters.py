"""Notebook parameters are checked, and execution is headless, once, and honest about failures."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.notebook.headless import execute_notebook, notebook_parameters, notebook_runs
from scalearn_lib.notebook.parameters import check_parameters
from scalearn_lib.tasks import get_suite

GOOD = {
    "SUITE": "toy",
    "ENCODER": "tiny",
    "BUDGET": "smoke",
    "SEEDS": [0, 1],
    "TARGETS": ["toy_topic"],
    "METHODS": ["adapter", "scalearn"],
    "OUTPUT": None,
}


def test_good_parameters_give_the_runs() -> None:
    study = check_parameters({**GOOD, "pd": object(), "_": 1, "In": []})
    assert len(study.runs()) == 4
    assert {(run.method, run.seed) for run in study.runs(k=4)} == {
        (m, s) for m in ("adapter", "scalearn") for s in (0, 1)
    }
    assert all(run.k == 4 for run in study.runs(k=4))
    assert {run.sampling for run in study.runs(4, sampling="official")} == {"official"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SEED": [0]}, "Unknown notebook parameter 'SEED' .did you mean 'SEEDS'"),
        ({"SEEDS": 3}, "SEEDS must be a list such as"),
        ({"SEEDS": "[0, 1]"}, "SEEDS must be a list .* use -y"),
        ({"SEEDS": []}, "SEEDS must be a list"),
        ({"SEEDS": [0.5]}, "Each item of SEEDS must be a whole number"),
        ({"SUITE": ["toy"]}, "SUITE must be a text"),
        ({"TARGETS": ["toy_topics"]}, "Unknown task 'toy_topics' .did you mean 'toy_topic'"),
        ({"METHODS": ["scalern"]}, "Unknown method"),
        ({"BUDGET": "quik"}, "Unknown budget"),
        ({"SUITE": "tey"}, "Unknown suite"),
        ({"PARTNER": 3}, "PARTNER must be a text"),
    ],
)
def test_bad_parameters_get_one_sentence(change: dict, message: str) -> None:
    more = {"PARTNER": str} if "PARTNER" in change else {}
    with pytest.raises(UserError, match=message):
        check_parameters({**GOOD, **change}, **more)


def test_targets_of_another_suite_follow_the_suite(capsys: pytest.CaptureFixture) -> None:
    study = check_parameters({**GOOD, "TARGETS": ["trec_fine", "amazon"]})
    assert study.targets == tuple(task.name for task in get_suite("toy").tasks[:2])
    assert "Of toy: " in capsys.readouterr().out
    assert study.task("movie").name not in study.targets and study.task("toy_topic").name == "toy_topic"
    with pytest.raises(UserError, match="Unknown task 'trec_fine'"):
        check_parameters({**GOOD, "TARGETS": ["trec_fine", "toy_topic"]})  # half a mistake is one
    with pytest.raises(UserError, match="Unknown task 'moovie'"):
        study.task("moovie")


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(UserError, match="BUDGET is missing"):
        check_parameters({k: v for k, v in GOOD.items() if k != "BUDGET"})


def notebook(path: Path, code: str) -> Path:
    cells = [nbformat.v4.new_code_cell("A = 1\nB = [2]"), nbformat.v4.new_code_cell(code)]
    cells[0].metadata["tags"] = ["parameters"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_execution_happens_once_and_again_after_a_change(tmp_path: Path) -> None:
    source, executed = notebook(tmp_path / "a.ipynb", "print(A, B)"), tmp_path / "out" / "a.ipynb"
    assert notebook_parameters(source) == {"A": 1, "B": [2]}
    assert execute_notebook(source, executed, {"A": 5}) > 0
    assert "5 [2]" in executed.read_text()
    assert execute_notebook(source, executed, {"A": 5}) == 0
    assert execute_notebook(source, executed, {"A": 6}) > 0
    notebook(source, "print(A, B, 'more')")
    assert execute_notebook(source, executed, {"A": 6}) > 0


def test_unknown_parameters_and_failing_cells_are_errors(tmp_path: Path) -> None:
    source, executed = notebook(tmp_path / "a.ipynb", "1 / 0"), tmp_path / "out.ipynb"
    with pytest.raises(UserError, match="Unknown parameter of a.ipynb 'AA'"):
        execute_notebook(source, executed, {"AA": 1})
    assert not executed.exists()
    with pytest.raises(UserError, match="a.ipynb failed with ZeroDivisionError"):
        execute_notebook(source, executed, {})
    assert executed.exists()  # the failure can be read there
    with pytest.raises(UserError):
        execute_notebook(source, executed, {})  # and does not count as executed


def test_the_runs_of_a_notebook_follow_from_its_parameters(tmp_path: Path) -> None:
    source = notebook(tmp_path / "a.ipynb", "1")
    book = nbformat.read(source, as_version=4)
    book.cells[0].source = "\n".join(f"{name} = {value!r}" for name, value in (GOOD | {"SHOTS": [4, 8]}).items())
    nbformat.write(book, source)
    runs = notebook_runs(source)
    assert len(runs) == 8 and {run.k for run in runs} == {4, 8}
    book.cells[0].source = "SUITE = open('x')"
    nbformat.write(book, source)
    with pytest.raises(UserError, match="must be plain values"):
        notebook_runs(source)


def test_progress_bars_are_not_kept(tmp_path: Path) -> None:
    code = "from tqdm.notebook import tqdm\nfor _ in tqdm(range(2)): pass\nprint('done')"
    source, executed = notebook(tmp_path / "a.ipynb", code), tmp_path / "out.ipynb"
    execute_notebook(source, executed, {})
    outputs = nbformat.read(executed, as_version=4).cells[-1].outputs
    assert [output.output_type for output in outputs] == ["stream"]


def test_a_notebook_without_parameters_cell_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("A = 1")]), path)
    with pytest.raises(UserError, match="0 cells tagged 'parameters'"):
        notebook_parameters(path)
    path.write_text("no json")
    with pytest.raises(UserError, match="cannot be read as a notebook"):
        notebook_parameters(path)
