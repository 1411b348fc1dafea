"""The files around the package agree with each other."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def parse_pins(lines: list[str]) -> dict[str, Version]:
    """Version by canonical name from lines `name==version`; anything that is no exact pin is an error."""
    pins: dict[str, Version] = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([^\s;,*]+)", line)
        assert match, f"not an exact pin: {line!r}"
        name = canonicalize_name(match[1])
        assert name not in pins, f"pinned twice: {name}"
        pins[name] = Version(match[2])
    return pins


def constraints() -> dict[str, Version]:
    """The pins of constraints.txt."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return parse_pins([line for line in lines if line])


def direct_requirements() -> list[Requirement]:
    """What pyproject.toml names, extras included."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def notebook_problems(path: Path) -> list[str]:
    """What keeps a notebook from being committed: outputs, counts, or not exactly one cell tagged `parameters`."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tagged = sum("parameters" in cell.metadata.get("tags", []) for cell in code)
    problems = []
    if any(cell.outputs for cell in code):
        problems.append("has outputs")
    if any(cell.execution_count is not None for cell in code):
        problems.append("has execution counts")
    if tagged != 1:
        problems.append(f"has {tagged} cells tagged 'parameters' instead of one")
    return [f"{path.name} {problem}" for problem in problems]


@pytest.mark.parametrize("requirement", direct_requirements(), ids=lambda requirement: requirement.name)
def test_direct_dependency_is_pinned_inside_its_range(requirement: Requirement) -> None:
    pin = constraints()[canonicalize_name(requirement.name)]
    assert pin in requirement.specifier
    assert requirement.specifier, "a direct dependency needs a range"


def test_pins_name_public_versions() -> None:
    """A local part such as +cpu exists only where one machine has it."""
    assert [name for name, pin in constraints().items() if pin.local] == []


def test_pins_take_the_oldest_python_that_is_supported() -> None:
    """Otherwise pip tries all versions of everything for hours; packages of extras are looked at where installed."""
    oldest = Version(PROJECT["requires-python"].removeprefix(">=") + ".0")
    asked = {
        canonicalize_name(package.name): package.metadata["Requires-Python"] or ""
        for package in metadata.distributions()
    }
    refused = {name: asked[name] for name in constraints() if name in asked and oldest not in SpecifierSet(asked[name])}
    assert "torch" in asked and refused == {}


def test_environment_yml_installs_every_extra_by_the_pins() -> None:
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    assert pip == ["-c constraints.txt", f'-e ".[{",".join(PROJECT["optional-dependencies"])}]"']


def test_environment_yml_has_the_oldest_python_that_is_supported() -> None:
    (python,) = [
        entry
        for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
        if isinstance(entry, str) and entry.startswith("python=")
    ]
    assert PROJECT["requires-python"] == ">=" + python.removeprefix("python=")


def test_one_version_everywhere() -> None:
    package = ast.parse((ROOT / "scalearn_lib" / "__init__.py").read_text())
    (version,) = [
        ast.literal_eval(node.value)
        for node in package.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__version__"
    ]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert {version, citation["version"], newest} == {PROJECT["version"]}


def test_citation_names_the_paper_and_the_software() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert citation["type"] == "software"
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert paper["title"].startswith("ScaLearn: Simple and Highly Parameter-Efficient Task Transfer")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Frohmann",
        "Holtermann",
        "Masoudian",
        "Lauscher",
        "Rekabsaz",
    ]
    assert (paper["year"], paper["collection-title"]) == (
        2024,
        "Findings of the Association for Computational Linguistics: ACL 2024",
    )
    assert "arXiv:2310.01217" in [identifier["value"] for identifier in paper["identifiers"]]


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text().splitlines()


def test_make_help_lists_the_targets() -> None:
    shown = subprocess.run(["make", "-C", ROOT, "--no-print-directory"], capture_output=True, text=True, check=True)
    targets = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith("  make ")]
    course = ["assignments", "grade", "course-data", "test-course", "test-lab"]
    book = ["test-book", "notebooks", "book"]
    grids = ["test-interrupts", "test-slurm"]
    benchmarks = ["bench", "bench-%"]
    first = ["help", "demo", "test", *grids, "lint", "lab", *benchmarks, "reference", "findings"]
    assert targets == [*first, *course, *book, "clean"]


def test_make_refuses_an_old_python_in_one_sentence(tmp_path: Path) -> None:
    """The Makefile alone in an empty folder: nothing is made, and the error names what to do."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2"\nexit 1\n')
    old.chmod(0o755)
    for python, expected in ((str(old), "Python 3.9.2"), ("no-such-python", "No Python found")):
        made = subprocess.run(
            ["make", "-C", tmp_path, "test", f"PYTHON={python}"], capture_output=True, text=True, check=False
        )
        (sentence,) = [line for line in made.stderr.splitlines() if "make PYTHON=" in line]
        assert made.returncode != 0
        assert expected in sentence and "3.11 or newer" in sentence
        assert not (tmp_path / ".venv").exists()


def test_notebooks_are_committed_clean() -> None:
    notebooks = [
        path for path in sorted((ROOT / "notebooks").rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts
    ]
    assert [problem for path in notebooks for problem in notebook_problems(path)] == []


def test_an_unclean_notebook_is_noticed(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("1", execution_count=1)
    cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "1"}, execution_count=1)]
    path = tmp_path / "seen.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert notebook_problems(path) == [
        "seen.ipynb has outputs",
        "seen.ipynb has execution counts",
        "seen.ipynb has 0 cells tagged 'parameters' instead of one",
    ]
