"""Executes the notebooks with their defaults and keeps what a reader sees of them, for the book.

.venv/bin/python docs/book/chapters.py [-p NAME VALUE ...] [--to DIR] [NOTEBOOK ...]

What varies from one execution to the next without meaning anything is left out, so that a change of a kept notebook is
a change of what it shows.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
import yaml
from PIL import Image  # matplotlib draws with it

from scalearn_lib.notebook import execute_notebook
from scalearn_lib.paths import output_dir, written_whole
from scalearn_lib.runs.result import fingerprint
from scalearn_lib.tasks.wheels import sha256

ROOT = Path(__file__).resolve().parents[2]
STUDY = ROOT / "outputs" / "reference"
KEPT = STUDY / "notebooks"
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=[_\" ])")  # what pandas' Styler calls a table, at random
COLOURS = 256  # of a figure: lines and their shades; a third of the bytes
# A progress bar of tqdm: "  3/8 [00:01<00:02, 2.1it/s]".
_BAR = re.compile(r"^.*\d+/\d+ \[\d+:\d\d.*\].*$\n?|\r.*$", re.MULTILINE)


def chapters(root: Path = ROOT) -> list[Path]:
    """Return the notebooks that are chapters of the book."""
    return sorted((root / "notebooks").glob("0*.ipynb"))


def stripped(notebook: nbformat.NotebookNode, folders: Mapping[str, str]) -> nbformat.NotebookNode:
    """Return an executed notebook without papermill's notes, progress bars and folders of this machine.

    Args:
        notebook: it is left as it is.
        folders: what stands for each absolute path, longest paths first.
    """
    kept = nbformat.from_dict(notebook)
    kept.metadata = nbformat.NotebookNode(
        {name: kept.metadata[name] for name in ("kernelspec", "language_info") if name in kept.metadata}
    )
    kept.metadata["language_info"] = nbformat.NotebookNode(name="python")  # its version is among the outputs
    kept.cells = [cell for cell in kept.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(kept.cells):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.NotebookNode(tags=tags) if tags else nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [out for out in (shown(output, folders) for output in cell.outputs) if out]
            for position, out in enumerate(cell.outputs):
                if "text/html" in out.get("data", {}):
                    out.data["text/html"] = STYLED.sub(f"T_{number}_{position}", out.data["text/html"])
            texts = [o.metadata["image/png"]["alt"] for o in cell.outputs if "image/png" in o.get("metadata", {})]
            if texts:  # where myst-nb looks for it: one text for all figures of a cell
                cell.metadata["mystnb"] = {"image": {"alt": " · ".join(texts)}}
        cell.id = cell.get("id", f"cell-{number}")
    return kept


def shown(output: nbformat.NotebookNode, folders: Mapping[str, str]) -> nbformat.NotebookNode | None:
    """Return an output as it is kept, or None where nothing of it is."""
    output = nbformat.from_dict(output)
    if output.output_type == "stream":
        output.text = without_folders(_BAR.sub("", output.text), folders)
        return output if output.text.strip() else None
    data = output.get("data", {})
    for kind, value in data.items():
        if kind == "image/png":
            data[kind] = smaller(value)
        elif isinstance(value, str):
            data[kind] = without_folders(value, folders)
    alternative = output.get("metadata", {}).get("image/png", {}).get("alt")
    output.metadata = nbformat.NotebookNode({"image/png": {"alt": alternative}} if alternative else {})
    if "execution_count" in output:
        output.execution_count = None
    return output


def without_folders(text: str, folders: Mapping[str, str]) -> str:
    """Return a text with `outputs` for /home/somebody/scalearn/outputs, and the like."""
    for folder, name in folders.items():
        text = text.replace(folder, name)
    return text


def smaller(png: str) -> str:
    """Return a figure (base64) in a palette of few colours, if that is smaller."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    place = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(place, "PNG", optimize=True)
    return min(png, base64.b64encode(place.getvalue()).decode(), key=len)


def results_digest(study: Path = STUDY) -> str:
    """Return a digest of the stored scores, probes and pruned runs, which is kept in each executed notebook."""
    files = [path for kind in ("*.xz", "*.csv") for path in study.rglob(kind)]
    return fingerprint({path.relative_to(study).as_posix(): sha256(path) for path in files})


def differences(sources: Sequence[Path], kept: Path, results: str) -> list[str]:
    """Return a sentence per notebook that has to be executed again; none where nothing has been kept yet.

    Args:
        results: what `results_digest` says now.
    """
    if not kept.exists():
        return []
    found = []
    for source in sources:
        done = kept / source.name
        if not done.exists():
            found.append(f"{source.name} has not been executed: make notebooks.")
        elif _cells(source) != _cells(done):
            found.append(f"{source.name} has changed since it was executed: make notebooks.")
        elif nbformat.read(done, as_version=4).metadata.get("results") != results:
            found.append(f"{source.name} was executed with other results of the reference study: make notebooks.")
    known = {source.name for source in sources}
    return found + [f"{path.name} has no source." for path in sorted(kept.glob("*.ipynb")) if path.name not in known]


def keep(source: Path, kept: Path, parameters: Mapping[str, object]) -> Path:
    """Execute a notebook and write what is kept of it; returns the file."""
    results = results_digest()
    executed = output_dir().resolve() / "notebooks" / "defaults" / results / source.name
    seconds = execute_notebook(source, executed, parameters)
    folders = {str(output_dir().resolve()): "outputs", str(ROOT): ".", str(Path.home()): "~"}
    place = kept / source.name
    notebook = stripped(nbformat.read(executed, as_version=4), folders)
    notebook.metadata["results"] = results
    with written_whole(place) as temporary:
        nbformat.write(notebook, temporary)
    print(f"{place}: {place.stat().st_size / 1024:.0f} KiB, {f'{seconds:.0f} s' if seconds else 'as executed before'}")
    return place


def main(words: Sequence[str] | None = None) -> None:
    """Execute and keep the notebooks that are named, else all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--to", type=Path, default=KEPT, help="default: outputs/reference/notebooks")
    arguments = parser.parse_args(words)
    if arguments.parameters and arguments.to == KEPT:
        parser.error("outputs/reference/notebooks is for the defaults: with -p, name another folder by --to.")
    parameters = {name: yaml.safe_load(value) for name, value in arguments.parameters}
    for source in arguments.notebooks or chapters():
        keep(source, arguments.to, parameters)


def _cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in nbformat.read(path, as_version=4).cells]


if __name__ == "__main__":
    main()
