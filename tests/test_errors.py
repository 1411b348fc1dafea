"""The errors that users read."""

from __future__ import annotations

import pytest

from scalearn_lib.errors import UserError, unknown


@pytest.mark.parametrize("name, hint", [("scalern", " (did you mean 'scalearn'?)"), ("xyz", ""), (7, "")])
def test_unknown_names_the_valid_ones_and_a_near_match(name: object, hint: str) -> None:
    error = unknown("method", name, ["scalearn", "adapter"])
    assert str(error) == f"Unknown method '{name}'{hint}; valid: scalearn, adapter."


def test_a_user_error_is_a_value_error() -> None:
    assert issubclass(UserError, ValueError)
