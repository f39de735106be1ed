"""The nearest of some candidates, by distances without cancellation.

|q|² + |x|² − 2 q·x costs one matrix product, and is wrong by the rounding of |q|² + |x|²: by more than the distance
itself where points lie close together and far from the origin. So it only tells which candidates can be the nearest,
within a bound of its error; where that leaves several, the differences themselves are squared and summed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CHUNK = 512  # queries whose distances to all candidates are held at once
_AGAIN = 2**20  # numbers of candidates that are compared again at once
_EPSILON = torch.finfo(torch.float64).eps


def nearest(queries: Tensor, candidates: Tensor, allowed: Tensor | None = None) -> Tensor:
    """The position of the nearest candidate of each query (Euclidean); ties go to the first.

    Args:
        queries: (Q, n) float64, finite.
        candidates: (C, n) float64, finite.
        allowed: (Q, C) bool, one candidate at least for every query; by default all are.

    Returns:
        (Q,) int64.
    """
    found = torch.empty(len(queries), dtype=torch.long)
    if queries.shape[1] == 0:
        queries, candidates = queries.new_zeros(len(queries), 1), candidates.new_zeros(len(candidates), 1)
    largest = max(float(queries.abs().max()), float(candidates.abs().max()))
    if largest and not 1e-100 < largest < 1e100:  # whose squares would be infinite, or zero
        power = 2.0 ** -max(-1000, min(1000, math.frexp(largest)[1]))
        queries, candidates = queries * power, candidates * power
    centre = candidates.mean(0)
    moved = candidates - centre
    squares = moved.square().sum(1)
    shift = _EPSILON * float(torch.linalg.vector_norm(candidates, dim=1).max())  # by which a point can be misplaced
    for part in torch.arange(len(queries)).split(_CHUNK):
        some = queries[part] - centre
        own = some.square().sum(1, keepdim=True)
        distances = torch.addmm(squares[None, :] + own, some, moved.T, alpha=-2).clamp_(min=0)
        if allowed is not None:
            distances.masked_fill_(~allowed[part], torch.inf)
        # |q|² + |x|² + 2|q||x| ≤ 2 (|q|² + |x|²), and a sum of n products is off by n roundings at most.
        error = 4 * (queries.shape[1] + 8) * _EPSILON * (own + squares.max())
        offset = 4 * (shift + _EPSILON * torch.linalg.vector_norm(queries[part], dim=1, keepdim=True))
        least, first = distances.min(1, keepdim=True)
        bound = ((least + error).sqrt() + 2 * offset).square() + error
        possible = distances <= bound
        found[part] = first[:, 0]
        several = (possible.sum(1) > 1).nonzero()[:, 0]
        for row in several.tolist():
            among = possible[row].nonzero()[:, 0]
            found[part[row]] = among[_squared(queries[part[row]], candidates, among).argmin()]
    return found


def _squared(query: Tensor, candidates: Tensor, among: Tensor) -> Tensor:
    """The squared distances of one query to some of the candidates."""
    parts = among.split(max(1, _AGAIN // len(query)))
    return torch.cat([(candidates[part] - query).square_().sum(1) for part in parts])
