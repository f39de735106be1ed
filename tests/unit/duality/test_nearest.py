"""The nearest candidate, against distances by plain differences in extended precision."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awduality import nearest_pairs
from awduality.duality.nearest import nearest


def squared(queries, candidates):
    wide = queries.astype(np.longdouble)[:, None] - candidates.astype(np.longdouble)[None]
    return (wide**2).sum(2)


def found(queries, candidates):
    return nearest(torch.from_numpy(queries), torch.from_numpy(candidates)).numpy()


@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 80),
    features=st.integers(1, 12),
    far=st.sampled_from([0.0, 1.0, 1e6, 1.7e9]),
    unit=st.sampled_from([1.0, 1e-6, 1e150, 1e-150, 1e-250]),
)
def test_no_candidate_is_nearer_than_the_one_that_is_found(seed, count, features, far, unit):
    rng = np.random.default_rng(seed)
    candidates, queries = (unit * (rng.normal(size=(k, features)) + far) for k in (count, 30))
    distances = squared(queries / unit, candidates / unit)
    chosen = distances[np.arange(30), found(queries, candidates)]
    assert (chosen <= distances.min(1) * (1 + 1e-12)).all()


@given(seed=st.integers(0, 10_000), levels=st.integers(1, 3), far=st.sampled_from([0, 10**6]))
def test_ties_go_to_the_first_candidate(seed, levels, far):
    rng = np.random.default_rng(seed)
    candidates, queries = (rng.integers(levels, size=(k, 3)).astype(float) + far for k in (60, 40))
    assert (found(queries, candidates) == squared(queries, candidates).argmin(1)).all()


def test_a_time_stamp_beside_standardised_columns_hides_no_neighbour(rng):
    def samples(count):
        stamp = 1_700_000_000 + rng.uniform(0, 60, size=(count, 1))
        return np.hstack([rng.normal(size=(count, 7)), stamp]), np.zeros(count, int)

    train, test = samples(200), samples(100)
    assert nearest_pairs(train, test).train.tolist() == squared(test[0], train[0]).argmin(1).tolist()


@pytest.mark.parametrize("features", [0, 1])
def test_samples_that_are_all_the_same_are_paired_with_the_first(features):
    assert found(np.ones((3, features)), np.ones((5, features))).tolist() == [0, 0, 0]


def test_only_candidates_that_are_allowed_are_found(rng):
    queries, candidates = (torch.from_numpy(rng.normal(size=(k, 3))) for k in (700, 90))
    allowed = torch.from_numpy(rng.random((700, 90)) < 0.2)
    allowed[:, 5] = True
    distances = torch.cdist(queries, candidates).masked_fill(~allowed, torch.inf)
    assert torch.equal(nearest(queries, candidates, allowed), distances.argmin(1))
