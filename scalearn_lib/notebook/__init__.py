"""What the notebooks share: checked parameters, headless execution, sliders and switches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "parameters": ["check_parameters", "show_versions"],
        "headless": ["execute_notebook", "notebook_looks_at", "notebook_runs"],
        "interactive": ["SourceSwitches", "encode_pair"],
        "controls": ["PairPicture", "pair_sliders", "source_switches"],
    },
)
