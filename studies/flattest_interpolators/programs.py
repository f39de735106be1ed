"""The flattest interpolator as a linear program over a dictionary of directions, its certificate, the worst near it.

On unit vectors w with cost c(w) = 2 (A B)^½, S* of a network is Σ |a_j| c(w_j): the flattest interpolator of any width
minimises an atomic norm. Derived here; the paper's own proof is not known to us.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from awduality.errors import InputError
from studies.flattest_interpolators.flatness import costs

_WITHIN = 1e-5  # of a cone's width, from its edges: where its edges are looked at


def dictionary(d: int, count: int, generator: np.random.Generator, further: np.ndarray) -> np.ndarray:
    """(count + k, d) unit vectors: evenly on the circle for d = 2, else at random; then ``further``, (k, d)."""
    if d == 2:
        angles = 2 * np.pi * (np.arange(count) + generator.random()) / count
        found = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        found = generator.standard_normal((count, d))
        found /= np.linalg.norm(found, axis=1, keepdims=True)
    return np.concatenate([found, further])


@dataclass(frozen=True)
class Program:
    """Interpolation by a dictionary: units' activities on the samples and their costs."""

    features: np.ndarray  # (n, K) relu(w_k·x_i)
    cost: np.ndarray  # (K,)
    y: np.ndarray  # (n,)

    @classmethod
    def of(cls, directions: np.ndarray, x: np.ndarray, y: np.ndarray) -> Program:
        """From directions (K, d), each active on some sample: others would cost nothing."""
        return cls(np.maximum(x @ directions.T, 0), costs(directions, x), y)

    def flattest(self) -> tuple[np.ndarray, np.ndarray]:
        """Output weights (K,) of the least Σ|a|c that interpolates, and the dual ν (n,) with |Φᵀν| ≤ c, νᵀy = Σ|a|c.

        Raises:
            InputError: the dictionary cannot interpolate.
        """
        both = np.concatenate([self.features, -self.features], axis=1)
        found = linprog(np.concatenate([self.cost, self.cost]), A_eq=both, b_eq=self.y, method="highs")
        if found.status != 0 or found.x is None:
            raise InputError(f"no interpolator in this dictionary ({found.message}): take more directions")
        return _signed(found.x), np.asarray(found.eqlin.marginals)

    def furthest(self, aim: np.ndarray, budget: float) -> np.ndarray:
        """Output weights (K,) that interpolate, have Σ|a|c ≤ budget, and make aim·a, (K,), largest."""
        both = np.concatenate([self.features, -self.features], axis=1)
        limit = np.concatenate([self.cost, self.cost])[None]
        scale = np.abs(aim).max() or 1.0
        found = linprog(
            -np.concatenate([aim, -aim]) / scale, A_ub=limit, b_ub=[budget], A_eq=both, b_eq=self.y, method="highs"
        )
        if found.status != 0 or found.x is None:
            raise InputError(f"no interpolator within the budget ({found.message}): allow more than the least")
        return _signed(found.x)


def _signed(x: np.ndarray) -> np.ndarray:
    plus, minus = np.split(x, 2)
    found: np.ndarray = plus - minus
    return found


def worst(
    program: Program, outside: np.ndarray, target: np.ndarray, budget: float, places: np.ndarray, rounds: int
) -> tuple[np.ndarray, list[float]]:
    """The worst interpolator that is found within a budget of flatness.

    The error is convex in the output weights. The programs max ±f(x_t) at single test points are starts; from the best
    of them, the error is linearised and the program solved again, which can only raise it. A lower bound of the worst.

    Args:
        program: the samples.
        outside: (t, K) the dictionary's activities on the test inputs.
        target: (t,) the noise-free target there.
        budget: the largest S* allowed.
        places: positions of the test inputs that are starts.
        rounds: how often to linearise.

    Returns:
        Its output weights (K,), and the mean squared errors from the best start on, which never fall.
    """
    starts = [program.furthest(sign * outside[place], budget) for place in places for sign in (1, -1)]
    errors = [float(np.mean((outside @ a - target) ** 2)) for a in starts]
    best = int(np.argmax(errors))
    a, found = starts[best], [errors[best]]
    for _ in range(rounds):
        further = program.furthest(outside.T @ (outside @ a - target), budget)
        error = float(np.mean((outside @ further - target) ** 2))
        if error <= found[-1] * (1 + 1e-6):
            break
        a = further
        found.append(error)
    return a, found


def best_in_cones(dual: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In every cone of directions, for d = 2, where |Σ_i ν_i relu(w·x_i)| / c(w) is largest, and how large.

    In a cone the same samples are active: the numerator is |v·w|, A a quadratic form wᵀMw/n and B fixed. The ratio is
    largest at w ∝ ±M⁻¹v if that lies in the cone, else on its edges, which are taken a little
    within, where B is the cone's.

    Args:
        dual: (n,) ν.
        x: (n, 2) the samples.

    Returns:
        (C, 2) unit vectors and (C,) ratios. Cones without an active sample, where c is zero, are left out.
    """
    if x.shape[1] != 2:
        raise InputError(f"cones are listed in two dimensions only: got {x.shape[1]}")
    directions, ratios = [], []
    for low, high in cones(x):
        tried = [_at(low + _WITHIN * (high - low)), _at(high - _WITHIN * (high - low))]
        active = x @ _at((low + high) / 2) > 0
        if not active.any():
            continue
        v, m = dual[active] @ x[active], x[active].T @ x[active] / len(x)
        b = np.sum(x[active] ** 2) / len(x)
        if abs(np.linalg.det(m)) > 1e-14 * np.trace(m) ** 2:
            inside = np.linalg.solve(m, v)
            inside /= np.linalg.norm(inside) or 1.0
            tried += [w for w in (inside, -inside) if ((x @ w > 0) == active).all()]
        found = [abs(v @ w) / (2 * np.sqrt((w @ m @ w) * b)) for w in tried]
        best = int(np.argmax(found))
        directions.append(tried[best])
        ratios.append(found[best])
    return np.array(directions), np.array(ratios)


def cones(x: np.ndarray) -> list[tuple[float, float]]:
    """The angles between which the same samples (n, 2) are active, around the circle."""
    angles = np.arctan2(x[:, 1], x[:, 0])
    edges = np.sort(np.concatenate([angles + np.pi / 2, angles - np.pi / 2]) % (2 * np.pi))
    ends = np.append(edges[1:], edges[0] + 2 * np.pi)
    return [(float(low), float(high)) for low, high in zip(edges, ends, strict=True) if high - low > 1e-12]


def refined(directions: np.ndarray, x: np.ndarray, y: np.ndarray, close: float = 1e-4, rounds: int = 40) -> np.ndarray:
    """A dictionary for d = 2 with the directions that the dual asks for, until it certifies the optimum to ``close``.

    Column generation: the best direction of every cone in which the dual's bound is broken is added, and the program
    solved again.
    """
    found = np.concatenate([directions, *(_edges(low, high) for low, high in cones(x))])
    found = found[(x @ found.T > 0).any(axis=0)]
    for _ in range(rounds):
        best, ratios = best_in_cones(Program.of(found, x, y).flattest()[1], x)
        if ratios.max() <= 1 + close:
            break
        found = np.concatenate([found, best[ratios > 1 + close / 10]])
    return found


def _edges(low: float, high: float) -> np.ndarray:
    return np.array([_at(low + _WITHIN * (high - low)), _at(high - _WITHIN * (high - low))])


def _at(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])
