"""Synchronous and decentralised SGD: algorithms, ways of mixing, settings of many learners. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from awduality.runs import Settings

ALGORITHMS: Mapping[str, str] = MappingProxyType({"ssgd": "SSGD", "ssgd_star": "SSGD*", "dpsgd": "DPSGD"})
"""Algorithms and their names in text: synchronous SGD, the same with constant isotropic noise, decentralised SGD."""

MIXINGS: Mapping[str, str] = MappingProxyType(
    {
        "full": "full averaging",
        "ring": "ring",
        "wide_ring": "ring, two neighbours on each side",
        "random_ring": "random ring",
        "random_pair": "random pairs",
    }
)
"""How learners average their weights, and what it is called in text; see ``awduality.training.mixing``."""

SETTINGS: Mapping[str, type] = MappingProxyType(
    {
        "algorithm": str,
        "mixing": str,
        "learners": int,  # n
        "learning_rate": float,  # α
        "total_batch": int,  # n·b samples per step, over all learners
        "noise": float,  # σ₀ of SSGD*
        "steps": int,
    }
)
"""What tells runs of a study apart, beside their seed."""


def canonical_settings(values: Mapping[str, Any]) -> Settings:
    """Settings in their canonical order and type; what an algorithm does not use is at its neutral value.

    SSGD is the same for every number of learners that share a total batch: it is trained as one.
    """
    found = {name: kind(values[name]) for name, kind in SETTINGS.items()}
    if found["algorithm"] != "dpsgd":
        found["mixing"] = "full"
    if found["algorithm"] != "ssgd_star":
        found["noise"] = 0.0
    if found["algorithm"] == "ssgd":
        found["learners"] = 1
    return found
