"""The loss surface of a study: training loss and test error in the plane of two solutions and what they started from.

Both algorithms start from the same weights if they share a seed. The plane through these and the two solutions w̄ has
orthonormal coordinates, in units of weights: SSGD's solution is the origin, DPSGD's lies on the x axis, and y points
to the side of the initial weights. So distances in the plane are distances |Δw| between networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from awduality.data.splits import Split
from awduality.errors import InputError
from awduality.networks import Shapes, in_order
from awduality.training.multilearner import LearnerTraining, initial_row
from awduality.training.population import population

POINTS = 41
"""Of the grid, along each axis."""
SAMPLES = 4_000
"""The most training samples that the loss is averaged over: the first ones."""
MARGIN = 0.3
"""How far the square grid goes beyond the three points, in units of their extent, the larger of both axes."""

_NUMBERS = 2**24  # weights and activations that are held at once
_EVALUATED = 400  # samples whose activations are held at once; see awduality.training.ensemble

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Plane:
    """Three networks, and the plane that they span."""

    shapes: Shapes  # of the weights of each, by layer, in the order in which they lie in a row
    ssgd: np.ndarray  # (P,) float32, as the next two
    dpsgd: np.ndarray
    initial: np.ndarray

    @classmethod
    def through(cls, ssgd: Weights, dpsgd: Weights, root_seed: int, seed: int) -> Plane:
        """The plane of two solutions, layer name -> weights, and of what the runs of this seed start from."""
        shapes = {name: ssgd[name].shape for name in in_order(ssgd)}
        one, other = (np.concatenate([weights[name].ravel() for name in shapes]) for weights in (ssgd, dpsgd))
        training = LearnerTraining(shapes, root_seed, train_size=0, target_loss=0.0)  # the start depends on neither
        return cls(shapes, one, other, initial_row(training, seed).numpy())

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """The unit vectors of x and y, (P,) float64.

        Raises:
            InputError: the three networks lie on a line.
        """
        origin, other, start = (point.astype(np.float64) for point in (self.ssgd, self.dpsgd, self.initial))
        x = other - origin
        y = start - origin
        if np.linalg.norm(x) > 0:
            x /= np.linalg.norm(x)
            y -= (y @ x) * x
            y -= (y @ x) * x  # again: what rounding has left along x
        if not min(np.linalg.norm(x), np.linalg.norm(y)) > 1e-6 * np.linalg.norm(start - origin):
            raise InputError("the two solutions and the initial weights lie on a line, and span no plane")
        return x, y / np.linalg.norm(y)

    @property
    def points(self) -> dict[str, tuple[float, float]]:
        """The coordinates of the three networks, by name."""
        x, y = self.axes
        start = self.initial.astype(np.float64) - self.ssgd
        distance = float(np.linalg.norm(self.dpsgd.astype(np.float64) - self.ssgd))
        return {"ssgd": (0.0, 0.0), "dpsgd": (distance, 0.0), "initial": (float(start @ x), float(start @ y))}


def surface(
    plane: Plane, split: Split, train_size: int, device: torch.device, points: int = POINTS
) -> list[dict[str, Any]]:
    """Training loss and test error at the three networks themselves and on a grid around them.

    Args:
        plane: the three networks.
        split: the data.
        train_size: training samples of the runs; at most ``SAMPLES`` of them are used.
        device: where to compute.
        points: of the grid, along each axis.

    Returns:
        Rows with ``x``, ``y``, ``train_loss``, ``test_error`` and ``point``: the name of a network, else empty.
    """
    exact = plane.points
    grid = _grid(np.array(list(exact.values())), points)
    networks = population(plane.shapes)
    train, test = _on(device, split.train(min(train_size, SAMPLES))), _on(device, split.test)
    evaluated = []
    for stack in _stacks(plane, grid, _NUMBERS // _held(plane.shapes), device):
        losses, _ = networks.evaluate(stack, *train)
        _, accuracies = networks.evaluate(stack, *test)
        evaluated.append(torch.stack([losses, 1 - accuracies], 1))
    found = torch.cat(evaluated).tolist()
    places, names = [*exact.values(), *grid], [*exact, *[""] * len(grid)]
    return [
        {"x": x, "y": y, "train_loss": loss, "test_error": error, "point": name}
        for (x, y), (loss, error), name in zip(places, found, names, strict=True)
    ]


def _stacks(plane: Plane, grid: Sequence[tuple[float, float]], most: int, device: torch.device) -> Iterator[Tensor]:
    """The networks (K, P) float32, a few at a time: the three as they are, then those of the grid."""
    yield torch.from_numpy(np.stack([plane.ssgd, plane.dpsgd, plane.initial])).to(device)
    axes = torch.from_numpy(np.stack(plane.axes)).to(device)
    origin = torch.from_numpy(plane.ssgd).to(device).double()
    for part in torch.tensor(grid, dtype=torch.float64, device=device).split(max(1, most)):
        yield (origin + part @ axes).float()


def _held(shapes: Shapes) -> int:
    """How many numbers a network takes while it is evaluated: weights, and activations of some samples."""
    return sum(math.prod(shape) + _EVALUATED * shape[0] for shape in shapes.values())


def _on(device: torch.device, samples: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor]:
    inputs, labels = (torch.from_numpy(array).to(device) for array in samples)
    return inputs, labels


def _grid(around: np.ndarray, points: int) -> list[tuple[float, float]]:
    """The coordinates of a square grid around some points (K, 2), row by row."""
    low, high = around.min(0), around.max(0)
    half = (0.5 + MARGIN) * (high - low).max()
    across, along = (np.linspace(middle - half, middle + half, points) for middle in (low + high) / 2)
    return [(float(x), float(y)) for y in along for x in across]
