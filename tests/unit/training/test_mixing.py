"""Mixings: doubly stochastic whatever is drawn, and the same numbers as a product with their matrix."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awduality.errors import InputError
from awduality.learners import MIXINGS
from awduality.training import mixing
from awduality.training.mixing import exchanges, from_matrix, mixed, weighted_sum

names, counts, seeds = st.sampled_from(sorted(MIXINGS)), st.integers(1, 12), st.integers(0, 10_000)


def drawn(name, count, seed, steps=3):
    return list(islice(exchanges(name, count, 7, seed), steps))


@st.composite
def doubly_stochastic(draw):
    """A matrix made from permutations with any weights: every doubly stochastic matrix is one (Birkhoff)."""
    count, parts = draw(counts), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(seeds))
    shares = generator.dirichlet(np.ones(parts))
    return sum(share * np.eye(count)[generator.permutation(count)] for share in shares)


@given(names, counts, seeds)
def test_every_mixing_is_doubly_stochastic(name, count, seed):
    for exchange in drawn(name, count, seed):
        matrix = exchange.matrix
        assert matrix.shape == (count, count)
        assert (matrix >= 0).all()
        assert matrix.sum(0) == pytest.approx(np.ones(count), abs=1e-6)
        assert matrix.sum(1) == pytest.approx(np.ones(count), abs=1e-6)


@given(names, counts, seeds)
def test_mixing_keeps_the_mean_and_never_spreads_the_learners(name, count, seed):
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, count, 5)))
    for exchange in drawn(name, count, seed):
        after = mixed(weights, [exchange])
        assert torch.allclose(after.mean(1), weights.mean(1), atol=1e-6)
        spread, spread_before = ((w - w.mean(1, keepdim=True)).norm() for w in (after, weights))
        assert spread <= spread_before * (1 + 1e-6)
        singular = np.linalg.svd(exchange.matrix, compute_uv=False)
        assert singular[0] == pytest.approx(1, abs=1e-6)
        assert (singular <= 1 + 1e-6).all()
        if name != "random_pair" and count > 1:  # along a ring, or by the mean, all come closer in every step
            assert singular[1] < 1 - 1e-3


@given(doubly_stochastic(), seeds)
def test_a_users_matrix_gives_the_same_as_a_product_with_it(matrix, seed):
    exchange = from_matrix(matrix, len(matrix))
    assert exchange.matrix == pytest.approx(matrix, abs=1e-7)
    weights = np.random.default_rng(seed).normal(size=(1, len(matrix), 4))
    assert mixed(torch.from_numpy(weights), [exchange]).numpy() == pytest.approx(matrix @ weights, abs=1e-6)


@given(names, counts, seeds)
def test_runs_mix_by_their_own_exchange_as_by_a_product_with_its_matrix(name, count, seed):
    exchanged = drawn(name, count, seed)
    weights = np.random.default_rng(seed).normal(size=(len(exchanged), count, 4)).astype(np.float32)
    expected = np.stack([one.matrix @ w for one, w in zip(exchanged, weights, strict=True)])
    assert mixed(torch.from_numpy(weights), exchanged).numpy() == pytest.approx(expected, abs=1e-5)


def assert_learners_one_by_one_add_up_the_same(exchange, seed):
    count = exchange.sources.shape[1]
    weights = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, 9)).astype(np.float32))
    together = mixed(weights[None], [exchange])[0]
    for learner in range(count):
        sources, shares = zip(*exchange.sources_of(learner), strict=True)
        assert torch.equal(weighted_sum([weights[source] for source in sources], shares), together[learner])


@given(names, counts, seeds)
def test_what_a_learner_adds_up_alone_is_equal_to_the_bit(name, count, seed):
    for exchange in drawn(name, count, seed):
        assert_learners_one_by_one_add_up_the_same(exchange, seed)


@given(doubly_stochastic(), seeds)
def test_what_a_learner_adds_up_alone_by_a_users_matrix_is_equal_to_the_bit(matrix, seed):
    assert_learners_one_by_one_add_up_the_same(from_matrix(matrix, len(matrix)), seed)


@given(doubly_stochastic())
def test_sources_and_takers_are_the_rows_and_columns_of_the_matrix(matrix):
    exchange, others = from_matrix(matrix, len(matrix)), range(len(matrix))
    for learner in others:
        found = dict(exchange.sources_of(learner))
        assert list(found) == [source for source in others if matrix[learner, source] > 0]
        assert all(share == pytest.approx(matrix[learner, source]) for source, share in found.items())
        assert exchange.takers_of(learner) == [j for j in others if j != learner and matrix[j, learner] > 0]


def test_the_matrices_are_those_of_the_definitions():
    third, fifth = 1 / 3, 1 / 5
    ring = [[third, third, 0, third], [third, third, third, 0], [0, third, third, third], [third, 0, third, third]]
    assert drawn("ring", 4, 0)[0].matrix == pytest.approx(np.array(ring), abs=1e-7)
    assert drawn("full", 4, 0)[0].matrix == pytest.approx(np.full((4, 4), 0.25))
    wide = drawn("wide_ring", 6, 0)[0].matrix
    across = np.abs(np.subtract.outer(range(6), range(6))) == 3
    assert wide == pytest.approx(np.where(across, 0, fifth), abs=1e-7)
    assert drawn("wide_ring", 5, 0)[0].matrix == pytest.approx(np.full((5, 5), fifth), abs=1e-7)


def test_in_a_ring_of_two_both_neighbours_are_the_same_learner():
    assert drawn("ring", 2, 0)[0].matrix == pytest.approx(np.array([[1, 2], [2, 1]]) / 3, abs=1e-7)


@given(st.integers(3, 12), seeds)
def test_a_random_ring_is_a_ring_in_another_order(count, seed):
    neighbours = {j: [s for s, _ in drawn("random_ring", count, seed)[0].sources_of(j)] for j in range(count)}
    order = [0]
    while len(order) < count:
        onwards = [s for s in neighbours[order[-1]] if s not in order]
        assert all(order[-1] in neighbours[s] for s in neighbours[order[-1]])
        order.append(onwards[0])
    assert order[0] in neighbours[order[-1]]


@given(counts, seeds)
def test_random_pairs_are_pairs_and_of_an_odd_number_one_stays_alone(count, seed):
    matrix = drawn("random_pair", count, seed)[0].matrix
    assert np.array_equal(matrix, matrix.T)
    alone = matrix.diagonal() == 1
    assert alone.sum() == count % 2
    assert (matrix[~alone][matrix[~alone] > 0] == 0.5).all()


def test_random_mixings_change_from_step_to_step_and_with_the_seed_and_fixed_ones_do_not():
    for name in MIXINGS:
        steps, again, other = drawn(name, 9, 0, 8), drawn(name, 9, 0, 8), drawn(name, 9, 1, 8)
        assert all(np.array_equal(a.matrix, b.matrix) for a, b in zip(steps, again, strict=True))
        changes = len({step.matrix.tobytes() for step in steps}) > 1
        differs = any(not np.array_equal(a.matrix, b.matrix) for a, b in zip(steps, other, strict=True))
        assert changes == differs == name.startswith("random")


def test_over_many_steps_every_learner_meets_every_other():
    for name in ("random_ring", "random_pair"):
        assert (sum(step.matrix for step in drawn(name, 7, 0, 100)) > 0).all()


def test_the_words_of_the_settings_are_the_mixings_that_there_are():
    assert set(MIXINGS) == {*mixing._FIXED, *mixing._RANDOM}


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.eye(3), r"of 2 learners has shape \(2, 2\): got \(3, 3\)"),
        (np.ones(2), r"got \(2,\)"),
        (np.array([[1.5, -0.5], [-0.5, 1.5]]), "no negative entries"),
        (np.array([[np.nan, 1.0], [1.0, 0.0]]), "none that is not a number"),
        (np.array([[np.inf, 1.0], [1.0, 0.0]]), "none that is not a number"),
        (np.array([[0.5, 0.5], [0.5, 0.6]]), "row 1 sums to 1.1, wanted 1"),
        (np.array([[0.5, 0.5], [0.6, 0.4]]), "column 0 sums to 1.1, wanted 1"),
    ],
)
def test_a_matrix_that_cannot_be_used_is_refused_and_says_where(matrix, message):
    with pytest.raises(InputError, match=message):
        exchanges(matrix, 2, 7, 0)


def test_an_unknown_mixing_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="unknown mixing 'star': wanted one of full, ring, wide_ring, random_ring"):
        exchanges("star", 4, 7, 0)
