"""The functions that are to be learned: some that networks have, evenly spaced in −log w, and some that none has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.universality_lens.boolean import INPUTS, POINTS, Prior, drawn_outputs, orbit

CANDIDATES = 300  # networks, other than the prior's, that teachers are taken from
DRAWN, PARITY, TABLE = "drawn", "parity", "table"
KINDS = (DRAWN, PARITY, TABLE)
OUTSIDE = (PARITY, TABLE, TABLE)


@dataclass(frozen=True)
class Teachers:
    """P functions (P, 32) and the kind of each."""

    functions: np.ndarray
    kinds: tuple[str, ...]

    @property
    def drawn(self) -> np.ndarray:
        """(P,) which of them networks have."""
        return np.array([kind == DRAWN for kind in self.kinds])


def spaced(prior: Prior, candidates: np.ndarray, count: int, least: int) -> np.ndarray:
    """(≤ count, 32) functions evenly spaced in −log w, at most one of an orbit.

    Args:
        prior: gives w, as the mean over an orbit; only orbits with ``least`` draws or more are taken.
        candidates: (D, 32) functions to choose from, drawn apart from the prior, so that nobody's count is selected.
        count: how many are wanted.
        least: draws.
    """
    orbits: dict[
        int, tuple[float, np.ndarray]
    ] = {}  # the orbit's smallest code → its weight, and the function met first
    for function in candidates.astype(int):
        codes = orbit(function)
        counts = prior.count(codes)
        if counts.sum() >= least:
            orbits.setdefault(int(codes[0]), (-float(np.log(counts.mean() / prior.counts.sum())), function))
    left = sorted(orbits.values(), key=lambda found: found[0])
    chosen = []
    for wanted in np.linspace(left[0][0], left[-1][0], count):
        if left:
            place = int(np.argmin([abs(weight - wanted) for weight, _ in left]))
            chosen.append(left.pop(place)[1])
    return np.array(chosen, dtype=float)


def teachers(prior: Prior, width: int, count: int, least: int, generator: np.random.Generator) -> Teachers:
    """Those of one seed: drawn ones, then parity of the five bits and two random tables."""
    found = spaced(prior, drawn_outputs(width, CANDIDATES, generator) > 0, count, least)
    parity = INPUTS.prod(axis=1) > 0
    tables = generator.integers(0, 2, (len(OUTSIDE) - 1, POINTS))
    return Teachers(np.concatenate([found, parity[None], tables]).astype(float), (DRAWN,) * len(found) + OUTSIDE)


def minority(functions: np.ndarray) -> np.ndarray:
    """(P,) at how many of the points a function has its rarer value: 0 to 16."""
    ones = functions.sum(axis=1)
    found: np.ndarray = np.minimum(ones, POINTS - ones)
    return found
