"""Functions of five bits, the prior that a random network puts on them, and the regret of mixtures over functions.

A function g: {−1, 1}⁵ → {0, 1} is its (32,) values, or the 32-bit code of these. Data: y = f(x), flipped with
probability ε; P_g(y|x) = 1 − ε where y = g(x), else ε. Everything is in nats and, unlike in the paper, not divided by
the number of samples. Source: Feder, Urbanke & Fogel (2025), arXiv 2506.07661; the setting is ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

BITS, POINTS = 5, 32
_AT_ONCE = 2_000_000  # numbers in memory of one chunk

INPUTS = np.array(list(itertools.product((-1.0, 1.0), repeat=BITS)))
"""(32, 5) every input."""


def codes_of(functions: np.ndarray) -> np.ndarray:
    """(…,) codes of functions (…, 32)."""
    found: np.ndarray = np.ascontiguousarray(np.packbits(functions.astype(bool), axis=-1)).view(">u4")[..., 0]
    return found.astype(np.uint32)


def functions_of(codes: np.ndarray | int) -> np.ndarray:
    """(…, 32) values, 0 or 1, of the functions with codes (…,)."""
    asked = np.asarray(codes)
    as_bytes = asked.astype(">u4").reshape(-1, 1).view(np.uint8)
    return np.unpackbits(as_bytes, axis=1).reshape(*asked.shape, POINTS)


def network_outputs(theta: np.ndarray, width: int) -> np.ndarray:
    """(D, 32) outputs z = v·relu(Wx/√5 + b/2)/√H + c/2 of networks with parameters (D, 7H + 1), in order W, b, v, c."""
    kind, count = theta.dtype.type, len(theta)
    w = theta[:, : BITS * width].reshape(count, width, BITS)
    b, v = theta[:, BITS * width : (BITS + 1) * width, None], theta[:, None, (BITS + 1) * width : -1]
    hidden = np.maximum(np.matmul(w, (INPUTS.T / np.sqrt(BITS)).astype(kind)) + b * kind(0.5), 0)
    found: np.ndarray = np.matmul(v, hidden)[:, 0] / kind(np.sqrt(width)) + theta[:, -1:] * kind(0.5)
    return found


def drawn_outputs(width: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """(draws, 32) outputs, float32, of networks whose parameters are standard normal."""
    step = max(1, _AT_ONCE // (POINTS * width))
    return np.concatenate(
        [
            network_outputs(
                generator.standard_normal((min(step, draws - start), 7 * width + 1), dtype=np.float32), width
            )
            for start in range(0, draws, step)
        ]
    )


@dataclass(frozen=True)
class Prior:
    """A prior over K functions: their codes, ascending, and the number of draws that were each of them."""

    codes: np.ndarray  # (K,)
    counts: np.ndarray  # (K,)

    @classmethod
    def counted(cls, functions: np.ndarray) -> Prior:
        """From draws (D, 32)."""
        return cls(*np.unique(codes_of(functions), return_counts=True))

    @property
    def weights(self) -> np.ndarray:
        """(K,) shares of the draws: a prior of its own, for which every bound holds exactly."""
        found: np.ndarray = self.counts / self.counts.sum()
        return found

    def count(self, code: int | np.ndarray) -> np.ndarray:
        """How many draws had these codes."""
        asked = np.asarray(code, dtype=np.uint32)
        place = np.minimum(np.searchsorted(self.codes, asked), len(self.codes) - 1)
        return np.where(self.codes[place] == asked, self.counts[place], 0)

    def orbit_weight(self, function: np.ndarray) -> float:
        """The mean share of the draws over the orbit of a function: an estimate of the networks' own prior of it."""
        return float(self.count(orbit(function)).mean() / self.counts.sum())


@cache
def _symmetries() -> np.ndarray:
    """(3840, 32) where every input goes if bits are permuted and flipped."""
    found = []
    place = {tuple(x): n for n, x in enumerate(INPUTS.tolist())}
    for order in itertools.permutations(range(BITS)):
        moved = INPUTS[:, order]
        found += [[place[tuple(x)] for x in (moved * signs).tolist()] for signs in INPUTS]
    return np.array(found)


def orbit(function: np.ndarray) -> np.ndarray:
    """Codes, ascending, of all functions that a (32,) one becomes if bits are permuted or flipped, or the output is.

    A random network's own prior is equal on them, so that their mean count estimates it best.
    """
    images = function[_symmetries()]
    return np.unique(np.concatenate([codes_of(images), codes_of(1 - images)]))


def odds(noise: float) -> float:
    """log((1 − ε)/ε): what a mistake costs a function."""
    return float(np.log((1 - noise) / noise))


