"""A run: one method on one task with one seed, carried out once and stored."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "execution": ["execute", "execute_all", "load_trained", "stored_results", "weights_of"],
        "run": ["Run", "RunFailed", "source_tasks_at_hand"],
        "data": ["at_most", "encoded"],
    },
)
