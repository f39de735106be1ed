"""What runs: SGD in a quadratic loss, its variance along every direction, and the theory of it.

One step is w ← w − α h w + α (s/B)^½ ξ along a direction of curvature h, s the noise's strength there: an
Ornstein–Uhlenbeck process in discrete time, whose variance is α s / (B h (2 − α h)).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from awduality.study.step import Job, Outcome, each_run

STRENGTHS = {"isotropic": 0.0, "hessian": 1.0, "squared": 2.0}
"""Noise → the power of the curvature that its strength goes with."""


def curvatures(directions: int, decades: float) -> np.ndarray:
    """(D,) from 1 downwards, evenly on a logarithmic scale."""
    return np.logspace(0, -decades, directions)


def stationary(h: np.ndarray, power: float, rate: float, batch: int) -> np.ndarray:
    """(D,) the variance of the stationary state along directions of curvature h."""
    found: np.ndarray = rate * h**power / (batch * h * (2 - rate * h))
    return found


def simulated(
    h: np.ndarray, power: float, rate: float, batch: int, steps: int, generator: np.random.Generator
) -> np.ndarray:
    """(D,) the variance over the steps, from a start in the stationary state."""
    scale = rate * np.sqrt(h**power / batch)
    w = np.sqrt(stationary(h, power, rate, batch)) * generator.standard_normal(len(h))
    total, square = np.zeros_like(h), np.zeros_like(h)
    for _ in range(steps):
        w = (1 - rate * h) * w + scale * generator.standard_normal(len(h))
        total += w
        square += w**2
    found: np.ndarray = square / steps - (total / steps) ** 2
    return found


def run(job: Job) -> Iterator[Outcome]:
    """A row per run: the slope of log variance on log curvature; arrays over the directions."""
    h = curvatures(job.asked["directions"], job.asked["decades"])
    for one in job.runs:
        power, rate, batch = STRENGTHS[one.settings["noise"]], one.settings["learning_rate"], one.settings["batch_size"]
        job.progress(1)
        if rate * h[0] >= 2:
            yield Outcome(one, ended="diverged")
            continue
        found = simulated(h, power, rate, batch, job.asked["steps"], job.stream("noise", one))
        theory = stationary(h, power, rate, batch)
        numbers = {
            "slope": np.polyfit(np.log(h), np.log(found), 1)[0],
            "theory_slope": np.polyfit(np.log(h), np.log(theory), 1)[0],
            "total": found.sum(),
            "theory_total": theory.sum(),
        }
        yield Outcome(one, numbers=numbers, arrays={"curvature": h, "variance": found, "theory": theory})


if __name__ == "__main__":
    each_run(run)
