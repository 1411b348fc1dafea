"""How a prepared model learns: its budget, single-task and joint training, one process or several."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "budget": ["BUDGETS", "Budget", "make_budget"],
        "single": ["Diverged", "Outcome", "train"],
        "joint": ["train_jointly"],
    },
)
