"""What is timed of the project itself, each a task for a process of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from awduality import decompose
from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.operators import HessianOperator, top_spectrum
from awduality.curvature.spectrum import spectrum
from awduality.data.splits import Split, read_split
from awduality.duality.analysis import Analysis
from awduality.layers import layer_names
from awduality.networks import from_weights, fully_connected
from awduality.probe import LayerProbe
from awduality.runs import Run
from awduality.study.plan import group_of
from awduality.training.loop import train
from awduality.training.run import Solution, Training
from studies.sweeps.study import BASELINE, expand
from tests.benchmarks.timing import median_seconds, seconds, seconds_per_epoch
from tests.benchmarks.work import LAYER, Geometry, shared_by_runs

CPU = torch.device("cpu")
Weights = dict[str, np.ndarray]


def train_for(runs: Sequence[Run], split: Split, config: Mapping[str, Any], epochs: int) -> list[Solution]:
    """Train for a number of epochs, target or not."""
    settings = runs[0].settings
    steps = -(-int(settings["train_size"]) // int(settings["batch_size"]))
    limits = {"target_loss": -1.0, "max_steps": epochs * steps}
    return train(runs, split, Training(**{**shared_by_runs(config), **limits}), CPU)


def epoch_seconds(
    split_file: Path, config: Mapping[str, Any], stacks: Sequence[Sequence[Run]], target: float = 1.0
) -> list[float]:
    """The duration of an epoch of each stack of runs, all its runs together."""
    split = read_split(split_file)
    return [
        seconds_per_epoch(lambda epochs, runs=runs: train_for(runs, split, config, epochs), target) for runs in stacks
    ]


def train_shards(
    split_file: Path, config: Mapping[str, Any], shards: Mapping[str, list[Run]], repeats: int
) -> tuple[list[float], dict[tuple[str, float], list[int]]]:
    """Train whole shards to the target, one after the other.

    Returns:
        The duration of every repeat, and the epochs of every run, by factor and value.
    """
    split = read_split(split_file)
    training = Training(**shared_by_runs(config))
    train_for(next(iter(shards.values())), split, config, 1)
    solutions: list[tuple[str, Solution]] = []

    def whole() -> None:
        solutions.clear()
        for name, runs in shards.items():
            solutions.extend((group_of(name), found) for found in train(runs, split, training, CPU))

    durations = [seconds(whole) for _ in range(repeats)]
    epochs: dict[tuple[str, float], list[int]] = defaultdict(list)
    for factor, found in solutions:
        epochs[factor, found.run.settings.get(factor, 0)].append(found.epochs)
    return durations, dict(epochs)


def solution(split_file: Path, config: Mapping[str, Any], seed: int) -> Weights:
    """The weights of one run at the defaults, trained to the target."""
    runs = list(expand(config["defaults"], BASELINE, [], [seed]))
    (found,) = train(runs, read_split(split_file), Training(**shared_by_runs(config)), CPU)
    return named(found)


def named(solution: Solution) -> Weights:
    """The weights of a run by layer."""
    return dict(zip(layer_names(len(solution.weights) - 1), solution.weights, strict=True))


def geometry(split: Split, weights: Weights, train_size: int) -> Geometry:
    """The decomposition of a network, as the public function gives it."""
    found = decompose(from_weights(weights), LAYER, split.train(train_size), split.test)
    return Geometry(found.eigenvalues, found.sigma_g, found.sigma_w, found.contribution + found.mean_term)


def geometry_seconds(split_file: Path, config: Mapping[str, Any], weights: Weights) -> tuple[Geometry, float, float]:
    """The decomposition of a network, its duration, and that of the pipeline's whole analysis of a run.

    The whole analysis has nulls, the balanced network and both pairings; which samples are paired is known before, as
    it is for all runs of a shard but the first.
    """
    split = read_split(split_file)
    size = int(config["defaults"]["train_size"])
    found = geometry(split, weights, size)
    one = median_seconds(lambda: geometry(split, weights, size))
    whole = analysis(split, config)
    seeds = iter(range(100))  # the nulls' random numbers are kept for every seed: a new seed draws them anew
    return found, one, median_seconds(lambda: whole.network("run", next(seeds), weights, size))


def analysis(split: Split, config: Mapping[str, Any]) -> Analysis:
    """The pipeline's analysis of runs."""
    geometry = config["geometry"]
    return Analysis(
        split,
        config["layers"],
        geometry["pairings"],
        geometry["sharp_directions"],
        config["root_seed"],
        geometry["shuffles"],
    )


def decompose_seconds(split_file: Path, cases: Sequence[tuple[int, int]]) -> list[float]:
    """The duration of ``decompose`` for networks as they are before training, by training size and width."""
    split = read_split(split_file)
    found = []
    for size, width in cases:
        torch.manual_seed(0)
        model = fully_connected([split.features, width, width, split.classes])
        train_set = split.train(size)
        found.append(
            median_seconds(lambda model=model, train_set=train_set: decompose(model, LAYER, train_set, split.test))
        )
    return found


def spectrum_seconds(
    split_file: Path, config: Mapping[str, Any], widths: Sequence[int], tops: Sequence[int], largest: int
) -> list[dict[str, float]]:
    """The duration of all eigenpairs from the whole Hessian, and of the top ones by products, for every width.

    Layers of more than ``largest`` units are left to the products.
    """
    split = read_split(split_file)
    samples = split.train(int(config["defaults"]["train_size"]))
    rows = []
    for width in widths:
        runs = list(expand({**config["defaults"], "width": width}, "baseline", [], [0]))
        probe = LayerProbe(from_weights(named(train_for(runs, split, config, 20)[0])), LAYER)
        seen = probe.see(samples)
        row: dict[str, float] = {"weights": width * width}
        if width <= largest:
            row["dense"] = median_seconds(lambda probe=probe, seen=seen: spectrum(layer_hessian(probe, seen)))
        for top in tops:
            row[f"top {top}"] = median_seconds(
                lambda probe=probe, seen=seen, top=top: top_spectrum(HessianOperator(probe, seen), top)
            )
        rows.append(row)
    return rows
