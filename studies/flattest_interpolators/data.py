"""What networks learn: a sum of two ridge functions of Gaussian inputs, with noise or what few units cannot give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from awduality.errors import InputError
from studies.flattest_interpolators.flatness import Network

INDICES = 2  # of the teacher


@dataclass(frozen=True)
class Task:
    """One seed's teacher and samples."""

    teacher: Network
    x: np.ndarray  # (n, d) training inputs
    y: np.ndarray  # (n,) their labels, with noise
    x_test: np.ndarray  # (t, d)
    y_test: np.ndarray  # (t,) noise-free
    x_wrong: np.ndarray  # (n, d) further inputs …
    y_wrong: np.ndarray  # (n,) … with permuted labels, for poisoned training

    def error(self, outputs: np.ndarray) -> float:
        """Mean squared error of outputs (t,) on the test inputs, over the variance of the noise-free target."""
        return float(np.mean((outputs - self.y_test) ** 2) / np.var(self.y_test))


def spectrum(kind: str, d: int) -> np.ndarray:
    """(d,) the variances of the inputs: all one, or from 1 to 0.01, evenly on a logarithmic scale."""
    if kind not in ("isotropic", "anisotropic"):
        raise InputError(f"inputs: got {kind!r}, wanted isotropic or anisotropic")
    return np.ones(d) if kind == "isotropic" else np.logspace(0, -2, d)


def target(x: np.ndarray, directions: np.ndarray, product: float) -> np.ndarray:
    """(n,) Σ_j relu(u_j·x) + ε (u_1·x)(u_2·x) for inputs (n, d) and orthonormal directions (2, d)."""
    along = x @ directions.T
    found: np.ndarray = np.maximum(along, 0).sum(axis=1) + product * along[:, 0] * along[:, 1]
    return found


def draw(generator: np.random.Generator, kind: str, d: int, n: int, sd: float, product: float, test_size: int) -> Task:
    """A task: the samples of a smaller n are the first of a larger, and all levels of noise share their draws."""
    if d < INDICES:
        raise InputError(f"dimensions: got {d}, wanted at least {INDICES}, one per index")
    directions = np.linalg.qr(generator.standard_normal((d, INDICES)))[0].T
    scales = np.sqrt(spectrum(kind, d))
    x_test = generator.standard_normal((test_size, d)) * scales
    x = generator.standard_normal((n, d)) * scales
    y = target(x, directions, product) + sd * generator.standard_normal(n)
    x_wrong = generator.standard_normal((n, d)) * scales
    y_wrong = generator.permutation(target(x_wrong, directions, product))
    teacher = Network(directions, np.ones(INDICES))
    return Task(teacher, x, y, x_test, target(x_test, directions, product), x_wrong, y_wrong)
