"""Coherence of gradients: how much the gradients of different examples point the same way.

α = |⟨g⟩|²/⟨|g|²⟩ over m examples is 1 where all gradients are equal; mα, the paper's *m-coherence*, is 1 where they are
orthogonal and of one length, and m where they are equal: it is how many examples an average example helps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studies.gradient_coherence.stack import Layer, inner, mean_gradient, squared_norms

LATE = 100  # steps after which a peak counts: before, every network leaves the coherence that its start gave it


def m_coherence(layers: Sequence[Layer], signs: np.ndarray | None = None) -> np.ndarray:
    """mα of M networks at their weights.

    Args:
        layers: the per-example gradients, as outer products.
        signs: (M, N) or (1, N) numbers ±1 that gradients are multiplied by: with independent random signs the
            expectation of mα is 1 whatever the gradients, and its spread says what "above 1" means.

    Returns:
        (M,) in [0, N]; NaN where every gradient is zero.
    """
    mean, each = mean_gradient(layers, signs), squared_norms(layers)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(each.shape[1] * inner(mean, mean) / each.mean(axis=-1))


def pristine_part(layers: Sequence[Layer], pristine: np.ndarray) -> np.ndarray:
    """(M,) the part of the mean gradient that examples with right labels, (M, N), are behind: ⟨ḡ, ḡ_p⟩/|ḡ|²."""
    mean, part = mean_gradient(layers), mean_gradient(layers, pristine.astype(np.float32))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(inner(mean, part) / inner(mean, mean))


def at_loss(losses: np.ndarray, values: np.ndarray, target: float) -> float:
    """The logarithm of positive ``values`` where the loss first falls to ``target``, linear in log loss in between.

    Args:
        losses: (R,) training losses along a run.
        values: (R,) what is wanted.
        target: the loss.

    Returns:
        exp of the interpolated logarithm; NaN if the loss never falls so low, or was there from the start.
    """
    below = np.flatnonzero(losses <= target)
    if not len(below) or below[0] == 0:
        return float("nan")
    before, after = below[0] - 1, below[0]
    way = np.log(losses[before] / target) / np.log(losses[before] / losses[after])
    return float(np.exp((1 - way) * np.log(values[before]) + way * np.log(values[after])))
