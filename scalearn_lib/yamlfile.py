"""YAML files that are checked by pydantic models: what is wrong is told with its line and key."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from .errors import UserError, unknown

Place = tuple[object, ...]
"""Keys and numbers that lead to a value, as in pydantic's `loc`."""


class WrongAt(ValueError):
    """Something below the value that is being checked is wrong: its key there, and the problem."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


class Section(BaseModel):
    """A mapping with known keys; one that is not known is told with the nearest that is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def keys(cls) -> list[str]:
        """The keys that the file may have here."""
        return list(cls.model_fields)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if not isinstance(data, dict):
            raise ValueError(f"must hold keys and values; allowed keys: {', '.join(cls.keys())}")
        for key in data:
            if key not in cls.keys():
                raise WrongAt(key, f"is no key here: {unknown('key', key, cls.keys())}")
        return data


M = TypeVar("M", bound=Section)


def read_yaml(path: Path) -> tuple[object, dict[Place, int]]:
    """Return the data of a YAML file and the line of each of its keys and items.

    Raises:
        UserError: the file cannot be read, is no YAML, or has a key twice.
    """
    lines: dict[Place, int] = {(): 1}
    try:
        text = path.read_text(encoding="utf-8")
        node, data = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
        if node is not None:
            _remember(node, (), node.start_mark.line + 1, path, lines)
    except UserError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); name a YAML file.") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        reason = getattr(error, "problem", None) or "a key or value that YAML does not allow"
        raise UserError(f"{path}{line}: this is no YAML: {reason}.") from error
    except (ValueError, LookupError, AttributeError, RecursionError) as error:  # of a tag that has no such value
        raise UserError(f"{path} has a value that cannot be read ({error}); put texts into quotes.") from error
    return data, lines


def _remember(node: yaml.Node, place: Place, line: int, path: Path, lines: dict[Place, int]) -> None:
    lines[place] = line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here, line = (*place, key.value), key.start_mark.line + 1
            if here in lines:
                fail(path, lines | {here: line}, here, f"stands twice below line {lines[place]}; keep one of them")
            _remember(value, here, line, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            _remember(item, (*place, number), item.start_mark.line + 1, path, lines)


def checked(model: type[M], data: object, path: Path, lines: Mapping[Place, int]) -> M:
    """Return the data of `read_yaml` as a model.

    Raises:
        UserError: the first thing that is wrong, with its line and key.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place, raised = first["loc"], first.get("ctx", {}).get("error")
    if isinstance(raised, WrongAt):
        fail(path, lines, (*place, raised.key), str(raised))
    if raised is not None:
        fail(path, lines, place, f"is wrong: {raised}" if isinstance(raised, UserError) else str(raised))
    if first["type"] == "missing":
        fail(path, lines, place[:-1], f"needs the key '{place[-1]}'")
    try:
        got = reprlib.repr(first["input"])
    except ValueError:  # Python writes no number of more than 4,300 digits
        got = "a huge number"
    wanted = first["msg"].removeprefix("Input ").removeprefix("List ").partition(" after validation")[0]
    fail(path, lines, place, f"{wanted}, got {got}")


def fail(path: Path, lines: Mapping[Place, int], place: Place, problem: str) -> NoReturn:
    """Raise the error for a place of a file, or for the nearest place around it that has a line."""
    while place not in lines:
        place = place[:-1]
    key = next((f"'{part}' " for part in reversed(place) if isinstance(part, str)), "")
    sentence = " ".join(f"{key}{problem.rstrip('.')}.".split())
    raise UserError(f"{path}, line {lines[place]}: {sentence}")
