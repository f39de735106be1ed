"""A small ReLU network without biases, its gradient, Hessian products and per-example numbers, in closed form.

Weights are W1, W2, W3; logits z = W3 ReLU(W2 ReLU(W1 x)); the loss is the mean cross-entropy. Arrays are float64 and a
row is an example. Traces and eigenvalues are of the Gauss–Newton matrix, which for ReLU networks is all of the Hessian
of one layer; products with H are those of the whole Hessian of all weights.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Weights = list[np.ndarray]


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass: what an example's gradient in every layer is made of."""

    inputs: tuple[np.ndarray, np.ndarray, np.ndarray]  # (N, n) input of every layer
    masks: tuple[np.ndarray, np.ndarray]  # (N, h) which hidden units are on
    probabilities: np.ndarray  # (N, k)
    deltas: tuple[
        np.ndarray, np.ndarray, np.ndarray
    ]  # (N, m) derivative of an example's own loss by every layer's output
    losses: np.ndarray  # (N,)


def initial(sizes: Sequence[int], generator: np.random.Generator) -> Weights:
    """PyTorch's default initial weights of linear layers: uniform within ±1/√(inputs)."""
    return [generator.uniform(-1, 1, (out, inputs)) / np.sqrt(inputs) for inputs, out in itertools.pairwise(sizes)]


def passed(weights: Weights, x: np.ndarray, labels: np.ndarray) -> Pass:
    """Everything about examples x (N, n) with class indices (N,)."""
    first, second, third = weights
    z1 = x @ first.T
    a1 = np.maximum(z1, 0)
    z2 = a1 @ second.T
    a2 = np.maximum(z2, 0)
    z3 = a2 @ third.T
    z3 = z3 - z3.max(1, keepdims=True)
    exponentials = np.exp(z3)
    total = exponentials.sum(1, keepdims=True)
    probabilities = exponentials / total
    rows = np.arange(len(x))
    losses = np.log(total[:, 0]) - z3[rows, labels]
    d3 = probabilities.copy()
    d3[rows, labels] -= 1
    m1, m2 = z1 > 0, z2 > 0
    d2 = (d3 @ third) * m2
    d1 = (d2 @ second) * m1
    return Pass((x, a1, a2), (m1, m2), probabilities, (d1, d2, d3), losses)


def weighted_gradient(one: Pass, weights: np.ndarray | None = None) -> Weights:
    """Σ_i c_i g_i of weights c (N,), by default 1/N: the gradient."""
    c = np.full((len(one.losses), 1), 1 / len(one.losses)) if weights is None else weights[:, None]
    return [(c * delta).T @ given for delta, given in zip(one.deltas, one.inputs, strict=True)]


def squared_norms(one: Pass) -> np.ndarray:
    """(N,) ‖g_i‖² = Σ_layers ‖δ_i‖² ‖a_i‖²."""
    found: np.ndarray = sum(
        (
            np.square(delta).sum(1) * np.square(given).sum(1)
            for delta, given in zip(one.deltas, one.inputs, strict=True)
        ),
        np.zeros(len(one.losses)),
    )
    return found


def norm_squared(gradient: Weights) -> float:
    """The squared length of a direction in weight space."""
    return float(sum(np.square(part).sum() for part in gradient))


def power(one: Pass, batch: int) -> float:
    """P_B = tr Cov(g_i)/B: the mean squared length of the noise of a minibatch drawn with replacement."""
    return (float(squared_norms(one).mean()) - norm_squared(weighted_gradient(one))) / batch


def hessian_product(weights: Weights, one: Pass, direction: Weights) -> Weights:
    """H s of the mean loss, s a direction in weight space: the derivative of the gradient along it."""
    count = len(one.losses)
    _, second, third = weights
    s1, s2, s3 = direction
    (x, a1, a2), (m1, m2) = one.inputs, one.masks
    _, d2, d3 = one.deltas
    r1 = m1 * (x @ s1.T)
    r2 = m2 * (r1 @ second.T + a1 @ s2.T)
    r3 = r2 @ third.T + a2 @ s3.T
    p = one.probabilities
    rp = p * (r3 - (p * r3).sum(1, keepdims=True))
    rd2 = m2 * (rp @ third + d3 @ s3)
    rd1 = m1 * (rd2 @ second + d2 @ s2)
    products = (rd1.T @ x, rd2.T @ a1 + d2.T @ r1, rp.T @ a2 + d3.T @ r2)
    return [product / count for product in products]


def layer_factors(weights: Weights, one: Pass) -> np.ndarray:
    """(N, h, h) J_iᵀ S_i J_i of the second layer's output: its Gauss–Newton matrix is the mean of these ⊗ a_i a_iᵀ."""
    p, mask, third = one.probabilities, one.masks[1], weights[2]
    half = np.sqrt(p)[:, :, None] * (third[None] - (p @ third)[:, None, :]) * mask[:, None, :]
    found: np.ndarray = half.transpose(0, 2, 1) @ half
    return found


def traces(weights: Weights, one: Pass) -> tuple[float, float]:
    """The trace of the Gauss–Newton matrix of the second layer, and of all weights."""
    first, second, third = weights
    del first
    p, (m1, m2) = one.probabilities, one.masks
    squares = [np.square(given).sum(1) for given in one.inputs]
    centred = third[None] - (p @ third)[:, None, :]
    by_second = np.sqrt(p)[:, :, None] * centred * m2[:, None, :]
    by_first = (by_second @ second) * m1[:, None, :]
    of_second = float((np.square(by_second).sum((1, 2)) * squares[1]).mean())
    of_first = float((np.square(by_first).sum((1, 2)) * squares[0]).mean())
    of_third = float(((1 - np.square(p).sum(1)) * squares[2]).mean())
    return of_second, of_first + of_second + of_third


def layer_matrices(weights: Weights, one: Pass) -> tuple[np.ndarray, np.ndarray]:
    """The Gauss–Newton matrix of the second layer and the covariance of the examples' gradients there, each (M, M)."""
    factors, given, delta = layer_factors(weights, one), one.inputs[1], one.deltas[1]
    count, h, n = len(given), factors.shape[1], given.shape[1]
    outer = (given[:, :, None] * given[:, None, :]).reshape(count, -1)
    matrix = (factors.reshape(count, -1).T @ outer / count).reshape(h, h, n, n).transpose(0, 2, 1, 3).reshape(h * n, -1)
    gradients = (delta[:, :, None] * given[:, None, :]).reshape(count, -1)
    return matrix, np.cov(gradients.T, bias=True)


def exponent(weights: Weights, one: Pass, directions: int = 20) -> float:
    """γ of vᵀ C v ∝ λ^γ over the top eigenvectors v of the second layer's Hessian, C the gradients' covariance."""
    matrix, covariance = layer_matrices(weights, one)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    top = vectors[:, -directions:]
    variances = np.einsum("md,mn,nd->d", top, covariance, top)
    usable = (eigenvalues[-directions:] > 0) & (variances > 0)
    if usable.sum() < 3:
        return float("nan")
    return float(np.polyfit(np.log(eigenvalues[-directions:][usable]), np.log(variances[usable]), 1)[0])
