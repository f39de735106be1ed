"""The names of a network's layers. Standard library only, since configs are checked by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Weights = TypeVar("Weights")


def layer_names(hidden_layers: int) -> list[str]:
    """The linear layers of a network, in order: ``fc1``, ``fc2`` and so on."""
    return [f"fc{index}" for index in range(1, hidden_layers + 2)]


def by_layer(weights: Sequence[Weights]) -> dict[str, Weights]:
    """Name → weights of the linear layers of a network, in order."""
    return dict(zip(layer_names(len(weights) - 1), weights, strict=True))


def weight_names(hidden_layers: int, convolutions: int = 0) -> list[str]:
    """All layers of a network that have weights, in order: ``conv1``, …, then the linear ones."""
    return [*(f"conv{index}" for index in range(1, convolutions + 1)), *layer_names(hidden_layers)]
