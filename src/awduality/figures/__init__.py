"""Figures: from results to the numbers drawn, from numbers to pictures.

>>> from awduality.figures import plot_decomposition  # doctest: +SKIP

The name is resolved when it is used, so importing the package imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awduality.figures.decomposition import plot_decomposition

__all__ = ["plot_decomposition"]


def __getattr__(name: str) -> Any:
    if name != "plot_decomposition":
        raise AttributeError(f"module 'awduality.figures' has no attribute {name!r}")
    from importlib import import_module

    return import_module("awduality.figures.decomposition").plot_decomposition
