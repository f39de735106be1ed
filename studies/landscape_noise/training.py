"""Train the arms of one seed together until each has reached the target loss, or for all steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from awduality.training.population import population
from awduality.training.run import StopReason, why_ended
from studies.landscape_noise.arms import Arm, Arms, trained_for

COURSE = ("step", "train_loss", "spread")
"""What is recorded at every check: the loss of what is analysed on all training samples, and mean_j |δ_j|²."""


@dataclass
class Followed:
    """What came of one arm."""

    ended: StopReason | None = None
    step: int = 0
    weights: Tensor | None = None  # (P,) what is analysed, at the first check at the target; else at the last
    course: list[tuple[float, float, float]] = field(default_factory=list)  # COURSE, at every check


@dataclass(frozen=True)
class Ends:
    """When an arm ends, and how often that is asked."""

    target_loss: float  # on all training samples
    steps: int
    every: int


Look = Callable[[Arms, int, np.ndarray], None]
"""Told before a step of the arms, the step's number, and its batch."""


def follow(
    asked: Sequence[Arm],
    arms: Arms,
    samples: tuple[Tensor, Tensor],
    ends: Ends,
    orders: Iterator[np.ndarray],
    look: Look = lambda _arms, _step, _batch: None,
) -> Mapping[Arm, Followed]:
    """Train until every arm has ended; one that others follow goes on for them.

    Args:
        asked: the arms to be followed.
        arms: before their first step.
        samples: all training inputs (S, …) and labels (S,).
        ends: when an arm ends.
        orders: total batches, as positions of samples.
        look: sees the arms before every step.
    """
    found = {arm: Followed() for arm in asked}
    networks = population(arms.common.training.shapes)
    for step in range(1, ends.steps + 1):
        batch = next(orders)
        look(arms, step, batch)
        arms.step(*samples, batch)
        if step % ends.every and step != ends.steps:
            continue
        going = [arm for arm in asked if found[arm].ended is None]
        weights, spread = arms.weights(), arms.spread()
        losses, _ = networks.evaluate(torch.stack([weights[arm] for arm in going]), *samples)
        for arm, loss in zip(going, losses.tolist(), strict=True):
            one = found[arm]
            one.course.append((step, loss, spread.get(arm, 0.0)))
            one.ended = why_ended(loss, loss <= ends.target_loss, step, ends.steps)
            if one.ended is not None:
                one.step, one.weights = step, weights[arm].clone()
        needed = trained_for([arm for arm in going if found[arm].ended is None])
        if not needed:
            break
        if len(needed) < len(arms.arms):
            arms.keep([arm for arm in arms.arms if arm in needed])
    return found
