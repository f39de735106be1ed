"""Which runs a config asks for, and which job trains each. Standard library only: the audit expands plans too.

A *shard* is what one job trains: runs of one group, such as a setting or a factor's values, for one block of seed
indices, so that adding a setting or a seed moves no other run to another shard.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from awduality.errors import InputError
from awduality.runs import Run, Settings
from awduality.study.contract import Study
from awduality.study.discovery import study, study_of


def expanded(name: str, declared: Study, config: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """Experiment and run, in the order of the config; a run may come more than once."""
    if declared.expand is not None:
        yield from declared.expand(config)
        return
    for experiment, lists in config[name]["experiments"].items():
        yield from ((experiment, run) for run in experiment_runs(declared, lists))


def experiment_runs(declared: Study, experiment: Mapping[str, Any]) -> Iterator[Run]:
    """The runs of one experiment: every list crossed with every other, and with the seeds."""
    values = [listed(experiment.get(key), setting.neutral) for key, setting in declared.settings.items()]
    for chosen in itertools.product(*values):
        settings = canonical(declared, dict(zip(declared.settings, chosen, strict=True)))
        yield from (Run(settings, seed) for seed in range(experiment["seeds"]))


def listed(values: Any, neutral: Any) -> list[Any]:
    """The values of a setting in an experiment: a list, one value, or the neutral one where it is left out or empty."""
    if values is None or values == []:
        return [neutral]
    return list(values) if isinstance(values, list) else [values]


def canonical(declared: Study, values: Mapping[str, Any]) -> Settings:
    """Settings in their order and type, so that 0 and 0.0 are one; neutral where another setting makes them unused."""
    return declared.canonical({name: setting.kind(values[name]) for name, setting in declared.settings.items()})


def plan(config: Mapping[str, Any]) -> dict[str, Any]:
    """The plan as it is written to ``plan.json``: every run once, shard by shard.

    Returns:
        ``{"runs": [{"id", "settings", "seed", "shard", "experiments"}, …]}``.

    Raises:
        InputError: two groups of runs have one name.
    """
    name = study_of(config)
    declared = study(name)
    runs: dict[str, Run] = {}
    asking: dict[str, list[str]] = {}
    for experiment, run in expanded(name, declared, config):
        runs.setdefault(run.id, run)
        if experiment not in asking.setdefault(run.id, []):
            asking[run.id].append(experiment)
    groups: dict[str, dict[int, list[Run]]] = {}
    for run in runs.values():
        blocks = groups.setdefault(declared.group(run, asking[run.id]), {})
        blocks.setdefault(run.seed // config["seeds_per_shard"], []).append(run)
    shards = {f"{group}-{block}": found for group, blocks in groups.items() for block, found in sorted(blocks.items())}
    if len(shards) != sum(map(len, groups.values())):
        raise InputError(f"two groups of runs of {config['name']!r} have one name: give the hook group others")
    entries = [
        {"id": run.id, "settings": run.settings, "seed": run.seed, "shard": shard, "experiments": asking[run.id]}
        for shard, found in shards.items()
        for run in found
    ]
    return {"runs": entries}


def shards(config: Mapping[str, Any]) -> dict[str, list[Run]]:
    """Shard → its runs, in the order of the plan."""
    found: dict[str, list[Run]] = {}
    for entry in plan(config)["runs"]:
        found.setdefault(entry["shard"], []).append(Run(entry["settings"], entry["seed"]))
    return found


def group_of(shard: str) -> str:
    """The group that a shard is a block of."""
    return shard.rpartition("-")[0]
