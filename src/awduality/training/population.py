"""Many networks of one shape, a row of weights each, and what learners need of them.

All weights of a network lie in one row of a matrix (K, P), layer after layer: averaging, perturbing and measuring
distances are operations on rows, whatever the network. ``Stacked`` runs all rows as one stacked tensor program, for
fully connected networks; ``OneByOne`` runs any network, row by row, by autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, one_hot

from awduality.networks import Shapes, network
from awduality.training.ensemble import Ensemble
from awduality.training.replay import Call
from awduality.training.step import Step

_CHUNK = 2_000  # samples of which a gradient is computed at once

StepCall = Callable[[Tensor, Tensor, Tensor], None]
"""A step of every row: all inputs (S, …), all labels (S,), and which of them each row sees (K, B)."""


class Population(Protocol):
    """What is done with the rows of a matrix of weights (K, P) float32."""

    def step(self, rows: Tensor, scale: Tensor, between: Call | None) -> StepCall:
        """SGD in place: ``rows ← rows' − Σ_b scale[:, b]·∇ℓ_b(rows)``.

        Args:
            rows: (K, P) contiguous; they stay where they are.
            scale: (K, B) rate over the number of samples that a row averages; 0 for a sample that does not count.
            between: called after the gradients; what it makes of the rows is rows'. By default they stay as they are.
        """

    def evaluate(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and accuracy of every row, (K,) float64."""

    def gradient(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The mean cross-entropy over all these samples, (K,) float64, and its gradient, (K, P) float64."""


def population(shapes: Shapes) -> Population:
    """The way to run networks whose weights have these shapes."""
    convolutional = any(len(shape) > 2 for shape in shapes.values())
    return OneByOne(network(shapes)) if convolutional else Stacked(list(shapes.values()))


@dataclass(frozen=True)
class Stacked:
    """Fully connected ReLU networks without biases, all rows at once; see ``awduality.training.ensemble``."""

    shapes: Sequence[Sequence[int]]

    def step(self, rows: Tensor, scale: Tensor, between: Call | None) -> StepCall:
        """See ``Population``."""
        made = Step(self._ensemble(rows), scale.shape[1], False, False, scale[:, None].contiguous(), between)

        def take(inputs: Tensor, labels: Tensor, order: Tensor) -> None:
            targets = one_hot(labels[order], self.shapes[-1][0]).to(rows.dtype).mT.contiguous()
            made(inputs, order, targets, None)

        return take

    def evaluate(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Population``."""
        return self._ensemble(rows).evaluate(inputs, labels)

    def gradient(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Population``."""
        weights = [layer.detach().requires_grad_() for layer in layers(rows, self.shapes)]
        total, gradient = rows.new_zeros(len(rows), dtype=torch.float64), torch.zeros_like(rows, dtype=torch.float64)
        for x, y in zip(inputs.split(_CHUNK), labels.split(_CHUNK), strict=True):
            z = weights[0] @ x.T
            for layer in weights[1:]:
                z = layer @ z.relu()
            losses = cross_entropy(z, y.expand(len(rows), -1), reduction="none").sum(1)
            total += losses.detach()
            gradient += torch.cat([part.flatten(1) for part in torch.autograd.grad(losses.sum(), weights)], dim=1)
        return total / len(inputs), gradient / len(inputs)

    def _ensemble(self, rows: Tensor) -> Ensemble:
        none = rows.new_zeros(len(rows), 1, 1)  # rates are in the scale; no factor of regularization acts
        return Ensemble(layers(rows, self.shapes), list(range(len(rows))), none, none, none, none)


@dataclass(frozen=True)
class OneByOne:
    """Any network that gives (N, C) logits, one row after the other."""

    model: nn.Module

    def step(self, rows: Tensor, scale: Tensor, between: Call | None) -> StepCall:
        """See ``Population``."""

        def take(inputs: Tensor, labels: Tensor, order: Tensor) -> None:
            gradients = [
                self._gradient(row, inputs[index], labels[index], share)[1]
                for row, index, share in zip(rows, order, scale, strict=True)
            ]
            if between is not None:
                between()
            for row, gradient in zip(rows, gradients, strict=True):
                row.sub_(gradient)

        return take

    @torch.no_grad()
    def evaluate(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Population``."""
        loss, right = (torch.zeros(len(rows), dtype=torch.float64, device=rows.device) for _ in range(2))
        for place, row in enumerate(rows):
            for x, y in zip(inputs.split(_CHUNK // 4), labels.split(_CHUNK // 4), strict=True):
                logits = self._logits(row, x).double()
                loss[place] += cross_entropy(logits, y, reduction="sum")
                right[place] += (logits.argmax(1) == y).sum()
        return loss / len(inputs), right / len(inputs)

    def gradient(self, rows: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """See ``Population``."""
        total, gradient = rows.new_zeros(len(rows), dtype=torch.float64), torch.zeros_like(rows, dtype=torch.float64)
        for x, y in zip(inputs.split(_CHUNK), labels.split(_CHUNK), strict=True):
            for place, row in enumerate(rows):
                loss, part = self._gradient(row, x, y, rows.new_ones(len(x)))
                total[place] += loss
                gradient[place] += part
        return total / len(inputs), gradient / len(inputs)

    def _gradient(self, row: Tensor, inputs: Tensor, labels: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Σ_b share_b·ℓ_b of one row, and its gradient (P,)."""
        leaf = row.detach().requires_grad_()
        loss = cross_entropy(self._logits(leaf, inputs), labels, reduction="none") @ share
        return loss.detach(), torch.autograd.grad(loss, leaf)[0]

    def _logits(self, row: Tensor, inputs: Tensor) -> Tensor:
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        weights = layers(row[None], [parameter.shape for parameter in parameters])
        logits: Tensor = functional_call(self.model, {n: w[0] for n, w in zip(names, weights, strict=True)}, (inputs,))
        return logits


def layers(rows: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """The weights of each layer, (K, *shape) views into the rows (K, P)."""
    ends = [0, *accumulate(prod(shape) for shape in shapes)]
    return [
        rows[:, start:end].unflatten(1, tuple(shape))
        for (start, end), shape in zip(pairwise(ends), shapes, strict=True)
    ]


def arrays_of(row: Tensor, shapes: Shapes) -> dict[str, np.ndarray]:
    """The weights in a row (P,), by layer."""
    parts = layers(row[None], list(shapes.values()))
    return {name: part[0].cpu().numpy().copy() for name, part in zip(shapes, parts, strict=True)}
