"""What a submission earns without its answers: points that a test gives to anything are not the student's."""

from __future__ import annotations

import ast
from copy import deepcopy

import nbformat
from nbformat import NotebookNode

from .repair import grade_id, is_answer, is_test
from .runner import stop

SENTENCE = "This test also passes when your answers are taken away, so it says nothing about them: no points."


def answered_names(source: NotebookNode) -> list[str]:
    """The names that the answers of an assignment define at the top of their cells, in its source with solutions."""
    names = {}
    for cell in filter(is_answer, source.cells):
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names[node.name] = None
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                stored = (part for target in targets for part in ast.walk(target))
                names |= {part.id: None for part in stored if isinstance(part, ast.Name)}
    return list(names)


def unanswered(submitted: NotebookNode, release: NotebookNode, source: NotebookNode) -> NotebookNode:
    """Return a copy of a repaired submission in which every test finds no answer.

    All cells run as they were handed in, so that whatever they do to the tests is done; but before each test the names
    that the answers define are removed, and the stubs of the release run in the answers' place.
    """
    undo = f"for _ in {answered_names(source)!r}:\n    globals().pop(_, None)"
    stubs = [cell.source for cell in release.cells if is_answer(cell)]
    cells = []
    for cell in submitted.cells:
        if is_test(cell):
            cells += [nbformat.v4.new_code_cell(text) for text in (undo, *stubs)]
        cells.append(deepcopy(cell))
    copy = nbformat.v4.new_notebook(cells=cells, metadata=deepcopy(submitted.metadata))
    for cell in copy.cells:
        cell.pop("id", None)
    copy.nbformat_minor = 4
    return copy


def passed(executed: NotebookNode) -> set[str]:
    """The names of the tests of an executed notebook that passed."""
    return {
        grade_id(cell)
        for cell in executed.cells
        if is_test(cell) and not any(output.output_type == "error" for output in cell.outputs)
    }


def take_off(executed: NotebookNode, without: set[str]) -> list[str]:
    """Let the tests fail that also passed `without` answers, and return sentences on them."""
    unearned = passed(executed) & without
    for cell in executed.cells:
        if grade_id(cell) in unearned:
            stop(cell, "Unearned", SENTENCE)
    if not unearned:
        return []
    return [f"Tests that pass without any answer, whose points were taken off: {', '.join(sorted(unearned))}."]
