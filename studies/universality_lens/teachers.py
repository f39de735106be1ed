"""The functions that are to be learned: some that networks often have, evenly spaced in −log w, and some that none has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studies.universality_lens.boolean import INPUTS, POINTS, Prior, codes_of, drawn_outputs, functions_of, orbit

CANDIDATES = 2_000  # networks, other than the prior's, that teachers are taken from
DRAWN, PARITY, TABLE = "drawn", "parity", "table"
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
        prior: gives w; only functions with ``least`` draws or more are taken.
        candidates: (D, 32) functions to choose from, drawn apart from the prior, so that nobody's count is selected.
        count: how many are wanted.
        least: draws.
    """
    codes = np.unique(codes_of(candidates))
    counts = prior.count(codes)
    codes, counts = codes[counts >= least], counts[counts >= least]
    places = -np.log(counts)
    chosen: list[int] = []
    used: set[int] = set()
    for wanted in np.linspace(places.min(), places.max(), count):
        for place in np.argsort(np.abs(places - wanted), kind="stable"):
            if int(codes[place]) not in used:
                chosen.append(int(codes[place]))
                used.update(orbit(functions_of(codes[place])).tolist())
                break
    return functions_of(np.array(chosen, dtype=np.uint32)).astype(float)


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
