"""Synchronous and decentralised SGD with a process per learner, for networks that outgrow one machine.

Definitions, random streams and batches are those of ``awduality.training.multilearner``, so that the same seeds give
the same weights: to the bit where learners take those of some neighbours, within rounding where all take the mean of
all. A process holds the weights of one learner. It sends them to those that take them and to no others, so that on a
ring a step's traffic does not grow with the number of learners; they travel while the gradient is computed.

Of every batch's order each process draws all and takes its part; so too of the noise of SSGD*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from awduality.errors import InputError
from awduality.learners import ALGORITHMS, SETTINGS, canonical_settings
from awduality.runs import Run, Settings
from awduality.streams import stream
from awduality.training.arithmetic import training_arithmetic
from awduality.training.group import Group
from awduality.training.mixing import exchanges
from awduality.training.multilearner import Samples, batches, sample_shares, shard_sizes, shares_of
from awduality.training.population import Population


@dataclass(frozen=True)
class Learned:
    """What came out of a run, as one process has it."""

    mean: Tensor  # (P,) w̄, the same in all processes
    spread: float  # σ_w² = mean_j |w_j − w̄|², likewise
    weights: Tensor  # (P,) w_j of this process's learner


def distributed_settings(values: Mapping[str, Any]) -> Settings:
    """The settings of a run with a process per learner; ``mixing`` and ``noise`` may be left out.

    They differ from those of a study in that SSGD has as many learners as it has processes, and that ``mixing`` may be
    a matrix, as a list of its rows.

    Raises:
        InputError: a name that is missing or unknown, or a value that is not of its type.
    """
    given = {"mixing": "full", "noise": 0.0, **values}
    if given.keys() != SETTINGS.keys():
        odd = ", ".join(sorted(given.keys() ^ SETTINGS.keys()))
        raise InputError(f"settings of learners are {', '.join(SETTINGS)}: missing or unknown: {odd}")
    if given["algorithm"] not in ALGORITHMS:
        raise InputError(f"unknown algorithm {given['algorithm']!r}: wanted one of {', '.join(ALGORITHMS)}")
    try:
        found = {**canonical_settings(given), "learners": int(given["learners"])}
        if not isinstance(given["mixing"], str) and given["algorithm"] == "dpsgd":
            found["mixing"] = np.array(given["mixing"], dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"a setting of learners is not of its type: {error}. Got {given}") from error
    if found["steps"] < 1:
        raise InputError(f"learners take at least one step: got {found['steps']}")
    return found


def train_learner(
    run: Run,
    root_seed: int,
    networks: Population,
    initial: Tensor,
    train: Samples,
    group: Group,
    every: int = 0,
    watch: Callable[[int, Tensor], None] = lambda _step, _mean: None,
) -> Learned:
    """Train this process's learner together with those of all others.

    Args:
        run: its settings are as ``distributed_settings`` gives them.
        root_seed: the config's root seed.
        networks: what to do with a row of weights; ``population(shapes)``, or ``OneByOne(model)`` for any module, on
            the group's device.
        initial: (P,) float32, the weights that all learners start from, those of process 0: ``initial_row``, or
            ``torch.nn.utils.parameters_to_vector(model.parameters())``.
        train: all inputs and labels, the same in all processes, on the group's device.
        group: the processes.
        every: after how many steps ``watch`` is called with the number of the step and w̄; 0 for never.
        watch: called in process 0, for which the others wait.
    """
    learner = _Learner(run, root_seed, networks, initial, len(train[0]), group)
    with training_arithmetic():
        for step in range(1, run.settings["steps"] + 1):
            learner.step(*train)
            if every and step % every == 0:
                mean = group.mean(learner.row)
                if group.rank == 0:
                    watch(step, mean)
        mean = group.mean(learner.row)
        spread = group.mean((learner.row - mean).double().square().sum())
    return Learned(mean, float(spread), learner.row)


class _Learner:
    """One of n learners: its weights, and its part of every batch."""

    def __init__(
        self, run: Run, root_seed: int, networks: Population, initial: Tensor, samples: int, group: Group
    ) -> None:
        settings, seed = run.settings, run.seed
        mixing, self._noise = settings["mixing"], settings["noise"]
        self._group, self._decentralised = group, settings["algorithm"] == "dpsgd"
        self._averages = isinstance(mixing, str) and mixing == "full"
        self._sizes = shard_sizes(settings["total_batch"], group.size)
        self._orders = batches(samples, sum(self._sizes), root_seed, seed)
        self._exchanges = exchanges(mixing, group.size, root_seed, seed)
        self._perturbations = stream(root_seed, "perturbation", seed)
        rows = initial.detach()[None].to(group.device, copy=True)
        self.row = rows[0]
        group.from_first(self.row)
        self._replaced: Callable[[], Tensor] = self.row.clone
        share = torch.from_numpy(sample_shares(self._sizes, settings["learning_rate"])[[group.rank]])
        between = self._replace if self._decentralised or self._noise else None
        self._take = networks.step(rows, share.to(group.device), between)

    def step(self, inputs: Tensor, labels: Tensor) -> None:
        """One step, on this learner's part of the next total batch."""
        part = shares_of(next(self._orders), self._sizes)[[self._group.rank]]
        if self._decentralised:
            self._replaced = self._mixing()
        elif self._noise:
            self._replaced = self._perturbed()
        self._take(inputs, labels, torch.from_numpy(part).to(inputs.device))
        if not self._decentralised:
            self.row.copy_(self._group.mean(self.row))

    def _replace(self) -> None:
        """Between gradient and update."""
        self.row.copy_(self._replaced())

    def _mixing(self) -> Callable[[], Tensor]:
        """Begin to mix."""
        if self._averages:
            return self._group.averaging(self.row)
        return self._group.exchanging(self.row, next(self._exchanges))

    def _perturbed(self) -> Callable[[], Tensor]:
        """Add the noise at which the gradient is taken; the call that is returned gives the weights without."""
        clean = self.row.clone()
        for learner in range(self._group.size):  # all draw the noise of all, and hold that of one at a time
            drawn = self._perturbations.standard_normal(len(clean), dtype=np.float32)
            if learner == self._group.rank:
                self.row += self._noise * torch.from_numpy(drawn).to(clean.device)
        return lambda: clean
