"""The book's sources: a copy of the repository's texts and notebooks, in which links lead to pages of the book.

Sphinx wants all its sources in one folder, and the repository keeps its texts where their readers look for them. So
they are copied, each under its own path, and nothing is written twice.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "book" / "pages"
EXECUTED = Path("outputs/reference/notebooks")
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md", "benchmarks/NOTES.md", "docs/*.md")
NOTEBOOKS = ("notebooks/0*.ipynb", "notebooks/solutions/*.ipynb", "notebooks/assignments/source/*/*.ipynb")
NEXT_PAGE = "<!-- book: next page -->\n"
# Where a link to something that is no page of the book leads instead.
INSTEAD = {
    "README.md": "index.md",
    "notebooks/solutions": "solutions.md",
    "notebooks/assignments/source": "assignments.md",
}
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_CODE = re.compile(r"^(```.*?^```|(?: {4}[^\n]*\n)+)", re.MULTILINE | re.DOTALL)


def stage(target: Path, root: Path = ROOT) -> None:
    """Write the book's sources to `target`, in place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    pages = {path.relative_to(root).as_posix(): path for pattern in (*TEXTS, *NOTEBOOKS) for path in root.glob(pattern)}
    for name, path in sorted(pages.items()):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)

        def linked(text: str, name: str = name) -> str:
            return with_links(text, Path(name).parent, pages.keys(), root, target)

        if path.suffix == ".md":
            text = path.read_text()
            place.write_text(linked(split_anchors(text) if name == "README.md" else text))
        else:
            notebook(path, place, root, linked)
    for path in PAGES.glob("*.md"):
        shutil.copy(path, target / path.name)


def with_links(text: str, folder: Path, pages: set[str], root: Path, target: Path) -> str:
    """Return Markdown whose links to files of the repository work in the book.

    Files that are no pages are copied beside the pages, and so can be opened; of a link to a folder its text stays.

    Args:
        text: Markdown; code in it is left alone.
        folder: the folder of the text, relative to the root.
        pages: paths of all pages, relative to the root.
        root: the repository.
        target: where files that are no pages are copied.
    """

    def lead(match: re.Match[str]) -> str:
        image, words, address = match.groups()
        path, mark, anchor = address.partition("#")
        if "://" in address or not path:
            return match[0]
        meant = os.path.normpath(folder / path)
        if meant in INSTEAD:
            return f"{image}[{words}]({os.path.relpath(INSTEAD[meant], folder)}{mark}{anchor})"
        if meant not in pages and (root / meant).is_dir():
            return words
        if meant not in pages and (root / meant).is_file():
            place = target / meant
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / meant, place)
        return match[0]  # Sphinx names what does not exist

    parts = _CODE.split(text)
    return "".join(part if _CODE.fullmatch(part) else _LINK.sub(lead, part) for part in parts)


def split_anchors(readme: str) -> str:
    """Return README's text, whose links to headings behind the book's mark lead to the second page."""
    first, second = readme.split(NEXT_PAGE)
    for title in re.findall(r"^## (.+)$", second, re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        first = first.replace(f"](#{anchor})", f"](using.md#{anchor})")
    return first + NEXT_PAGE + second


def notebook(path: Path, place: Path, root: Path, linked: Callable[[str], str]) -> None:
    """Write a notebook's page: a chapter as it was executed, if it was, and an assignment with its answers folded."""
    executed = root / EXECUTED / path.name
    chapter = path.parent == root / "notebooks"
    read = nbformat.read(executed if chapter and executed.exists() else path, as_version=4)
    if "assignments" in path.parts:
        read.cells = [cell for cell in read.cells if not is_test(cell)]
        for cell in read.cells:
            fold_answer(cell)
    for cell in read.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
    nbformat.write(read, place)
    for data in path.parent.glob("*.csv") if "assignments" in path.parts else ():
        shutil.copy(data, place.parent)


def is_test(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell of an assignment is a test that grades the answer before it."""
    about = cell.metadata.get("nbgrader", {})
    return cell.cell_type == "code" and bool(about.get("grade")) and not about.get("solution")


def fold_answer(cell: nbformat.NotebookNode) -> None:
    """Put the answer in a cell of an assignment behind a line to click on."""
    if not cell.metadata.get("nbgrader", {}).get("solution"):
        return
    if cell.cell_type == "markdown":
        cell.source = f"<details><summary>Show solution</summary>\n\n{cell.source}\n\n</details>"
    else:
        cell.source = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", cell.source, flags=re.MULTILINE).rstrip()
        cell.metadata.tags = [*cell.metadata.get("tags", []), "hide-input"]
        cell.metadata.mystnb = {"code_prompt_show": "Show solution", "code_prompt_hide": "Hide solution"}
