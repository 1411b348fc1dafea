"""Which code and which data a result was made from, so that results of different ones can be told apart."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasets import DatasetDict

from ..methods import Method, get_method

PACKAGE = Path(__file__).resolve().parents[1]

BEARING = (
    "composition/*.py",
    "methods/base.py",
    "tasks/encoders.py",
    "tasks/encoding.py",
    "tasks/few_shot.py",
    "tasks/metrics.py",
    "training/joint.py",
    "training/optimizer.py",
    "training/parallel.py",
    "training/searched.py",
    "training/single.py",
    "runs/data.py",
    "runs/making.py",
)
"""The sources that bear on the numbers of every run.

What a task's rows are is told by the fingerprint of its data, what a budget is by the settings in each result, and a
method has a fingerprint of its own: new tasks, budgets and methods leave the others' results as they are.
"""

PROBING = (*BEARING, "probing/features.py", "probing/heads.py", "probing/probes.py")
"""The sources that bear on the scores of probing heads."""

SOURCES = {file.relative_to(PACKAGE).as_posix(): file.read_text() for file in sorted(PACKAGE.rglob("*.py"))}
"""The package's sources as they were imported: editing them later does not change what a running process computes."""


EQUAL = {
    # Blocks and starting values of coefficients, folding of some sources, a learning rate of what is not head.
    "ddd7125883df": "682f377649c2",
    "18324a3f077d": "4dcd0e6e4246",
    # What shares the sources have, noted at each evaluation.
    "682f377649c2": "0b533a061190",
    "4dcd0e6e4246": "0f0cc605bc93",
    # A run's own precision whatever ran before it; stacks that are forgotten when a setup is activated; rarer sources.
    "0b533a061190": "55cb7f0ba459",
    "0f0cc605bc93": "8d62528561b7",
    # Damaged encoders are told; a LoRA of a model with fewer layers is refused.
    "55cb7f0ba459": "1a209261562e",
    "8d62528561b7": "6b3d83865c90",
}
"""Fingerprints of earlier code, by that of later code that gives the same numbers, bit for bit: see
`benchmarks/same_numbers.py`, which makes stored runs again."""


def equal_code(code: str) -> str:
    """The latest fingerprint that stands for the same numbers as this one."""
    while code in EQUAL:
        code = EQUAL[code]
    return code


def code_label(code: str, source_code: Sequence[str]) -> str:
    """The version of the code that made a result, and those of its source adapters where they differ."""
    code = equal_code(code)
    older = sorted({equal_code(version) for version in source_code} - {code})
    return code + (f" on {' and '.join(older)}" if older else "")


def equal_label(label: str) -> str:
    """A stored `code_label` by the latest fingerprints: it may be older than what is known of them."""
    return re.sub(r"\b[0-9a-f]{12}\b", lambda found: equal_code(found[0]), label)


@functools.cache
def code_version(bearing: tuple[str, ...] = BEARING) -> str:
    """A fingerprint of the sources that bear on numbers; comments, docstrings and layout do not count."""
    digest = hashlib.sha256()
    for pattern in bearing:
        for name, text in SOURCES.items():
            if fnmatch(name, pattern):
                digest.update(f"{name}\n{_essence(text)}\n".encode())
    return digest.hexdigest()[:12]


@functools.cache
def method_version(name: str) -> str:
    """A fingerprint of a method: of its facts, and of the modules of its learner and those that they import."""
    method = get_method(name)
    modules, found = [method.made_by.partition(":")[0].rpartition(".")[2]], []
    while modules:
        module = f"methods/{modules.pop()}.py"
        if module in SOURCES and module not in (*found, "methods/base.py", "methods/method.py", "methods/table.py"):
            found.append(module)
            modules += re.findall(r"^from \.(\w+) import", SOURCES[module], re.MULTILINE)
    facts = {field.name: getattr(method, field.name) for field in fields(Method)}
    del facts["title"], facts["about"], facts["learning_rate"], facts["patience"]  # words; and the budget's settings
    return hashlib.sha256(f"{facts} {code_version(tuple(sorted(found)))}".encode()).hexdigest()[:12]


def _essence(source: str) -> str:
    """Python source as its parser sees it, without docstrings; the same in every version of Python."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
    return _dump(tree)


def _dump(node: object) -> str:
    """A syntax tree as text. Empty fields are left out: newer versions of Python have more of them."""
    if isinstance(node, ast.JoinedStr):  # 3.12 has empty parts in f-strings that 3.13 has not
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return f"{type(node).__name__}({', '.join(f'{name}={_dump(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(map(_dump, node))}]"
    return repr(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def data_version(splits: DatasetDict) -> str:
    """A fingerprint of encoded splits: their token ids and labels, in their order."""
    digest = hashlib.sha256()
    for name, rows in splits.items():
        for column in ("input_ids", "labels"):
            digest.update(f"{name} {column} {len(rows)}\n".encode())
            digest.update(_numbers(rows.with_format("arrow")[:][column].combine_chunks()))
    return digest.hexdigest()[:12]


def _numbers(column: pa.Array) -> bytes:
    """The values of an Arrow column, with the lengths of its lists."""
    lengths = b""
    while isinstance(column, pa.ListArray | pa.LargeListArray):
        lengths += np.asarray(column.value_lengths(), dtype=np.int32).tobytes()
        column = column.flatten()
    return lengths + np.asarray(column).tobytes()


@functools.cache
def provenance() -> dict[str, object]:
    """Versions, machine and commit, for `result.json`; the commit is `None` outside a git checkout."""
    packages = ("torch", "transformers", "adapters", "datasets", "numpy")
    versions = {name: importlib.metadata.version(name) for name in packages}
    git = functools.partial(subprocess.run, cwd=PACKAGE, capture_output=True, text=True)
    try:
        if not (PACKAGE.parent / "pyproject.toml").exists():
            raise FileNotFoundError  # installed, perhaps below somebody else's checkout
        commit = git(["git", "rev-parse", "HEAD"]).stdout.strip() or None
        changed = bool(git(["git", "status", "--porcelain", "--untracked-files=no", "."]).stdout.strip())
    except FileNotFoundError:  # or there is no git on this machine
        commit, changed = None, False
    return {"versions": {"python": platform.python_version(), **versions}, "commit": commit, "changed": changed}
