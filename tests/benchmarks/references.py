"""What is timed of the two references, each a task for a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from awduality.data.splits import read_split
from awduality.networks import from_weights
from tests.benchmarks import published, tuned
from tests.benchmarks.timing import median_seconds, seconds, seconds_per_epoch
from tests.benchmarks.work import Geometry, Problem, problem, shared_by_runs

SEED = 0
ANALYSIS: dict[str, ModuleType] = {"published": published, "tuned": tuned}


def _problem(split_file: Path, config: Mapping[str, Any], change: Mapping[str, float]) -> Problem:
    return problem(read_split(split_file), {**config["defaults"], **change}, shared_by_runs(config))


def _train(name: str, work: Problem) -> tuple[int, nn.Sequential]:
    """A run of a reference; its setup is part of it."""
    network = published.initial_network(work, SEED)
    torch.set_flush_denormal(name == "tuned")
    batches = tuned.Batches(work, SEED) if name == "tuned" else published.batches(work, SEED)
    return published.train(work, network, batches), network


def epoch_seconds(
    name: str, split_file: Path, config: Mapping[str, Any], changes: Sequence[Mapping[str, float]]
) -> list[float]:
    """The duration of an epoch of a run, for each change of the defaults."""
    found = []
    for change in changes:
        work = replace(_problem(split_file, config, change), target_loss=-1.0)
        found.append(seconds_per_epoch(lambda epochs, work=work: _train(name, replace(work, max_epochs=epochs))))
    return found


def complete_run(
    name: str, split_file: Path, config: Mapping[str, Any], change: Mapping[str, float]
) -> tuple[int, float]:
    """A run to its target: how many epochs, and how many seconds."""
    work = _problem(split_file, config, change)
    epochs = 0

    def whole() -> None:
        nonlocal epochs
        epochs, _ = _train(name, work)

    _train(name, replace(work, max_epochs=1))  # libraries set themselves up
    duration = seconds(whole)
    return epochs, duration


def geometry_seconds(
    name: str, split_file: Path, config: Mapping[str, Any], weights: dict[str, np.ndarray]
) -> tuple[Geometry, float]:
    """The geometry of a network, and its duration."""
    work, network = _problem(split_file, config, {}), from_weights(weights)
    found: list[Geometry] = []
    duration = median_seconds(lambda: found.append(ANALYSIS[name].analyse(work, network)))
    return found[-1], duration
