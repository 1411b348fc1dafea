"""What feedback may say: the sentences of the grader's tests, and of a submission's words none.

A failed test says its sentence through the submission's own Python, where it may be any text, a hidden test's too. So
a text counts only where it is one of those that the test's code holds: literals as they are, and what an f-string
leaves open a number, a name of the test, or another of its texts. What is anything else becomes "…".
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nbformat import NotebookNode

from .repair import grade_id, is_answer, is_test

LONGEST = 1000
"""Characters of an error's text that are looked at."""
NUMBER = re.compile(r"[-+0-9.,e% ()\[\]]{1,32}|-?inf|nan|True|False|None")
TYPES = frozenset("Tensor Parameter Series DataFrame ndarray NoneType function generator float64 int64 Size".split())
ERRORS = frozenset(name for name, kind in vars(builtins).items() if isinstance(kind, type))
UNKNOWN = "The test failed, and what it said is not the grader's."


@dataclass(frozen=True, order=True)
class Template:
    """A text with holes between its parts, one at least."""

    parts: tuple[str, ...]

    def filled(self, holes: Sequence[str]) -> str:
        """The text with the holes filled."""
        return "".join(part + hole for part, hole in zip(self.parts, [*holes, ""], strict=True))

    def holes(self, text: str) -> Iterator[list[str]]:
        """Yield what may stand in the holes where this is `text`: nothing where it is not."""
        first, *middle, last = self.parts
        start, end = len(first), len(text) - len(last)
        if start > end or not text.startswith(first) or not text.endswith(last):
            return
        if not middle:
            yield [text[start:end]]
        elif middle[0]:  # each place of the first part, then the next place of the others
            place = text.find(middle[0], start, end)
            while place >= 0:
                rest = Template(("", *middle[1:], last)).holes(text[place + len(middle[0]) :])
                yield from ([text[start:place], *holes] for holes in islice(rest, 1))
                place = text.find(middle[0], place + 1, end)


class Sentences:
    """The texts that one test may say.

    Args:
        test: its source, with hidden tests.
        given: source of the grader's other cells, whose texts are mostly names of things.
    """

    def __init__(self, test: str, given: str = "") -> None:
        trees = [ast.parse(test), _CHECKS]
        self.known = {node.arg for node in ast.walk(trees[0]) if isinstance(node, ast.arg)} | TYPES | ERRORS
        self.known |= {node.id for node in ast.walk(trees[0]) if isinstance(node, ast.Name)}
        self.known |= {text for tree in trees for text in _literals(tree)} | set(_literals(ast.parse(given)))
        found = {Template(parts) for tree in trees for parts in _formats(tree)}
        # What says most of itself is tried first.
        self.templates = sorted(found, key=lambda template: (-sum(map(len, template.parts)), template))

    def about(self, name: str, text: str) -> str:
        """Return the sentence on an error of a test, by its name and text."""
        if name == "AssertionError":
            return self.allowed(text)
        if missing := re.fullmatch(r"name '(\w+)' is not defined", text):
            about = f"'{missing[1]}'" if missing[1] in self.known else "A name"
            return f"{about} is not defined: was a cell above not executed, renamed, or did it fail?"
        return f"The test stopped with {name if name in ERRORS else 'an error'}."

    def allowed(self, text: str) -> str:
        """Return the text of an assertion with "…" for what is not the test's."""
        if len(text) > LONGEST:
            return UNKNOWN
        if known := self._ours(text, depth=2):
            return known
        for template in self.templates:
            if any(len(part) >= 12 for part in template.parts):  # a sentence, and not a mere colon
                for holes in template.holes(text):
                    return template.filled([hole if self._ours(hole, depth=2) is not None else "…" for hole in holes])
        return UNKNOWN

    def _ours(self, text: str, depth: int) -> str | None:
        """Return a text that is a number, a name, or one of the test's throughout; else `None`."""
        bare = text[1:-1] if text[:1] == text[-1:] == "'" else text
        if not text or bare in self.known or NUMBER.fullmatch(text):
            return text
        if depth:
            for template in self.templates:
                for holes in template.holes(text):
                    if all(self._ours(hole, depth - 1) is not None for hole in holes):
                        return text
        return None


def of_assignment(source: NotebookNode) -> dict[str, Sentences]:
    """The sentences of each test of an assignment, by the test's name, from its source with hidden tests."""
    graders = [cell for cell in source.cells if cell.cell_type == "code" and grade_id(cell) and not is_answer(cell)]
    given = "\n".join(cell.source for cell in graders if not is_test(cell))
    return {grade_id(cell): Sentences(cell.source, given) for cell in filter(is_test, graders)}


def _literals(tree: ast.AST) -> Iterator[str]:
    """Every text that stands in a piece of code, parts of f-strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _formats(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """The parts of every f-string of a piece of code, around what it leaves open."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [""]
            for value in node.values:
                if isinstance(value, ast.Constant):
                    parts[-1] += value.value
                else:
                    parts.append("")
            if len(parts) > 1 and any(parts):
                yield tuple(parts)


_CHECKS = ast.parse(Path(__file__).with_name("checks.py").read_text())
