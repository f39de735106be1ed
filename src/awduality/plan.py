"""Which runs a config asks for, and which job trains each.

A *run* is one setting of all factors and one seed. A *sweep* is one factor over its values, all others at their
defaults; the baseline (everything at its default) belongs to every sweep and is trained once. A *shard* is what one job
trains: one factor's values for one block of seed indices, so that adding a value or a seed moves no other run to
another shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from awduality.errors import InputError
from awduality.factors import BASELINE, FACTORS

Settings = dict[str, Any]  # by factor, numbers; the runs of learners have settings of their own, words among them


@dataclass(frozen=True)
class Run:
    """One setting of all factors and one seed index."""

    settings: Settings
    seed: int

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that depend on the settings and the seed alone."""
        canonical = json.dumps({"settings": self.settings, "seed": self.seed}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Shard:
    """The runs that one job trains: a factor's values (none for the baseline) for a block of seeds."""

    factor: str
    values: tuple[int | float, ...]
    seeds: tuple[int, ...]
    block: int

    @property
    def name(self) -> str:
        """``<factor>-<block>``: neither the values nor the number of seeds are part of it."""
        return f"{self.factor}-{self.block}"

    def runs(self, defaults: Mapping[str, int | float]) -> list[Run]:
        """The shard's runs, value by value, seeds in order."""
        return list(expand(defaults, self.factor, self.values, self.seeds))


def layer_names(hidden_layers: int) -> list[str]:
    """The linear layers of a network, in order: ``fc1``, ``fc2`` and so on."""
    return [f"fc{index}" for index in range(1, hidden_layers + 2)]


def weight_names(hidden_layers: int, convolutions: int = 0) -> list[str]:
    """All layers of a network that have weights, in order: ``conv1``, …, then the linear ones."""
    return [*(f"conv{index}" for index in range(1, convolutions + 1)), *layer_names(hidden_layers)]


def settings_from(values: Mapping[str, Any]) -> Settings:
    """All factors in their canonical order and number type, so that 0 and 0.0 are the same setting."""
    return {name: factor.kind(values[name]) for name, factor in FACTORS.items()}


def expand(
    defaults: Mapping[str, int | float], factor: str, values: Iterable[int | float], seeds: Sequence[int]
) -> Iterable[Run]:
    """The runs of one factor's values, or of the baseline where ``factor`` is ``"baseline"``.

    Raises:
        InputError: an unknown factor.
    """
    if factor not in (BASELINE, *FACTORS):
        raise InputError(f"unknown factor {factor!r}: wanted {BASELINE} or one of {', '.join(FACTORS)}")
    changes: list[dict[str, int | float]] = [{}] if factor == BASELINE else [{factor: value} for value in values]
    for change in changes:
        for seed in seeds:
            yield Run(settings_from({**defaults, **change}), seed)


def sweep_values(config: Mapping[str, Any], factor: str) -> list[int | float]:
    """The values of a sweep in ascending order, the default among them."""
    kind = FACTORS[factor].kind
    return sorted({kind(value) for value in [*config["sweeps"][factor], config["defaults"][factor]]})


def shards(config: Mapping[str, Any]) -> list[Shard]:
    """All shards of a resolved config: the baseline's first, then each sweep's."""
    size = config["seeds_per_shard"]
    blocks = [tuple(range(first, min(first + size, config["seeds"]))) for first in range(0, config["seeds"], size)]
    found = [Shard(BASELINE, (), seeds, block) for block, seeds in enumerate(blocks)]
    for factor in config["sweeps"]:
        default = FACTORS[factor].kind(config["defaults"][factor])
        values = tuple(value for value in sweep_values(config, factor) if value != default)
        if values:
            found += [Shard(factor, values, seeds, block) for block, seeds in enumerate(blocks)]
    return found


def plan(config: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as it is written to ``plan.json``: every run once, and the values of every sweep.

    Returns:
        ``{"runs": [{"id", "settings", "seed", "shard", "sweeps"}, …], "sweeps": {factor: [values]}}``.
    """
    runs = []
    for shard in shards(config):
        sweeps = list(config["sweeps"]) if shard.factor == BASELINE else [shard.factor]
        runs += [
            {"id": run.id, "settings": run.settings, "seed": run.seed, "shard": shard.name, "sweeps": sweeps}
            for run in shard.runs(config["defaults"])
        ]
    return {"runs": runs, "sweeps": {factor: sweep_values(config, factor) for factor in config["sweeps"]}}
