"""One step of SGD for a stack of networks, with the backward pass written by hand.

A step is a fixed list of calls, prepared once per batch size and made again for every batch: activities, errors and
gradients keep their buffers; on a GPU the list is captured as one CUDA graph. The learning rate of a run scales its
output error, and thereby every gradient behind it, so that an update is one product W ← W − δ·hᵀ; in the first layer,
which has nearly all weights, it is added in place and no gradient is ever stored.
"""

from __future__ import annotations

from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from awduality.training.ensemble import Ensemble
from awduality.training.products import product
from awduality.training.replay import Call, replayed
from awduality.training.schemes import dropout_mask, l2_decay, norm_decay


class Steps:
    """The steps of an ensemble, one per batch size: the last batch of an epoch may be smaller."""

    def __init__(self, ensemble: Ensemble, shared: bool) -> None:
        self._ensemble, self._shared = ensemble, shared
        self._prepared: dict[tuple[int, bool], Step] = {}

    def of(self, batch: int, decaying: bool) -> Step:
        """The step for batches of this size; see ``Step``."""
        decaying = decaying and bool((self._ensemble.weight_decay > 0).any())
        if (batch, decaying) not in self._prepared:
            self._prepared[batch, decaying] = Step(self._ensemble, batch, decaying, self._shared)
        return self._prepared[batch, decaying]


class Step:
    """A step of every run of an ensemble on batches of one size.

    Args:
        ensemble: the runs; their weights are changed in place.
        batch: samples per batch, B.
        decaying: whether the factor ``weight_decay`` acts.
        shared: whether runs of one stream share the memory of their batch, (G, B, n), and the product that updates
            their first layers, as is best on a CPU; or each has its own, (R, B, n), so that one call serves all.
        scale: (R, 1, 1 or B) what the errors of the logits are multiplied by; by default rate / B.
        between: called between the gradients and the update: what it does to the weights the gradients do not see.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        batch: int,
        decaying: bool,
        shared: bool,
        scale: Tensor | None = None,
        between: Call | None = None,
    ) -> None:
        first, last = ensemble.weights[0], ensemble.weights[-1]
        self._ensemble, self._decaying = ensemble, decaying
        self._lanes = torch.tensor(sorted(set(ensemble.streams)) if shared else ensemble.streams, device=first.device)
        self._streams = torch.tensor(ensemble.streams, device=first.device)
        self._inputs = first.new_empty(len(self._lanes), batch, first.shape[2])
        self._targets = first.new_empty(len(ensemble), last.shape[1], batch)
        self._drops = ensemble.drops
        self._uniforms = first.new_empty(len(ensemble), first.shape[1], batch if self._drops else 0)
        self._mask = torch.empty_like(self._uniforms)
        groups = _groups(ensemble.streams) if len(self._lanes) < len(ensemble) else [(slice(None), slice(None))]
        inputs = [(self._inputs[lanes], runs) for lanes, runs in groups]

        hidden, calls = ensemble.forward(inputs, batch, self._drop if self._drops else None)
        error = hidden.pop()  # the logits' buffer
        errors, backward = self._backward(hidden, error, ensemble.rate / batch if scale is None else scale)
        calls += backward
        update: list[Call] = [self._shrink] if decaying or bool((ensemble.l2 > 0).any()) else []
        for x, runs in inputs:
            update.append(_first_update(first[runs], errors[0][runs], x))
        for matrix, delta, activity in zip(ensemble.weights[1:], errors[1:], hidden, strict=True):
            gradient = torch.empty_like(matrix)
            update += [product(delta, activity.mT, gradient), partial(matrix.sub_, gradient)]
        self._calls = [*calls, *update]  # they hold the buffers, which a CUDA graph does not keep alive
        parts = [self._calls] if between is None else [calls, update]  # what comes between is never captured
        self._parts = [replayed(part, ensemble.weights) for part in parts]
        if between is not None:
            self._parts.insert(1, between)

    def __call__(self, inputs: Tensor, order: Tensor, targets: Tensor, uniforms: Tensor | None) -> None:
        """Take the step.

        Args:
            inputs: (S, n) all samples.
            order: (G, B) the positions of each stream's batch.
            targets: (G, C, B) the batches' labels, one-hot.
            uniforms: (G, H, B) uniform numbers for dropout; needed where some run has a dropout rate.
        """
        torch.index_select(inputs, 0, order[self._lanes].flatten(), out=self._inputs.flatten(0, 1))
        torch.index_select(targets, 0, self._streams, out=self._targets)
        if self._drops:
            if uniforms is None:
                raise ValueError("a run with dropout needs uniform numbers")
            torch.index_select(uniforms, 0, self._streams, out=self._uniforms)
        for part in self._parts:
            part()

    def _backward(self, hidden: list[Tensor], logits: Tensor, scale: Tensor) -> tuple[list[Tensor], list[Call]]:
        """The errors of all layers, times ``scale``, (R, outputs, B) each, and the calls that compute them."""
        weights = self._ensemble.weights
        calls: list[Call] = [partial(logits.sub_, self._targets), partial(logits.mul_, scale)]
        if self._ensemble.loss == "cross_entropy":  # its derivative is p − t
            calls.insert(0, partial(torch.softmax, logits, 1, out=logits))
        else:  # that of the mean over C components of (f − t)² is 2/C·(f − t)
            calls[1] = partial(logits.mul_, scale * (2 / logits.shape[1]))
        errors = [logits]
        for layer in range(len(weights) - 1, 0, -1):
            active = hidden[layer - 1]
            back = torch.empty_like(active)
            calls.append(product(weights[layer].mT, errors[0], back))
            if layer == 1 and self._drops:
                calls.append(partial(back.mul_, self._mask))
            calls.append(partial(torch.ops.aten.threshold_backward.grad_input, back, active, 0, grad_input=back))
            errors.insert(0, back)
        return errors, calls

    def _drop(self, activity: Tensor) -> None:
        self._mask.copy_(dropout_mask(self._uniforms, self._ensemble.dropout))
        activity.mul_(self._mask)

    def _shrink(self) -> None:
        penalty = l2_decay(self._ensemble.l2)
        if self._decaying:
            penalty = penalty + norm_decay(self._ensemble.weights, self._ensemble.weight_decay)
        factor = 1 - self._ensemble.rate * penalty
        for matrix in self._ensemble.weights:
            matrix.mul_(factor)


def _groups(streams: list[int]) -> list[tuple[slice, slice]]:
    """The lane of each stream, and the runs that share it."""
    sizes = [len(list(runs)) for _, runs in groupby(streams)]
    starts = [sum(sizes[:lane]) for lane in range(len(sizes))]
    return [
        (slice(lane, lane + 1), slice(start, start + size))
        for lane, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]


def _first_update(weights: Tensor, errors: Tensor, inputs: Tensor) -> Call:
    """W −= δ·x for runs that share their inputs, as one product, or that have their own."""
    if len(inputs) == 1:
        return partial(weights.flatten(0, 1).addmm_, errors.flatten(0, 1), inputs[0], alpha=-1)
    return partial(weights.baddbmm_, errors, inputs, alpha=-1)
