"""Names that a user gives to tasks and adapters: what they may be."""

from __future__ import annotations

import re

TABLES = ("all", "average", "label", "method", "parameters", "seeds", "versions")
"""Names that mean something else on the command line or in tables."""

TORCH = tuple(
    "T_destination add_module apply bfloat16 buffers call_super_init children clear compile copy cpu cuda "
    "double dump_patches eval extra_repr float forward fromkeys get get_buffer get_extra_state get_parameter "
    "get_submodule half ipu items keys load_state_dict modules mtia named_buffers named_children named_modules "
    "named_parameters parameters pop popitem requires_grad_ set_extra_state set_submodule setdefault "
    "share_memory state_dict to to_empty train training type update values xpu zero_grad".split()
)
"""Names that a module of torch cannot take for a part, which is what adapters and heads are; see also `register_`."""


def wrong_name(name: str) -> str | None:
    """Return what is wrong with the name of a task or an adapter, or `None`."""
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        return f"the name '{name}' is not of letters, digits and _, a letter first; change it"
    if name in TABLES:
        return f"the name '{name}' means something else in tables; take another"
    if re.fullmatch(r"random_\d+", name):
        return f"the name '{name}' is that of a random source; take another"
    if name in TORCH or name.startswith("register_"):
        return f"the name '{name}' is taken by torch, which cannot call an adapter so; take another"
    return None
