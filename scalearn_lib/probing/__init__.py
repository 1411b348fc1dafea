"""The scaling analysis: fixed coefficients on frozen source adapters, and heads as all that learns."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "pairs": ["Probe"],
        "probes": ["execute_probe", "probe", "probing_data"],
        "pruning": ["prune"],
        "pruning_store": ["keep_pruned", "load_pruned"],
        "store": ["load_pairs", "store_pairs"],
    },
)
