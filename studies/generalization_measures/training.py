"""The networks: those that measures are tried on, and those from neighbouring samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from awduality.data.splits import Split
from awduality.layers import by_layer
from awduality.measures.capacity import outputs
from awduality.runs import Run
from awduality.training.loop import train
from awduality.training.run import Solution, Training
from awduality.training.schemes import initial_weights

_UNUSED = {"label_noise": 0.0, "init_scale": 1.0, "dropout": 0.0, "weight_decay": 0.0, "l2": 0.0}
_RESTART = 1_000_000  # what is added to a seed index for another start and another order of batches


def training_of(asked: Mapping[str, Any], hidden_layers: int) -> Training:
    """When runs end, from what the step asked: at the first look that finds the target reached."""
    return Training(
        hidden_layers=hidden_layers,
        root_seed=asked["root_seed"],
        target_loss=asked["target_loss"],
        target_accuracy=0.0,
        max_steps=asked["max_steps"],
        weight_decay_epochs=0,
        check_every=asked["check_every"],
    )


def engine_run(one: Run, seed: int | None = None) -> Run:
    """A run as the engine knows it: plain SGD."""
    names = ("batch_size", "train_size", "width", "learning_rate")
    return Run({**{name: one.settings[name] for name in names}, **_UNUSED}, one.seed if seed is None else seed)


def trained(runs: Sequence[Run], split: Split, asked: Mapping[str, Any], report: Callable[..., None]) -> list[Solution]:
    """A solution per run, in their order."""
    by_depth: dict[int, list[Run]] = defaultdict(list)
    for one in runs:
        by_depth[one.settings["hidden_layers"]].append(one)
    found: dict[str, Solution] = {}
    for depth, some in by_depth.items():
        engine = [engine_run(one) for one in some]
        solutions = train(engine, split, training_of(asked, depth), torch.device("cpu"), report)
        found |= {one.id: solution for one, solution in zip(some, solutions, strict=True)}
    return [found[one.id] for one in runs]


def initial(one: Run, split: Split, asked: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The weights that a run began with."""
    settings = engine_run(one).settings
    shapes = training_of(asked, one.settings["hidden_layers"]).shapes(settings, split).values()
    return by_layer(initial_weights(shapes, settings["init_scale"], asked["root_seed"], one.seed))


def neighbour(split: Split, size: int) -> Split:
    """The same, with the first training sample exchanged for the first one beyond the training set."""
    order = np.arange(len(split.pool_labels))
    order[[0, size]] = order[[size, 0]]
    return replace(split, pool_pixels=split.pool_pixels[order], pool_labels=split.pool_labels[order])


def permuted(split: Split, size: int, generator: np.random.Generator) -> Split:
    """The same, with the labels of the training samples and of the one beyond them permuted."""
    labels = split.pool_labels.copy()
    labels[: size + 1] = generator.permutation(labels[: size + 1])
    return replace(split, pool_labels=labels)


def agreements(
    one: Run, split: Split, asked: Mapping[str, Any], generator: np.random.Generator
) -> tuple[str, dict[str, float]]:
    """How a run ended, and the share of test samples that its network and another one classify alike.

    The other one is trained on a sample of which one image differs, from the same start and in the same order
    (``agreement``); or on the same sample from another start, in another order (``agreement_restart``).
    """
    size = one.settings["train_size"]
    own = split.of_seed(asked["root_seed"], one.seed)
    if one.settings["permuted"]:
        own = permuted(own, size, generator)
    training, device = training_of(asked, one.settings["hidden_layers"]), torch.device("cpu")
    here, again = engine_run(one), engine_run(one, one.seed + _RESTART)
    asks = ((here, own), (here, neighbour(own, size)), (again, own))
    solutions = [train([engine], data, training, device)[0] for engine, data in asks]
    ended = next((one.stop_reason for one in solutions if one.stop_reason != "converged"), "converged")
    if ended == "diverged":
        return ended, {}
    said = [outputs(by_layer(one.weights), split.test_inputs).argmax(1) for one in solutions]
    errors = {"train_loss": float(solutions[0].history["train_loss"][-1])}
    errors["test_error"] = float((said[0] != split.test_labels).mean())
    return ended, {
        **errors,
        "agreement": float((said[0] == said[1]).mean()),
        "agreement_restart": float((said[0] == said[2]).mean()),
    }
