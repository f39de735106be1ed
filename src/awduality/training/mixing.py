"""How learners average their weights: mixing matrices T, w_j ← Σ_i T_ji w_i, and how to tell a usable one.

Every mixing is an average of permutations of the learners, so that T is doubly stochastic by construction (Birkhoff's
theorem says that there are no others): rows sum to one, so that equal weights stay equal, and columns too, so that the
mean w̄ over learners is not changed by mixing. Definitions: arXiv 2112.01433 and 2002.01119.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from awduality.errors import InputError
from awduality.streams import stream

_ROUNDING = 1e-6  # by how much rows and columns of a matrix may miss one


@dataclass(frozen=True)
class Exchange:
    """One mixing of n learners: learner j adds up ``weights[k, j]`` times learner ``sources[k, j]``, in order of k.

    The order is part of it: whoever adds in this order gets the same bits.
    """

    sources: np.ndarray  # (K, n) int64
    weights: np.ndarray  # (K, n) float32; zero where a learner has fewer than K sources

    @property
    def matrix(self) -> np.ndarray:
        """T, (n, n) float64."""
        count = self.sources.shape[1]
        found = np.zeros((count, count))
        np.add.at(found, (np.broadcast_to(np.arange(count), self.sources.shape), self.sources), self.weights)
        return found

    def sources_of(self, learner: int) -> list[tuple[int, float]]:
        """What one learner adds up, in order: pairs of a learner and its weight."""
        pairs = zip(self.sources[:, learner].tolist(), self.weights[:, learner].tolist(), strict=True)
        return [(source, weight) for source, weight in pairs if weight]

    def takers_of(self, learner: int) -> list[int]:
        """Who takes this learner's weights, itself left out, ascending: those that ``sources_of`` names it to."""
        taken = ((self.sources == learner) & (self.weights != 0)).any(axis=0)
        return [int(taker) for taker in np.flatnonzero(taken) if taker != learner]


def average_of(permutations: Sequence[np.ndarray]) -> Exchange:
    """The mixing that averages permutations (n,) of the learners: doubly stochastic, whatever they are."""
    sources = np.stack(permutations)
    return Exchange(sources, np.full(sources.shape, 1 / len(sources), dtype=np.float32))


def _shifts(order: np.ndarray, reach: int) -> list[np.ndarray]:
    """Along a ring of the learners in this order: each itself, then its neighbours at distance 1, …, ``reach``."""
    place = np.argsort(order)
    steps = [0, *(sign * distance for distance in range(1, reach + 1) for sign in (-1, 1))]
    return [order[(place + step) % len(order)] for step in steps]


def full(count: int) -> Exchange:
    """Every learner takes the mean of all."""
    return average_of([np.full(count, source) for source in range(count)])


def ring(count: int, reach: int = 1) -> Exchange:
    """The learners stand in a ring; each takes the mean of itself and ``reach`` neighbours on each side."""
    return average_of(_shifts(np.arange(count), reach))


def random_ring(count: int, generator: np.random.Generator) -> Exchange:
    """A ring in a random order."""
    return average_of(_shifts(generator.permutation(count), 1))


def random_pair(count: int, generator: np.random.Generator) -> Exchange:
    """Learners meet in random pairs and take the mean of the two; of an odd number one stays alone."""
    order, partner = generator.permutation(count), np.arange(count)
    ones, others = order[: count // 2], order[count // 2 : count // 2 * 2]
    partner[ones], partner[others] = others, ones
    return average_of([np.arange(count), partner])


_FIXED: dict[str, Callable[[int], Exchange]] = {"full": full, "ring": ring, "wide_ring": partial(ring, reach=2)}
_RANDOM = {"random_ring": random_ring, "random_pair": random_pair}


def exchanges(mixing: str | np.ndarray, count: int, root_seed: int, seed: int) -> Iterator[Exchange]:
    """The mixing of every step, without end; all learners of a run draw the same.

    Args:
        mixing: ``full``; ``ring`` (itself and the two neighbours, 1/3 each), ``wide_ring`` (two neighbours on each
            side, 1/5 each); ``random_ring`` and ``random_pair``, drawn anew for every step; or a matrix T (n, n).
        count: n, the number of learners.
        root_seed: the config's root seed.
        seed: the run's seed index.

    Raises:
        InputError: an unknown name, or a matrix that is not doubly stochastic.
    """
    if not isinstance(mixing, str):
        return repeat(from_matrix(mixing, count))
    if mixing in _FIXED:
        return repeat(_FIXED[mixing](count))
    if mixing not in _RANDOM:
        raise InputError(f"unknown mixing {mixing!r}: wanted one of {', '.join((*_FIXED, *_RANDOM))}, or a matrix")
    generator = stream(root_seed, "mixing", seed)
    return (_RANDOM[mixing](count, generator) for _ in repeat(None))


def from_matrix(matrix: np.ndarray, count: int) -> Exchange:
    """The mixing by a matrix T, sources in ascending order.

    Raises:
        InputError: T is not (n, n), or not doubly stochastic; the message says where.
    """
    t: np.ndarray = np.asarray(matrix, dtype=float)
    if t.shape != (count, count):
        raise InputError(f"the mixing matrix of {count} learners has shape ({count}, {count}): got {t.shape}")
    if not np.isfinite(t).all() or (t < 0).any():
        raise InputError("a mixing matrix has no negative entries and none that is not a number")
    for axis, word in ((1, "row"), (0, "column")):
        sums = t.sum(axis=axis)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > _ROUNDING:
            raise InputError(
                f"the mixing matrix is not doubly stochastic: {word} {worst} sums to {sums[worst]:.6g}, wanted 1. Rows "
                "that do not would scale the weights, columns that do not would favour some learners; divide by the "
                "sums until both hold, or choose a symmetric matrix"
            )
    most = int((t > 0).sum(axis=1).max())
    order = np.sort(np.argsort(t <= 0, axis=1, kind="stable")[:, :most], axis=1)
    return Exchange(order.T.copy(), np.take_along_axis(t, order, axis=1).T.astype(np.float32))


def weighted_sum(parts: Sequence[Tensor], weights: Sequence[Tensor | float]) -> Tensor:
    """Σ_k weights[k]·parts[k], in this order and rounded after every operation: the same bits on every engine."""
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total += part * weight
    return total


def mixed(weights: Tensor, exchanged: Sequence[Exchange]) -> Tensor:
    """The mixed weights of the learners of R runs, (R, n, P), each run by its own exchange.

    Args:
        weights: (R, n, P).
        exchanged: one per run, all of as many sources.
    """
    runs, learners = weights.shape[:2]
    sources = np.stack([one.sources for one in exchanged], axis=1) + learners * np.arange(runs)[:, None]  # (K, R, n)
    shares = np.stack([one.weights for one in exchanged], axis=1)
    if all(
        bool(np.all(array == array[:, :, :1])) for array in (sources, shares)
    ):  # all learners of a run take the same
        sources, shares = sources[:, :, :1], shares[:, :, :1]
    rows, index = weights.flatten(0, 1), torch.from_numpy(sources).to(weights.device)
    share = torch.from_numpy(shares).to(weights.device)[..., None]
    return weighted_sum([rows[part] for part in index], list(share)).expand(-1, learners, -1)
