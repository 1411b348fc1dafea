"""Data goes left to right: what may import what, and that nobody takes what is private to another."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scalearn_lib"
ORDER = (
    ("composition", "errors"),
    ("paths",),
    ("yamlfile",),
    ("tasks",),
    ("methods",),
    ("training",),
    ("runs",),
    ("probing", "exports"),
    ("evidence",),
    ("grids",),
    ("notebook",),
    ("commands",),
    ("course", "cli", "__init__"),
)
LEVEL = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): ast.parse(file.read_text())
    for file in sorted(PACKAGE.rglob("*.py"))
}


def imports(name: str, tree: ast.AST) -> dict[str, set[str]]:
    """Names that a module imports from modules of ours, wherever in it, those for type checkers included."""
    found: dict[str, set[str]] = {}
    package = name.split(".")[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        elif (node.module or "").split(".")[0] == "scalearn_lib":
            base = node.module.split(".")[1:]
        else:
            continue
        base = [part for part in base if part]
        for alias in node.names:
            inner = ".".join([*base, alias.name])
            if inner in FILES or f"{inner}.__init__" in FILES:
                found.setdefault(inner if inner in FILES else f"{inner}.__init__", set())
            elif ".".join(base) in FILES:
                found.setdefault(".".join(base), set()).add(alias.name)
            else:
                found.setdefault(".".join([*base, "__init__"]), set()).add(alias.name)
    return found


IMPORTS = {name: imports(name, tree) for name, tree in FILES.items()}


def test_the_graph_is_read() -> None:
    assert "run_lock" in IMPORTS["grids.jobs"]["runs.locks"] and len(FILES) > 60


def test_no_module_imports_itself_by_a_detour() -> None:
    try:
        TopologicalSorter({name: set(of) for name, of in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_rooms_import_from_their_left_only() -> None:
    def room(name: str) -> str:
        return name.split(".")[0]

    wrong = [
        f"{name} imports {other}"
        for name, of in IMPORTS.items()
        for other in of
        if room(name) != room(other) and LEVEL[room(other)] >= LEVEL[room(name)] and room(name) != "__init__"
    ]
    assert not wrong


def test_nothing_private_is_taken_from_another_module() -> None:
    outside = {
        file.relative_to(ROOT).as_posix(): imports("", ast.parse(file.read_text()))
        for folder in ("tests", "benchmarks")
        for file in sorted((ROOT / folder).rglob("*.py"))
    }
    wrong = [
        f"{name} takes {private} of {other}"
        for name, of in (IMPORTS | outside).items()
        for other, names in of.items()
        for private in names
        if private.startswith("_") and not private.startswith("__")
    ]
    assert not wrong
