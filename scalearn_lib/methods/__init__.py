"""Everything that is compared, behind one interface: a table of facts, and a module per family of learners."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Learner", "trainable_parameters", "transfer_parameters"],
        "method": ["Method"],
        "sources": ["check_adapters"],
        "table": ["METHODS", "get_method"],
    },
)