def divergence(distance: np.ndarray | int, noise: float) -> np.ndarray:
    """D(P_f‖P_g) per sample of functions that differ at so many of the 32 points."""
    found: np.ndarray = np.asarray(distance) / POINTS * (1 - 2 * noise) * odds(noise)
    return found


def balance(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(T, 32) how many zeros minus how many ones were seen at every input after so many of the samples.

    Args:
        x: (S,) which input a sample has.
        y: (S,) its label.
        times: (T,) numbers of samples.
    """
    seen = np.zeros((len(x) + 1, POINTS))
    seen[np.arange(1, len(x) + 1), x] = 1 - 2 * y
    found: np.ndarray = seen.cumsum(axis=0)[times]
    return found


def chunks(prior: Prior, columns: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Parts of the prior's functions as float64, such that a number per function and column fits."""
    step = max(1, _AT_ONCE // max(columns, POINTS))
    for start in range(0, len(prior.codes), step):
        part = slice(start, start + step)
        yield part, functions_of(prior.codes[part]).astype(float)


def mixtures(prior: Prior, weights: np.ndarray, seen: np.ndarray, noise: float) -> np.ndarray:
    """(P, C) Σ_g w(g) exp(−a g·n), a the odds: of every prior the mixture's likelihood, over that of the function 0.

    Args:
        prior: the functions.
        weights: (P, K) of every prior.
        seen: (C, 32) as ``balance`` gives it, at most some two hundred samples, so that nothing overflows.
        noise: ε.
    """
    total = np.zeros((len(weights), len(seen)))
    for part, functions in chunks(prior, len(seen)):
        total += weights[:, part] @ np.exp(-odds(noise) * (functions @ seen.T))
    return total


def regrets(mixture: np.ndarray, truth: np.ndarray, seen: np.ndarray, noise: float) -> np.ndarray:
    """(P, T) ρ = Σ log P_f(y|x) − log Q(yⁿ|xⁿ), from mixtures (P, T) and truths (P, 32); seen is (P, T, 32)."""
    found: np.ndarray = -np.log(mixture) - odds(noise) * np.matmul(seen, truth[..., None])[..., 0]
    return found


def uniform_mixture(seen: np.ndarray, noise: float) -> np.ndarray:
    """(C,) the same as ``mixtures`` for the uniform prior over all 2³² functions: inputs are independent under it."""
    found: np.ndarray = np.prod(0.5 * (1 + np.exp(-odds(noise) * seen)), axis=-1)
    return found


def mass_by_distance(prior: Prior, own: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """(P, 33) the weight of what differs from each truth (P, 32) at 0, 1, …, 32 points, (P,) ``own`` at 0."""
    found = np.zeros((len(truths), POINTS + 1))
    for part, functions in chunks(prior, len(truths)):
        distances = np.rint(functions @ (1 - 2 * truths.T) + truths.sum(axis=1)).astype(int)
        for row, distance in zip(found, distances.T, strict=True):
            row += np.bincount(distance, prior.weights[part], POINTS + 1)
    found[:, 0] = own
    return found


def resolvability(mass: np.ndarray, times: np.ndarray, noise: float) -> np.ndarray:
    """(P, T) r_t = min over κ of t·κ − log w(B_κ), B_κ the functions within a divergence κ of the truth.

    Args:
        mass: (P, 33) from ``mass_by_distance``.
        times: (T,) numbers of samples.
        noise: ε.
    """
    with np.errstate(divide="ignore"):
        spent = -np.log(np.minimum(mass.cumsum(axis=1), 1))
    found: np.ndarray = (times[None, :, None] * divergence(np.arange(POINTS + 1), noise) + spent[:, None, :]).min(
        axis=2
    )
    return found


def ball_bounds(
    prior: Prior, own: float, truth: np.ndarray, radii: Sequence[int], seen: np.ndarray, noise: float
) -> np.ndarray:
    """(B, C) −log w(B) + mean over B of Σ log P_f/P_g, which no regret exceeds, of several balls B.

    A ball has what differs from the truth at so many points at most. The mean is by weight, that of the truth being
    ``own``. Infinite where nothing in the ball has weight.
    """
    distances = np.bitwise_count(prior.codes ^ codes_of(truth))
    found = np.full((len(radii), len(seen)), np.inf)
    for row, radius in zip(found, radii, strict=True):
        near = (distances <= radius) & (distances > 0)
        weights, functions = prior.weights[near], functions_of(prior.codes[near]).astype(float)
        if total := own + weights.sum():
            row[:] = weights @ (odds(noise) * ((functions - truth) @ seen.T)) / total - np.log(total)
    return found
