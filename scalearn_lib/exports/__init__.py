"""What a run learned, for use elsewhere: written as `adapters` alone loads it, and used on a user's rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"write": ["export"], "load": ["load_exported"], "predictions": ["predict", "predict_file"]}
)
