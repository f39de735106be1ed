"""The arms of one seed side by side: algorithms that differ only in where their learners take their gradients.

With full averaging, each is one step of the mean w̄ over n learners,

    w̄ ← w̄ − α·mean_j ∇ℓ_j(w̄ + δ_j),

and an arm is what its deviations δ_j are:

    ssgd            0
    ssgd_star       N(0, σ₀² I), drawn anew for every step
    ssgd_spread     N(0, σ_t² I), σ_t² = mean_j |δ_j|²/P of decentralised SGD at the same step of the same seed
    ssgd_layers     the δ_j of decentralised SGD, the weights of a layer permuted at random: equal strength per layer
    ssgd_signs      the δ_j of decentralised SGD, every weight's sign changed at random: equal strength per weight
    dpsgd           w_j − w̄ = −α (∇ℓ_j − mean_i ∇ℓ_i) of the step before: noise that follows the landscape

One permutation and one choice of signs serve all learners of a step, so that the covariance of their deviations keeps
its eigenvalues and loses its directions. ``ssgd_averaged`` is the path of ssgd, of which a moving average is analysed.
Arms of one seed share initial weights, batches, and the draws of their noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import prod

import numpy as np
import torch
from torch import Tensor

from awduality.training.multilearner import LearnerTraining, initial_row, sample_shares, shard_sizes, shares_of
from awduality.training.population import population

SSGD, AVERAGED, STAR, DPSGD = "ssgd", "ssgd_averaged", "ssgd_star", "dpsgd"
SPREAD, LAYERS, SIGNS = "ssgd_spread", "ssgd_layers", "ssgd_signs"
FOLLOWS = {AVERAGED: SSGD, SPREAD: DPSGD, LAYERS: DPSGD, SIGNS: DPSGD}
"""Algorithm → the one that has to be trained beside it."""


@dataclass(frozen=True)
class Arm:
    """An algorithm, and σ₀ where it has one."""

    algorithm: str
    noise: float = 0.0


def trained_for(asked: Sequence[Arm]) -> list[Arm]:
    """The arms that are trained where these are asked for: those that others follow, too, and no averages."""
    found = dict.fromkeys(replace(arm, algorithm=FOLLOWS[arm.algorithm]) for arm in asked if arm.algorithm in FOLLOWS)
    return [*found, *(arm for arm in asked if arm.algorithm != AVERAGED and arm not in found)]


@dataclass(frozen=True)
class Common:
    """What all arms of a seed share."""

    training: LearnerTraining
    learners: int
    total_batch: int
    rate: float
    average: float  # of the moving average: the part that is kept at every step

    @property
    def sizes(self) -> list[int]:
        """Samples per learner."""
        return shard_sizes(self.total_batch, self.learners)


class Arms:
    """The learners of all arms of a seed: ``places`` (A, n, P), where they take their next gradients.

    Args:
        arms: those that are trained; each that another follows is among them.
        common: what they share.
        start: (P,) the weights that all start from.
        noise: random numbers of normal noise.
        turns: random numbers of permutations and signs.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        common: Common,
        start: Tensor,
        noise: np.random.Generator,
        turns: np.random.Generator,
    ) -> None:
        self.arms, self.common = list(arms), common
        self.mean = start.repeat(len(arms), 1)  # w̄ of every arm, (A, P)
        self.average = start.clone()  # the moving average of ssgd
        self._noise, self._turns = noise, turns
        ends = [0, *accumulate(prod(shape) for shape in common.training.shapes.values())]
        self._layers = [slice(*both) for both in pairwise(ends)]
        self._made(self.mean[:, None].repeat(1, common.learners, 1))
        self._deviate()

    def _made(self, places: Tensor) -> None:
        """Prepare the step for these arms."""
        self.places = places
        self._index = {arm: place for place, arm in enumerate(self.arms)}
        share = torch.from_numpy(sample_shares(self.common.sizes, self.common.rate)).repeat(len(self.arms), 1)
        self._take = population(self.common.training.shapes).step(places.flatten(0, 1), share, self._gather)

    def _gather(self) -> None:
        """Between the gradients and the update: from w̄ all learners step."""
        self.places.copy_(self.mean[:, None].expand_as(self.places))

    def step(self, inputs: Tensor, labels: Tensor, batch: np.ndarray) -> None:
        """One step of every arm on a total batch: the positions of its samples among all inputs (S, …), labels (S,)."""
        order = torch.from_numpy(np.tile(shares_of(batch, self.common.sizes), (len(self.arms), 1)))
        self._take(inputs, labels, order)
        self.mean = self.places.mean(1)
        if (ssgd := self._index.get(Arm(SSGD))) is not None:
            self.average.lerp_(self.mean[ssgd], 1 - self.common.average)
        self._deviate()

    def _deviate(self) -> None:
        """Put the learners of every arm but dpsgd, whose steps have put them, where they take their next gradients."""
        shape = self.places.shape[1:]
        normal = torch.from_numpy(self._noise.standard_normal(shape, dtype=np.float32))
        signs = torch.from_numpy(self._turns.integers(0, 2, shape[1]).astype(np.float32) * 2 - 1)
        order = torch.from_numpy(
            np.concatenate([part.start + self._turns.permutation(part.stop - part.start) for part in self._layers])
        )
        followed = self._index.get(Arm(DPSGD))
        spread = torch.zeros(shape) if followed is None else self.places[followed] - self.mean[followed]
        strength = float(spread.double().square().mean() ** 0.5)
        made = {SPREAD: strength * normal, LAYERS: spread[:, order], SIGNS: spread * signs}
        for place, arm in enumerate(self.arms):
            if arm.algorithm != DPSGD:
                deviation = arm.noise * normal if arm.algorithm == STAR else made.get(arm.algorithm, torch.zeros(1))
                self.places[place] = self.mean[place] + deviation

    def spread(self) -> dict[Arm, float]:
        """mean_j |δ_j|² of every arm: how strong its noise is."""
        found = (self.places - self.mean[:, None]).double().square().sum(2).mean(1)
        return dict(zip(self.arms, found.tolist(), strict=True))

    def weights(self) -> Mapping[Arm, Tensor]:
        """What is analysed of every arm, (P,): w̄, and the moving average of ssgd."""
        found = dict(zip(self.arms, self.mean, strict=True))
        return found | {Arm(AVERAGED): self.average} if Arm(SSGD) in found else found

    def keep(self, arms: Sequence[Arm]) -> None:
        """Go on with some of the arms only; the others' numbers do not depend on it."""
        index = [self._index[arm] for arm in arms]
        self.arms, self.mean = list(arms), self.mean[index]
        self._made(self.places[index].contiguous())


def started(
    arms: Sequence[Arm], common: Common, seed: int, noise: np.random.Generator, turns: np.random.Generator
) -> Arms:
    """The arms of a seed before their first step."""
    return Arms(trained_for(arms), common, initial_row(common.training, seed), noise, turns)
