"""What a user is told: the one error that is meant to be read, "did you mean", and lines that are said once."""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable


class UserError(ValueError):
    """Something in the input is wrong; the message says what, what was expected and what to do, in one sentence.

    The command line prints the message alone; anything else that is raised is a defect and keeps its traceback.
    """


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """Return the error for a `name` that is not one of the `valid` names of its `kind` ("task", "method", ...)."""
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return UserError(f"Unknown {kind} '{name}'{hint}; valid: {', '.join(names)}.")


def first_line(error: Exception) -> str:
    """The first line of what another library's error says, or its kind where it says nothing: for a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@functools.cache
def say_once(text: str) -> None:
    """Print a line to stderr, unless this process has done so before."""
    print(text, file=sys.stderr)
