"""Many small networks as one stacked tensor program, with the backward pass written by hand.

R fully connected ReLU networks of one shape are trained at once by plain SGD on the cross-entropy. Activations are kept
as (R, units, batch), features before samples, so that the first layer of all runs that see the same batch is one matrix
product W₁·Xᵀ with their weights stacked on top of each other. The learning rate of a run scales its output error, and
thereby every gradient behind it, so that an update is one in-place product W ← W − δ·hᵀ and no gradient is ever stored.

A run's numbers do not depend on its neighbours in the stack: on the CPU they are equal to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from awduality.training.schemes import dropout_mask, l2_decay, norm_decay

_EVALUATION_CHUNK = 1000  # samples; keeps the activations of a stack in cache


@dataclass
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

    def __post_init__(self) -> None:
        self.drops = bool((self.dropout > 0).any())
        self.has_weight_decay = bool((self.weight_decay > 0).any())
        self.has_l2 = bool((self.l2 > 0).any())
        starts = [r for r in range(len(self.streams)) if r == 0 or self.streams[r] != self.streams[r - 1]]
        self.groups = [
            (self.streams[a], slice(a, b)) for a, b in zip(starts, [*starts[1:], len(self.streams)], strict=True)
        ]

    def __len__(self) -> int:
        return len(self.streams)

    def keep(self, rows: Sequence[int]) -> Ensemble:
        """The same ensemble without the runs that are not listed; ``rows`` is ascending."""
        index = torch.tensor(rows, dtype=torch.long, device=self.rate.device)
        return Ensemble(
            [layer[index] for layer in self.weights],
            [self.streams[row] for row in rows],
            *(factor[index] for factor in (self.rate, self.dropout, self.weight_decay, self.l2)),
        )

    def step(self, inputs: Tensor, targets: Tensor, uniforms: Tensor | None, decaying: bool) -> None:
        """One step of SGD for every run.

        Args:
            inputs: (G, B, n) the batch of each stream.
            targets: (G, C, B) its labels, one-hot.
            uniforms: (G, H, B) uniform numbers for dropout; needed where some run has a dropout rate.
            decaying: whether the factor ``weight_decay`` acts in this epoch.
        """
        if inputs.shape[1] == 1:
            inputs, targets, uniforms = _twice(inputs, targets, uniforms)
        hidden, mask = self._hidden(inputs, uniforms)
        logits = torch.bmm(self.weights[-1], hidden[-1])
        error = torch.softmax(logits, dim=1)
        for stream, runs in self.groups:
            error[runs] -= targets[stream]
        error *= self.rate / inputs.shape[1]

        errors = [error]
        for layer in range(len(self.weights) - 1, 0, -1):
            back = torch.bmm(self.weights[layer].transpose(1, 2), errors[0])
            if layer == 1 and mask is not None:
                back *= mask
            errors.insert(0, torch.ops.aten.threshold_backward(back, hidden[layer - 1], 0))

        penalties = []
        if self.has_weight_decay and decaying:
            penalties.append(norm_decay(self.weights, self.weight_decay))
        if self.has_l2:
            penalties.append(l2_decay(self.l2))
        if penalties:
            shrink = 1 - self.rate * sum(penalties)
            for matrix in self.weights:
                matrix *= shrink
        for stream, runs in self.groups:
            self._first(runs).addmm_(errors[0][runs].flatten(0, 1), inputs[stream], alpha=-1)
        for layer in range(1, len(self.weights)):
            self.weights[layer].baddbmm_(errors[layer], hidden[layer - 1].transpose(1, 2), alpha=-1)

    def evaluate(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy and accuracy of every run, without dropout.

        Args:
            inputs: (N, n), the same for all runs.
            labels: (N,).

        Returns:
            Two (R,) float64 tensors; the networks are evaluated in float32, the samples summed in float64.
        """
        loss = torch.zeros(len(self), dtype=torch.float64, device=inputs.device)
        correct = torch.zeros_like(loss)
        chunks = -(-len(inputs) // _EVALUATION_CHUNK)
        for x, y in zip(inputs.tensor_split(chunks), labels.tensor_split(chunks), strict=True):
            product = torch.mm(self._first(slice(None)), x.T)
            hidden = product.view(len(self), -1, len(x)).relu_()
            for layer in self.weights[1:-1]:
                hidden = torch.bmm(layer, hidden).relu_()
            logits = torch.bmm(self.weights[-1], hidden)
            picked = log_softmax(logits, dim=1).gather(1, y.expand(len(self), 1, -1))
            loss -= picked.sum((1, 2), dtype=torch.float64)
            correct += (logits.argmax(1) == y).sum(1)
        return loss / len(inputs), correct / len(inputs)

    def _hidden(self, inputs: Tensor, uniforms: Tensor | None) -> tuple[list[Tensor], Tensor | None]:
        """The activities of the hidden layers, each (R, H, B), and the dropout mask of the first."""
        first = self.weights[0]
        product = first.new_empty(first.shape[0] * first.shape[1], inputs.shape[1])
        rows = product.view(len(self), first.shape[1], -1)
        for stream, runs in self.groups:
            torch.mm(self._first(runs), inputs[stream].T, out=rows[runs].flatten(0, 1))
        hidden, mask = [rows.relu_()], None
        if self.drops:
            if uniforms is None:
                raise ValueError("a run with dropout needs uniform numbers")
            mask = dropout_mask(
                torch.cat([uniforms[s].expand(r.stop - r.start, -1, -1) for s, r in self.groups]), self.dropout
            )
            hidden = [rows * mask]
        for layer in self.weights[1:-1]:
            hidden.append(torch.bmm(layer, hidden[-1]).relu_())
        return hidden, mask

    def _first(self, runs: slice) -> Tensor:
        """The first layer of some runs, stacked: (runs·H, n), a view."""
        return self.weights[0][runs].flatten(0, 1)


def _twice(inputs: Tensor, targets: Tensor, uniforms: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """A batch of one sample as two equal ones: the same mean gradient.

    Matrix times vector is computed by other kernels, whose rounding depends on the size of the stack.
    """
    drawn = None if uniforms is None else uniforms.expand(-1, -1, 2)
    return inputs.expand(-1, 2, -1), targets.expand(-1, -1, 2), drawn
