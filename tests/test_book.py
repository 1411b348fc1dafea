"""The book's sources, what is kept of executed notebooks, and the check of the finished pages."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from PIL import Image

from docs.book import chapters, check, stage

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("book")
    stage.stage(folder)
    return folder


def write(path: Path, *cells: nbformat.NotebookNode, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells), metadata=metadata), path)
    return path


def test_executed_notebooks_are_those_of_their_sources_and_of_the_stored_results() -> None:
    assert chapters.differences(chapters.chapters(), chapters.KEPT, chapters.results_digest()) == []


def test_what_has_to_be_executed_again_is_named(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell
    sources = [write(tmp_path / f"0{n}.ipynb", cell(f"{n}")) for n in (1, 2, 3, 5)]
    kept = tmp_path / "kept"
    assert chapters.differences(sources, kept, "now") == []
    done = cell("1", outputs=[nbformat.v4.new_output("stream", text="one")])
    for name, written in {"01": done, "02": cell("2 "), "04": cell("4"), "05": cell("5")}.items():
        write(kept / f"{name}.ipynb", written, results="before" if name == "05" else "now")
    assert chapters.differences(sources, kept, "now") == [
        "02.ipynb has changed since it was executed: make notebooks.",
        "03.ipynb has not been executed: make notebooks.",
        "05.ipynb was executed with other results of the reference study: make notebooks.",
        "04.ipynb has no source.",
    ]


def test_a_changed_result_changes_the_digest(tmp_path: Path) -> None:
    digests = []
    for name, text in {"a.xz": "1", "b/c.csv": "2", "notebooks/n.ipynb": "3", "b/c.csv ": "", "a.xz ": "4"}.items():
        place = tmp_path / name.strip()
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        digests.append(chapters.results_digest(tmp_path))
    assert digests[1] == digests[2] and len(set(digests)) == 4


def test_what_varies_is_not_kept() -> None:
    output = nbformat.v4.new_output
    figure = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(figure, "PNG")
    outputs = [
        output("stream", name="stderr", text="runs:  50%|█████     | 1/2 [00:01<00:01,  1.0it/s]\n"),
        output("stream", text="2/8 [1, 3] kept in /home/me/study/outputs/figures\n"),
        output("display_data", {"image/png": base64.b64encode(figure.getvalue()).decode()}),
        output("execute_result", {"text/plain": "12 of 20 [a, b]"}, execution_count=7),
        output("display_data", {"text/html": pd.DataFrame({"T_0": ["T_is_it"]}).style.to_html()}),
    ]
    cells = [
        nbformat.v4.new_code_cell("1", execution_count=7, outputs=outputs, metadata={"papermill": {"duration": 1.5}}),
        nbformat.v4.new_code_cell("X = 1", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("X = 0", metadata={"tags": ["parameters"], "execution": {"iopub.status": "now"}}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"papermill": {"duration": 3.0}})
    kept = chapters.stripped(notebook, {"/home/me/study/outputs": "outputs", "/home/me": "~"})
    nbformat.validate(kept)
    assert "papermill" not in kept.metadata
    assert [dict(cell.metadata) for cell in kept.cells] == [{}, {"tags": ["parameters"]}]
    text, picture, result, table = kept.cells[0].outputs
    assert '<table id="T_0_3">' in table.data["text/html"] and ">T_is_it<" in table.data["text/html"]
    assert text.text == "2/8 [1, 3] kept in outputs/figures\n"
    assert len(picture.data["image/png"]) < len(outputs[2].data["image/png"])
    assert (result.data["text/plain"], result.execution_count) == ("12 of 20 [a, b]", None)


def test_the_books_pages_are_those_in_its_contents(staged: Path) -> None:
    """Each text and notebook is a page, and the contents name each text; notebooks they find by pattern."""
    contents = (staged / "index.md").read_text().split()
    texts = {path.relative_to(staged).with_suffix("").as_posix() for path in staged.rglob("*.md")}
    assert texts - {"index", "README"} == texts & set(contents)
    for pattern in stage.NOTEBOOKS:
        written = {path.relative_to(staged) for path in staged.glob(pattern)}
        assert written == {path.relative_to(ROOT) for path in ROOT.glob(pattern)} != set()


def test_readme_is_in_the_book_in_two_parts(staged: Path) -> None:
    first, second = (staged / "README.md").read_text().split(stage.NEXT_PAGE)
    assert "## What was found" in first and "## From the command line" in second
    assert "](using.md#from-the-command-line)" in first


def test_links_lead_to_pages_or_to_copied_files(tmp_path: Path) -> None:
    for name in ("README.md", "docs/own.md", "studies/one.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    text = (
        "[`own`](own.md#part) [start](../README.md) [yaml](../studies/one.yaml) [all](../studies) [out](https://e.org)\n"
        "```\n[code](../README.md)\n```\n\n    [code](../README.md)\n"
    )
    done = stage.with_links(text, Path("docs"), {"docs/own.md"}, tmp_path, tmp_path / "book")
    assert done == (
        "[`own`](own.md#part) [start](../index.md) [yaml](../studies/one.yaml) all [out](https://e.org)\n"
        "```\n[code](../README.md)\n```\n\n    [code](../README.md)\n"
    )
    assert [path.name for path in (tmp_path / "book").rglob("*.*")] == ["one.yaml"]


def test_answers_of_assignments_are_folded_and_tests_left_out(staged: Path) -> None:
    folder = "notebooks/assignments/source/learning_to_scale"
    (path,) = (staged / folder).glob("*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    source = nbformat.read(ROOT / folder / path.name, as_version=4).cells
    answers = [cell for cell in source if cell.metadata.get("nbgrader", {}).get("solution")]
    folded = [c for c in cells if "hide-input" in c.metadata.get("tags", []) or c.source.startswith("<details>")]
    assert len(folded) == len(answers) > 0
    assert not any("SOLUTION" in cell.source or "HIDDEN TESTS" in cell.source for cell in cells)
    assert len(cells) == len([cell for cell in source if not stage.is_test(cell)]) < len(source)


def test_an_executed_chapter_goes_before_its_source(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"# Title\n\n{stage.NEXT_PAGE}## More\n")
    for name in ("01_a", "02_b"):
        write(tmp_path / "notebooks" / f"{name}.ipynb", nbformat.v4.new_code_cell("source"))
    write(tmp_path / stage.EXECUTED / "01_a.ipynb", nbformat.v4.new_code_cell("executed"))
    stage.stage(tmp_path / "book", tmp_path)
    shown = [nbformat.read(path, as_version=4).cells[0].source for path in sorted(tmp_path.glob("book/notebooks/*"))]
    assert shown == ["executed", "source"]


def test_pages_that_lead_nowhere_or_need_the_network_are_named(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<p id="here">')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here"><a href="b.html#there"><a href="c.html"><a href="https://e.org"><a href="#">'
        '<script src="https://e.org/x.js"></script><img src="data:image/png;base64,AA=="><img src="x.png">'
    )
    assert check.problems(tmp_path) == [
        "a.html leads to b.html#there: that page has no such place.",
        "a.html leads to c.html, which is not there.",
        "a.html loads https://e.org/x.js.",
        "a.html leads to x.png, which is not there.",
    ]
