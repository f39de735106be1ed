"""Which figures there are, and which tables each is drawn from. Imports nothing, since the workflow reads it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FACTOR_TABLES = ("gap", "directions", "training")
"""The tables of a sweep, ``<factor>-<table>.csv``; its figure is named after the factor."""

CLAIM_TABLES = ("runs.csv", "null-runs.csv", "samples.csv")
"""The tables that claims are judged from; no figure needs to show them."""

OVERVIEW: Mapping[str, tuple[str, ...]] = {
    "codeterminants": ("runs.csv",),
    "duality": ("runs.csv", "duality-pairs.csv"),
    "estimate": ("runs.csv",),
    "layers": ("claims.json",),
    "nulls": ("null-curves.csv",),
    "predictors": ("claims.json",),
    "size": ("runs.csv",),
    "verdicts": ("claims.json",),
}
"""The figures over all runs, and the files that each is drawn from."""

LEARNER_TABLES = ("runs.csv", "course.csv", "samples.csv")
"""The tables that the claims of a study of many learners are judged from."""

LEARNER_FIGURES: Mapping[str, tuple[str, ...]] = {
    "course": ("runs.csv", "course.csv"),
    "effects": ("claims.json",),
    "grid": ("runs.csv",),
    "plane": ("runs.csv",),
    "surface": ("surface.csv",),
}
"""The figures of a study of many learners, and the files that each is drawn from."""


def overview(layers: Sequence[str]) -> list[str]:
    """The figures over all runs of a config with these layers: they are compared where there are several."""
    return [name for name in OVERVIEW if name != "layers" or len(layers) > 1]
