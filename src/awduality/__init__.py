"""Activity–weight duality: decompose a network's generalization gap into sharpness × size (Feng, Zhang & Tu 2023).

>>> from awduality import decompose
>>> result = decompose(model, "fc2", train=(x, y), test=(x_test, y_test))  # doctest: +SKIP

Names are resolved when they are used, so importing the package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awduality.curvature.density import SpectralDensity, layer_density
    from awduality.duality.decomposition import decompose
    from awduality.duality.layers import decompose_layers
    from awduality.duality.pairing import nearest_pairs
    from awduality.duality.result import Decomposition
    from awduality.errors import InputError
    from awduality.figures.decomposition import plot_decomposition
    from awduality.losses import smoothed_cross_entropy

__all__ = [
    "Decomposition",
    "InputError",
    "SpectralDensity",
    "decompose",
    "decompose_layers",
    "layer_density",
    "nearest_pairs",
    "plot_decomposition",
    "smoothed_cross_entropy",
]

_PLACES = {
    "Decomposition": "awduality.duality.result",
    "InputError": "awduality.errors",
    "SpectralDensity": "awduality.curvature.density",
    "decompose": "awduality.duality.decomposition",
    "decompose_layers": "awduality.duality.layers",
    "layer_density": "awduality.curvature.density",
    "nearest_pairs": "awduality.duality.pairing",
    "plot_decomposition": "awduality.figures.decomposition",
    "smoothed_cross_entropy": "awduality.losses",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(__name__)
    if name not in _PLACES:
        raise AttributeError(f"module 'awduality' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
