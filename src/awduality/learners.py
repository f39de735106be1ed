"""Many learners at once: the settings of synchronous and decentralised SGD, and which runs a study asks for.

A *study* is a config with the key ``learners``. Each of its *experiments* crosses lists of settings with seeds; a run
that several of them ask for is trained once. Standard library only, since the audit expands plans too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from awduality.plan import Run, Settings, Shard, plan, shards

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


@dataclass(frozen=True)
class LearnerShard:
    """The runs that one job trains together: one setting, a block of seeds."""

    settings: Settings
    seeds: tuple[int, ...]
    block: int

    @property
    def name(self) -> str:
        """The setting and the number of the block: neither other settings nor the number of seeds are part of it."""
        s = self.settings
        parts = [s["algorithm"], s["mixing"], f"n{s['learners']}", f"a{s['learning_rate']:g}", f"b{s['total_batch']}"]
        noise = [f"s{s['noise']:g}"] if s["noise"] else []
        return "-".join(map(str, [*parts, *noise, f"t{s['steps']}", self.block]))

    def runs(self, _defaults: object = None) -> list[Run]:
        """The shard's runs, seeds in order."""
        return [Run(self.settings, seed) for seed in self.seeds]


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


def experiment_runs(experiment: Mapping[str, Any]) -> Iterator[Run]:
    """The runs of one experiment: every list crossed with every other; a run may come more than once."""
    lists = {**experiment, "noise": experiment["noise"] or [0.0], "steps": [experiment["steps"]]}
    for values in itertools.product(*(lists[name] for name in SETTINGS)):
        settings = canonical_settings(dict(zip(SETTINGS, values, strict=True)))
        yield from (Run(settings, seed) for seed in range(experiment["seeds"]))


def learner_shards(config: Mapping[str, Any]) -> list[LearnerShard]:
    """All shards of a study, in the order of its experiments."""
    seeds: dict[str, int] = {}
    settings: dict[str, Settings] = {}
    for experiment in config["learners"]["experiments"].values():
        for run in experiment_runs(experiment):
            key = Run(run.settings, 0).id
            settings[key] = run.settings
            seeds[key] = max(seeds.get(key, 0), run.seed + 1)
    size = config["seeds_per_shard"]
    return [
        LearnerShard(settings[key], tuple(range(first, min(first + size, count))), block)
        for key, count in seeds.items()
        for block, first in enumerate(range(0, count, size))
    ]


def learner_plan(config: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of a study: every run once, with its settings, seed, shard and the experiments that ask for it."""
    askers: dict[str, list[str]] = {}
    for name, experiment in config["learners"]["experiments"].items():
        for run in dict.fromkeys(run.id for run in experiment_runs(experiment)):
            askers.setdefault(run, []).append(name)
    runs = [
        {"id": run.id, "settings": run.settings, "seed": run.seed, "shard": shard.name, "experiments": askers[run.id]}
        for shard in learner_shards(config)
        for run in shard.runs()
    ]
    return {"runs": runs, "sweeps": {}}


def shards_of(config: Mapping[str, Any]) -> list[Shard] | list[LearnerShard]:
    """All shards of any config, a study of learners or sweeps of factors."""
    return learner_shards(config) if "learners" in config else shards(config)


def plan_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The plan of any config, as it is written to ``plan.json``."""
    return learner_plan(config) if "learners" in config else plan(config)
