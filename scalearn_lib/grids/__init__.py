"""A study file as batch jobs: what is to run, what is missing, who makes it, how far it is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "studyfile": ["Study", "read_study"],
        "worker": ["carry_out", "planned"],
        "driver": ["run_grid"],
        "jobs": ["all_items"],
        "progress": ["status"],
        "costs": ["cost_table", "measured"],
        "devices": ["claim_gpu"],
    },
)
