"""ScaLearn (Findings of ACL 2024) for the adapters package, and the study that replicates it."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import ModuleType

import lazy_loader

__version__ = "0.1.0"

# The method imports torch and adapters, which takes seconds: not before it is asked for (`scalearn --help`).
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "composition": [
            "VARIANTS",
            "ScaLearn",
            "ScaLearnConfig",
            "fold",
            "forward_path",
            "init",
            "load_peft",
            "save_peft",
            "scaling_coefficients",
        ]
    },
)


class _WithAdapters(importlib.abc.MetaPathFinder):
    """Imports the method together with adapters, whichever is imported first.

    adapters must know ScaLearn before it loads a saved model that has a block, and `import scalearn_lib` is all that
    its user has to write.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "adapters":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module if spec else None

        def exec_module(module: ModuleType) -> None:
            run(module)
            importlib.import_module(f"{__name__}.composition")

        if spec:
            spec.loader.exec_module = exec_module
        return spec


if "adapters" in sys.modules:
    importlib.import_module(f"{__name__}.composition")
else:
    sys.meta_path.insert(0, _WithAdapters())
