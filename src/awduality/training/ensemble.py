"""Many small networks as one stack of tensors.

R fully connected ReLU networks of one shape are trained and evaluated at once. Activations are kept as
(R, units, batch), features before samples. A run's numbers do not depend on its neighbours in the stack: on the CPU
they are equal to the bit (with PyPI's wheels of NumPy and torch on x86, and layers of more than a few units).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from awduality.training.products import layer_product, product
from awduality.training.replay import Call

_EVALUATION_CHUNK = 400  # samples; keeps the activations of a stack in cache


@dataclass(frozen=True)
class Ensemble:
    """R networks and what differs between them.

    Runs that see the same batches lie next to each other: run r belongs to stream ``streams[r]``, a non-decreasing
    list.
    """

    weights: list[Tensor]  # per layer (R, outputs, inputs) float32
    streams: list[int]  # (R,) index of the batch stream of each run
    rate: Tensor  # (R, 1, 1) learning rate
    dropout: Tensor  # (R, 1, 1)
    weight_decay: Tensor  # (R, 1, 1) of the unsquared norm
    l2: Tensor  # (R, 1, 1)
    loss: str = field(default="cross_entropy", kw_only=True)  # or mse, against one-hot targets

    def __len__(self) -> int:
        return len(self.streams)

    @property
    def drops(self) -> bool:
        """Whether some run has dropout."""
        return bool((self.dropout > 0).any())

    def keep(self, rows: Sequence[int]) -> Ensemble:
        """The same ensemble without the runs that are not listed; ``rows`` is ascending."""
        index = torch.tensor(rows, dtype=torch.long, device=self.rate.device)
        return Ensemble(
            [layer[index] for layer in self.weights],
            [self.streams[row] for row in rows],
            *(factor[index] for factor in (self.rate, self.dropout, self.weight_decay, self.l2)),
            loss=self.loss,
        )

    def forward(
        self, inputs: Iterable[tuple[Tensor, slice]], batch: int, drop: Callable[[Tensor], object] | None = None
    ) -> tuple[list[Tensor], list[Call]]:
        """The forward pass as calls that fill buffers, to be made as often as the inputs change.

        Args:
            inputs: samples (1 or r, B, n) and the r runs that see them.
            batch: B.
            drop: dropout on the activity of the first hidden layer, in place.

        Returns:
            The buffers, (R, H, B) per hidden layer and (R, C, B) for the logits, and the calls.
        """
        buffers = [layer.new_empty(len(self), layer.shape[1], batch) for layer in self.weights]
        calls = [call for x, runs in inputs for call in layer_product(self.weights[0][runs], x, buffers[0][runs])]
        for layer, below, above in zip(self.weights[1:], buffers, buffers[1:], strict=False):
            calls.append(below.relu_)
            if drop is not None and below is buffers[0]:
                calls.append(partial(drop, below))
            calls.append(product(layer, below, above))
        return buffers, calls

    def evaluate(self, inputs: Tensor, labels: Tensor, losses: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean loss and accuracy of every run, without dropout.

        Args:
            inputs: (N, n), the same for all runs.
            labels: (N,).
            losses: (R, N) float32, to be filled with the loss of every sample, if given.

        Returns:
            Two (R,) float64 tensors; the networks are evaluated in float32, the samples summed in float64.
        """
        loss = torch.zeros(len(self), dtype=torch.float64, device=inputs.device)
        correct = torch.zeros_like(loss)
        filled = repeat(None) if losses is None else losses.split(_EVALUATION_CHUNK, dim=1)
        for x, y, each in zip(inputs.split(_EVALUATION_CHUNK), labels.split(_EVALUATION_CHUNK), filled, strict=False):
            buffers, calls = self.forward([(x[None], slice(None))], len(x))
            for call in calls:
                call()
            logits = buffers[-1]
            losses_here = self._losses(logits, y)
            loss += losses_here.sum((1, 2), dtype=torch.float64)
            if each is not None:
                each.copy_(losses_here[:, 0])
            correct += (logits.mT.contiguous().argmax(2) == y).sum(1)  # over rows: ten times faster than over columns
        return loss / len(inputs), correct / len(inputs)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of every run and sample, (R, 1, N), from logits (R, C, N)."""
        labels = labels.expand(len(self), 1, -1)
        if self.loss == "mse":
            targets = torch.zeros_like(logits).scatter_(1, labels, 1.0)
            return (logits - targets).square_().mean(1, keepdim=True)
        return log_softmax(logits, dim=1).gather(1, labels).neg_()
