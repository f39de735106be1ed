"""Sharpness-aware minimisation of a stack of networks, with the norms of layers held or free.

One step of SAM (Foret, Kleiner, Mobahi & Neyshabur 2021, arXiv 2010.01412, without their second-order term) takes the
gradient g of a batch over all layers' weights w, goes up to w + ρ g/|g|, and descends from w along the gradient there:

    w ← w − α ∇ℓ(w + ρ g/|g|).

Both gradients are those of the hand-written ``Step``. A layer whose norm is held is scaled back to it after every step,
so that its weights stay on a sphere. Runs are looked at every few steps instead of once an epoch, and so end at equal
training losses however fast they fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from awduality.errors import InputError
from awduality.training.checks import Front
from awduality.training.ensemble import Ensemble
from awduality.training.run import StopReason, why_ended
from awduality.training.step import Step


class SharpnessAwareStep:
    """A step of SAM for every run of an ensemble on batches of one size. Runs with ρ = 0 take plain steps, to the bit.

    Args:
        ensemble: the runs; their weights are changed in place. Dropout has the same mask at both gradients; an L2
            penalty shrinks the weights that are descended from.
        rho: (R, 1, 1) ρ, the length of the way up. Where all are zero, only one gradient is computed.
        batch: samples per batch, B.
        shared: as for ``Step``.
    """

    def __init__(self, ensemble: Ensemble, rho: Tensor, batch: int, shared: bool = True) -> None:
        self._weights, self._rho = ensemble.weights, rho
        self._kept: list[Tensor] = []
        self._up: Step | None = None
        if bool((rho > 0).any()):
            self._kept = [torch.empty_like(matrix) for matrix in ensemble.weights]
            minus_mean = torch.full_like(ensemble.rate, -1 / batch)
            self._up = Step(ensemble, batch, False, shared, scale=minus_mean, between=self._lay_aside)
        self._down = Step(ensemble, batch, False, shared, between=self._come_back if self._up else None)

    def __call__(self, inputs: Tensor, order: Tensor, targets: Tensor, uniforms: Tensor | None = None) -> None:
        """Take the step; arguments as for ``Step``."""
        if self._up is not None:
            self._up(inputs, order, targets, uniforms)  # from weights of zero: what it leaves there is the gradient
            self._go_up()
        self._down(inputs, order, targets, uniforms)

    def _lay_aside(self) -> None:
        for kept, matrix in zip(self._kept, self._weights, strict=True):
            kept.copy_(matrix)
            matrix.zero_()

    def _go_up(self) -> None:
        squares = torch.stack([torch.linalg.vector_norm(gradient, dim=(1, 2)).square() for gradient in self._weights])
        length = squares.sum(0).sqrt().view(-1, 1, 1)
        scale = torch.where(length > 0, self._rho / length, 0.0)
        for kept, gradient in zip(self._kept, self._weights, strict=True):
            gradient.mul_(scale).add_(kept)

    def _come_back(self) -> None:
        for kept, matrix in zip(self._kept, self._weights, strict=True):
            matrix.copy_(kept)


def hold_norms(weights: Sequence[Tensor], norms: Sequence[Tensor]) -> None:
    """Scale every layer to its norm, in place.

    Args:
        weights: per layer (R, outputs, inputs).
        norms: per layer (R, 1, 1) the Frobenius norm; 0 leaves the layer as it is, to the bit.
    """
    for matrix, norm in zip(weights, norms, strict=True):
        found = torch.linalg.vector_norm(matrix, dim=(1, 2), keepdim=True)
        matrix.mul_(torch.where(norm > 0, norm / found, 1.0))


@dataclass(frozen=True)
class Stopping:
    """When runs end."""

    target_loss: float  # mean training loss, nats, without perturbation
    check_every: int  # steps between two looks at it
    max_steps: int


@dataclass(frozen=True)
class Ended:
    """What one run came to."""

    reason: StopReason
    steps: int
    loss: float  # mean over all training samples, at the last look
    weights: list[np.ndarray]  # per layer (outputs, inputs)


def descend(
    ensemble: Ensemble,
    rho: Sequence[float],
    norms: Sequence[Tensor],
    samples: tuple[Tensor, Tensor],
    orders: Sequence[Iterator[np.ndarray]],
    batch: int,
    stopping: Stopping,
    report: Callable[[int, str], None] = lambda _ended, _message: None,
) -> list[Ended]:
    """Train all runs of an ensemble until each is below the target loss, within a budget of steps.

    Args:
        ensemble: the runs as they begin; layers whose norm is held are scaled to it first. Not to be used again.
        rho: (R,) ρ of each run.
        norms: per layer (R, 1, 1) the norm that it is held at, 0 where it is free.
        samples: training inputs (N, n) in the precision of the weights, and class indices (N,).
        orders: per stream a permutation of the samples for every epoch, as ``schemes.batch_order`` gives.
        batch: samples per batch; the last one of an epoch may be smaller.
        stopping: when runs end.
        report: called after every look with the number of runs that have newly ended, and a line for the reader.

    Returns:
        One entry per run, in the order of the ensemble.

    Raises:
        InputError: ρ or a norm is negative or no number.
    """
    perturbed = torch.tensor(rho, dtype=ensemble.rate.dtype, device=ensemble.rate.device).view(-1, 1, 1)
    held = list(norms)
    for name, values in (("rho", perturbed), *(("norms", norm) for norm in held)):
        if not bool((values >= 0).all()):
            raise InputError(f"{name}: got {values.flatten().tolist()}, wanted numbers from 0 on")
    inputs, labels = samples
    targets = one_hot(labels, ensemble.weights[-1].shape[1]).to(inputs.dtype).T.contiguous()  # (C, N)
    hold_norms(ensemble.weights, held)
    front = Front(stopping.target_loss, len(inputs))
    found: dict[int, Ended] = {}
    stacked = list(range(len(ensemble)))  # runs that still train
    prepared: dict[int, SharpnessAwareStep] = {}
    for taken, order in enumerate(_batches(orders, batch), start=1):
        size = order.shape[1]
        if size not in prepared:
            prepared[size] = SharpnessAwareStep(ensemble, perturbed, size, shared=not inputs.is_cuda)
        index = order.to(inputs.device)
        prepared[size](inputs, index, targets[:, index].transpose(0, 1).contiguous())
        hold_norms(ensemble.weights, held)
        if taken % stopping.check_every and taken < stopping.max_steps:
            continue
        ended: dict[int, StopReason] = {}
        if taken >= stopping.max_steps or not front.excludes(ensemble.evaluate(*front.of(inputs, labels))[0]):
            each = inputs.new_empty(len(ensemble), len(inputs))
            losses = ensemble.evaluate(inputs, labels, each)[0].tolist()
            front.renew(each)
            ended = {
                place: reason
                for place, loss in enumerate(losses)
                if (reason := why_ended(loss, loss < stopping.target_loss, taken, stopping.max_steps))
            }
        for place, reason in ended.items():
            weights = [layer[place].cpu().numpy().copy() for layer in ensemble.weights]
            found[stacked[place]] = Ended(reason, taken, losses[place], weights)
        if ended:
            left = [place for place in range(len(stacked)) if place not in ended]
            stacked, ensemble = [stacked[place] for place in left], ensemble.keep(left)
            perturbed, held = perturbed[left], [norm[left] for norm in held]
            prepared.clear()
        report(len(ended), f"step {taken}, {len(stacked)} of {len(rho)} runs of this stack still training")
        if not stacked:
            break
    return [found[place] for place in range(len(rho))]


def _batches(orders: Sequence[Iterator[np.ndarray]], batch: int) -> Iterator[Tensor]:
    """(G, B) the samples of every stream's next batch, without end."""
    while True:
        yield from torch.from_numpy(np.stack([next(stream) for stream in orders])).split(batch, dim=1)
