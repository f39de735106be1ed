"""Flatness of two-layer ReLU networks f(x) = Σ_j a_j relu(w_j·x) at interpolation, and what rescaling leaves of it.

The loss is (1/2n) Σ (f − y)². Where it is zero its Hessian is that of Gauss–Newton, and its trace is
Σ_j (A_j + a_j² B_j), with A_j = mean relu(w_j·x)² and B_j = mean 1[w_j·x > 0] |x|² over the training samples. Replacing
(w_j, a_j) by (c w_j, a_j/c) gives c² A_j + a_j² B_j / c², which is smallest at c⁴ = a_j² B_j / A_j: 2|a_j| (A_j B_j)^½.
Definitions of the trace and the symmetry: abstract of arXiv 2606.04429 and Dinh et al. 2017; the formulas are derived.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from awduality.errors import InputError


@dataclass(frozen=True)
class Network:
    """Weights of one network without biases."""

    w: np.ndarray  # (H, d)
    a: np.ndarray  # (H,)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(n,) the outputs for inputs (n, d)."""
        found: np.ndarray = np.maximum(x @ self.w.T, 0) @ self.a
        return found

    def rescaled(self, c: np.ndarray) -> Network:
        """The same function with unit j's input weights times c_j > 0, (H,), and its output weight over it."""
        if not (c > 0).all():
            raise InputError("units are rescaled by positive numbers: a negative one changes the function")
        return Network(self.w * c[:, None], self.a / c)


def unit_terms(w: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A_j and B_j, (H,) each, of weights (H, d) on inputs (n, d)."""
    before = x @ w.T
    a_term = np.mean(np.maximum(before, 0) ** 2, axis=0)
    b_term: np.ndarray = (before > 0).T @ (x**2).sum(axis=1) / len(x)
    return a_term, b_term


def costs(w: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(H,) 2 (A_j B_j)^½: the smallest trace of a unit with output weight 1, over all rescalings."""
    a_term, b_term = unit_terms(w, x)
    found: np.ndarray = 2 * np.sqrt(a_term * b_term)
    return found


def raw_trace(network: Network, x: np.ndarray) -> float:
    """The trace of the Hessian at interpolation."""
    a_term, b_term = unit_terms(network.w, x)
    return float(np.sum(a_term + network.a**2 * b_term))


def free_flatness(network: Network, x: np.ndarray) -> float:
    """S*, the smallest trace over all rescalings of units: the same for all of them."""
    return float(np.abs(network.a) @ costs(network.w, x))


def balanced_trace(network: Network, x: np.ndarray) -> float:
    """The trace of the same function where every unit's two weight vectors have one norm, as the instrument has it."""
    norms = np.linalg.norm(network.w, axis=1)
    alive = (norms > 0) & (network.a != 0)
    some = Network(network.w[alive], network.a[alive])
    return raw_trace(some.rescaled(np.sqrt(np.abs(some.a) / norms[alive])), x)


def path_norm(network: Network) -> float:
    """Σ |a_j| |w_j|."""
    return float(np.abs(network.a) @ np.linalg.norm(network.w, axis=1))


def squared_norm(network: Network) -> float:
    """The squared norm of all weights."""
    return float(np.sum(network.a**2) + np.sum(network.w**2))


def idle(network: Network, x: np.ndarray) -> int:
    """How many units with an output weight are active on no training sample: they cost nothing."""
    return int(np.sum(((x @ network.w.T) <= 0).all(axis=0) & (network.a != 0)))
