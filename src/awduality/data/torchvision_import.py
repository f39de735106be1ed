"""The only place that imports torchvision, also beside a CPU-only build of torch.

The registry's Linux wheels of torchvision are CUDA builds. Beside a CPU build of torch their compiled operators do not
load, and the import fails because it registers shapes for operators that do not exist, although datasets and models
need none of them. When, and only when, the import fails in this way, the missing operators' schemas are declared
(without an implementation) and the import is tried again.
"""

from __future__ import annotations

import importlib
import logging
import re
import sys
from types import ModuleType

_MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
_MOST_OPERATORS = 20
_kept_alive: list[object] = []  # a torch Library withdraws its definitions when it is collected


def torchvision_datasets() -> ModuleType:
    """The module ``torchvision.datasets``."""
    return _imported("torchvision.datasets")


def torchvision_models() -> ModuleType:
    """The module ``torchvision.models``."""
    return _imported("torchvision.models")


def _imported(module: str) -> ModuleType:
    for _ in range(_MOST_OPERATORS):
        try:
            return importlib.import_module(module)
        except RuntimeError as error:
            missing = _MISSING_OPERATOR.search(str(error))
            if missing is None:
                raise
            _declare(missing.group(1))
    raise RuntimeError("torchvision cannot be imported: more than 20 of its compiled operators are missing")


def _declare(operator: str) -> None:
    from torch.library import Library

    logging.getLogger(__name__).debug(
        "torchvision's compiled operator %s does not load beside this build of torch; declared without code, "
        "since datasets do not use it",
        operator,
    )
    library = Library("torchvision", "FRAGMENT")
    library.define(f"{operator}(Tensor unused) -> Tensor")
    _kept_alive.append(library)
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
