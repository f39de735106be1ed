"""Which figures there are, and which tables each is drawn from. Imports nothing, since the workflow reads it too."""

from __future__ import annotations

from collections.abc import Mapping

FACTOR_TABLES = ("gap", "directions", "training")
"""The tables of a sweep, ``<factor>-<table>.csv``; its figure is named after the factor."""

OVERVIEW: Mapping[str, tuple[str, ...]] = {
    "codeterminants": ("runs",),
    "duality": ("runs", "duality-pairs"),
    "estimate": ("runs",),
    "size": ("runs",),
}
"""The figures over all runs, and their tables."""
