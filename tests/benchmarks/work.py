"""The work that is timed: the same data, network and stopping rule for every implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from awduality.config import resolve
from awduality.data.splits import Split

ROOT = Path(__file__).resolve().parents[2]
LAYER = "fc2"


@dataclass(frozen=True)
class Problem:
    """One run."""

    train: tuple[Tensor, Tensor]  # (N, n) float32, (N,) int64
    test: tuple[Tensor, Tensor]
    batch_size: int
    learning_rate: float
    weight_decay: float  # of the unsquared norm of all weights
    init_scale: float
    dropout: float  # on the first hidden layer
    width: int
    target_loss: float
    target_accuracy: float
    max_epochs: int
    weight_decay_epochs: int


@dataclass(frozen=True)
class Geometry:
    """What is compared between implementations, so that none of them can be fast by being wrong."""

    eigenvalues: np.ndarray  # (M,) descending
    sigma_g: np.ndarray  # (M,)
    sigma_w: np.ndarray  # (M,)
    product: np.ndarray  # (M,) mean over pairs of g·w


def mnist_config() -> dict[str, Any]:
    """The resolved config of the authors' scale."""
    read = (ROOT / name for name in ("config/config.yaml", "config/mnist.yaml", "workflow/schemas/config.schema.yaml"))
    return resolve(*(yaml.safe_load(path.read_text(encoding="utf-8")) for path in read))


def shared_by_runs(config: Mapping[str, Any]) -> dict[str, Any]:
    """What all runs of a config share: the fields of ``awduality.training.run.Training``."""
    return {**config["training"], **config["network"], "root_seed": config["root_seed"]}


def problem(split: Split, settings: Mapping[str, float], training: Mapping[str, Any]) -> Problem:
    """A run of the config as the references need it; label noise and the usual L2 decay are left out."""
    size, batch = int(settings["train_size"]), int(settings["batch_size"])
    train, test = (tuple(map(torch.from_numpy, samples)) for samples in (split.train(size), split.test))
    names = ("learning_rate", "weight_decay", "init_scale", "dropout")
    shared = ("target_loss", "target_accuracy", "weight_decay_epochs")
    return Problem(
        train,
        test,
        batch,
        width=int(settings["width"]),
        max_epochs=-(-training["max_steps"] // -(-size // batch)),
        **{name: settings[name] for name in names},
        **{name: training[name] for name in shared},
    )
