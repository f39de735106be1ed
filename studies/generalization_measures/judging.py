"""All measures of all runs under the protocol: errors in every environment, with all seeds and without each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from studies.generalization_measures.arms import AXES
from studies.generalization_measures.candidates import MEASURES, Columns
from studies.generalization_measures.protocol import (
    LEAST_EFFECTIVE,
    Environment,
    above,
    effective,
    environments,
    paired_weights,
    published_weights,
    sign_errors,
    weighted,
    without,
)

NAMES = tuple(MEASURES)
ORACLE = NAMES.index("oracle")


@dataclass(frozen=True)
class Board:
    """K settings, S seeds, M measures."""

    settings: Sequence[Mapping[str, Any]]  # (K,)
    seeds: Sequence[int]  # (S,)
    measures: np.ndarray  # (M, K, S)
    gap: np.ndarray  # (K, S) test error − training error
    half_gap: np.ndarray  # (K, S) the same on the half of the test samples that the oracle does not see
    wrong: np.ndarray  # (K, S, T) on which test samples a network errs


def board(settings: Sequence[Mapping[str, Any]], seeds: Sequence[int], columns: Columns, wrong: np.ndarray) -> Board:
    """Lay out runs, setting by setting and seed by seed.

    Args:
        settings: (K,) of the axes.
        seeds: (S,).
        columns: (K·S,) numbers by name.
        wrong: (K, S, T) whether a network errs.
    """
    shape = (len(settings), len(seeds))
    train_error = columns["train_error"].reshape(shape)
    columns = {**columns, "oracle": wrong[:, :, ::2].mean(2).ravel()}
    measures = np.stack([one.of(columns).reshape(shape) for one in MEASURES.values()])
    gap, half = wrong.mean(2) - train_error, wrong[:, :, 1::2].mean(2) - train_error
    return Board(settings, seeds, measures, gap, half, wrong)


@dataclass(frozen=True)
class Judged:
    """Errors in the environments that count."""

    environments: Sequence[Environment]  # (E,)
    effective: np.ndarray  # (E,) pairs that the weights amount to, over all pairs
    cubes: np.ndarray  # (1 + S, E, M) the errors, first with all seeds, then without each

    @property
    def axes(self) -> list[str]:
        """(E,) the axis of each."""
        return [one.axis for one in self.environments]


def judged(of: Board, published: bool = False) -> Judged:
    """The errors of all measures in the environments of which enough is certain, by our weights or the published ones.

    Which environments count is decided once, with all seeds. The oracle is judged on the samples that it does not see.
    """
    found, sizes, kept = [], [], []
    for one in environments(of.settings, AXES):
        i, j = one.first, one.second

        def weights(part: slice, gap: np.ndarray, i: int = i, j: int = j) -> np.ndarray:
            if published:
                return above(published_weights(gap[i], gap[j], of.wrong[:, :, part].shape[2]))
            return above(paired_weights(of.wrong[i][:, part], of.wrong[j][:, part]))

        every = weights(slice(None), of.gap)
        if (size := effective(every) / every.size) < LEAST_EFFECTIVE:
            continue
        errors = sign_errors(of.measures[:, i], of.measures[:, j], of.gap[i], of.gap[j])
        unseen, half = of.measures[ORACLE], weights(slice(1, None, 2), of.half_gap)
        seen = sign_errors(unseen[i], unseen[j], of.half_gap[i], of.half_gap[j])
        cube = []
        for left in (None, *range(len(of.seeds))):
            row = weighted(without(errors, left), without(every, left))
            row[ORACLE] = weighted(without(seen, left), without(half, left))
            cube.append(row)
        found.append(np.stack(cube))
        sizes.append(size)
        kept.append(one)
    empty = np.empty((1 + len(of.seeds), 0, len(NAMES)))
    return Judged(kept, np.array(sizes), np.stack(found, axis=1) if found else empty)


def rank_numbers(of: Board) -> tuple[np.ndarray, np.ndarray]:
    """(M,) Kendall's τ with the gap over the settings of a seed, and Jiang's Ψ: its mean along one axis at a time.

    Jiang et al. (2020), arXiv 1912.02178; within seeds, and means over them.
    """
    tau = [
        [kendalltau(one[:, seed], of.gap[:, seed]).statistic for seed in range(len(of.seeds))] for one in of.measures
    ]
    signs: dict[str, list[np.ndarray]] = {axis: [] for axis in AXES}
    for one in environments(of.settings, AXES):
        said = np.sign(of.measures[:, one.first] - of.measures[:, one.second])
        signs[one.axis].append((said * np.sign(of.gap[one.first] - of.gap[one.second])).mean(1))
    psi = np.mean([np.mean(found, axis=0) for found in signs.values() if found], axis=0)
    return np.nan_to_num(np.mean(tau, axis=1)), psi
