"""The protocol against brute force, measures against hand values, the games against enumeration."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from awduality import decompose
from awduality.config import resolve_file
from awduality.data.splits import Scaling, Split
from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.duality.summary import summary
from awduality.errors import InputError
from awduality.networks import from_weights
from awduality.runs import Run
from awduality.study.plan import plan
from studies.generalization_measures import fields, protocol
from studies.generalization_measures.arms import AXES
from studies.generalization_measures.candidates import MEASURES, PUBLISHED, of_group, pac_bayes_bound
from studies.generalization_measures.experiment import random_number
from studies.generalization_measures.judging import NAMES, Board, board, judged, rank_numbers
from studies.generalization_measures.numbers import capacity_numbers, duality_numbers, nearest_others
from studies.generalization_measures.study import problems
from studies.generalization_measures.tables import OF_SEEDS, statistics
from studies.generalization_measures.training import initial, neighbour, permuted, trained

PRIMES = (2, 3, 5)


# The protocol


@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4), st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_a_sign_error_is_that_of_brute_force_and_does_not_know_which_run_is_first(measures, gaps):
    one, two, gap, other = (np.array(values) for values in (measures[:2], measures[2:], gaps[:2], gaps[2:]))
    found = protocol.sign_errors(one, two, gap, other)
    for i, j in itertools.product(range(2), repeat=2):
        wanted = (1 - np.sign(one[i] - two[j]) * np.sign(gap[i] - other[j])) / 2
        assert found[i, j] == wanted
    assert (protocol.sign_errors(two, one, other, gap) == found.T).all()


def test_a_perfect_measure_never_errs_its_negative_always_and_a_constant_in_half():
    gap, other = np.array([0.1, 0.2, 0.3]), np.array([0.15, 0.25, 0.05])
    assert (protocol.sign_errors(np.exp(gap), np.exp(other), gap, other) == 0).all()
    assert (protocol.sign_errors(-gap, -other, gap, other) == 1).all()
    assert (protocol.sign_errors(0 * gap, 0 * other, gap, other) == 0.5).all()


def test_environments_are_the_pairs_of_settings_that_differ_in_one_axis():
    settings = [dict(zip(AXES, values, strict=True)) for values in itertools.product((1, 2), repeat=5)]
    found = list(protocol.environments(settings, AXES))
    assert len(found) == 80
    assert {axis: sum(one.axis == axis for one in found) for axis in AXES} == dict.fromkeys(AXES, 16)
    for one in found:
        assert [a for a in AXES if settings[one.first][a] != settings[one.second][a]] == [one.axis]


def test_paired_weights_are_those_of_the_differences_themselves(rng):
    wrong, other = (rng.random((3, 200)) < share for share in (0.2, 0.3))
    found = protocol.paired_weights(wrong, other)
    for i, j in itertools.product(range(3), repeat=2):
        d = wrong[i].astype(float) - other[j]
        z = abs(d.mean()) / (d.std(ddof=1) / math.sqrt(len(d)))
        assert found[i, j] == pytest.approx((2 * norm.cdf(z) - 1) ** 2)


def test_runs_that_err_alike_have_no_weight_and_runs_that_differ_everywhere_have_all(rng):
    wrong = rng.random((1, 50)) < 0.3
    assert protocol.paired_weights(wrong, wrong)[0, 0] == 0
    assert protocol.paired_weights(np.ones((1, 50), bool), np.zeros((1, 50), bool))[0, 0] == 1


def test_paired_weights_have_the_coverage_that_they_say(rng):
    """Of two networks of equal error the sign is certain to √w = 95% in a twentieth of all test sets."""
    wrong, other = (rng.random((60, 400)) < 0.2 for _ in range(2))
    z = np.sqrt(protocol.paired_weights(wrong, other))
    assert np.mean(z > 0.95) == pytest.approx(0.05, abs=0.02)


def test_the_published_weight_needs_the_gaps_to_differ_by_what_hoeffding_says():
    n = 10_000
    edge = math.sqrt(2 * math.log(2 / (1 - math.sqrt(0.5))) / n)
    below, beyond = (protocol.published_weights(np.array([edge * f]), np.zeros(1), n)[0, 0] for f in (0.99, 1.01))
    assert below < protocol.CERTAIN < beyond
    assert edge == pytest.approx(0.02, abs=0.001)


def test_what_weighs_is_above_one_half_and_equal_weights_count_as_many():
    assert protocol.above(np.array([0.2, 0.5, 0.7])) == pytest.approx([0, 0, 0.2])
    assert protocol.effective(np.full((3, 3), 0.4)) == pytest.approx(9)
    assert protocol.effective(np.array([[1.0, 0], [0, 0]])) == 1
    assert protocol.effective(np.zeros((2, 2))) == 0


def test_weighted_errors_are_means_by_weight_and_nothing_without():
    errors, weights = np.array([[[0.0, 1.0], [0.5, 1.0]]]), np.array([[1.0, 3.0], [0.0, 0.0]])
    assert protocol.weighted(errors, weights) == pytest.approx([0.75])
    assert np.isnan(protocol.weighted(errors, 0 * weights)).all()


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12))
def test_pseudo_values_of_a_mean_are_the_samples(samples):
    values = np.array(samples)
    left_out = np.array([np.delete(values, place).mean() for place in range(len(values))])
    found = protocol.pseudo_values(np.array(values.mean()), left_out)
    assert found == pytest.approx(values, abs=1e-9)


def test_pseudo_values_are_centred_at_the_statistic_and_have_the_jackknife_error(rng):
    values = rng.normal(size=9)
    left_out = np.array([np.delete(values, place).var() for place in range(9)])
    found = protocol.pseudo_values(np.array(values.var()), left_out)
    assert found.mean() == pytest.approx(values.var())
    assert found.var(ddof=1) / 9 == pytest.approx(8 / 9 * np.square(left_out - left_out.mean()).sum())


def test_no_axis_wins_by_the_number_of_its_environments():
    errors = np.array([[0.0], [0.0], [0.0], [1.0]])
    found = protocol.axis_means(errors, ["a", "a", "a", "b"], ["a", "b", "c"])
    assert found[:2, 0] == pytest.approx([0, 1])
    assert np.isnan(found[2, 0])
    assert np.nanmean(found) == 0.5


# All measures at once


@pytest.fixture(scope="module")
def made():
    """Two axes of two values, six seeds, and gaps that follow from an effect of either."""
    rng = np.random.default_rng(3)
    settings = [dict(zip(AXES, (n, w, 2, 0.1, 10), strict=True)) for n in (100, 400) for w in (16, 32)]
    chance = np.repeat(np.array([0.4, 0.3, 0.2, 0.1])[:, None], 6, 1)
    wrong = rng.random((4, 6, 4000)) < chance[:, :, None]
    sizes = np.repeat([one["train_size"] for one in settings], 6).astype(float)
    needed = ("parameters", "margin", "log_spectral", "log_frobenius", "stable_ranks", "distance", "norm", "path")
    needed += (
        "precision",
        "trace",
        "size",
        "quadratic",
        "sharpness",
        "train_loss",
        "noise",
        "size_own",
        "quadratic_own",
    )
    columns = {name: rng.random(24) + 0.5 for name in needed}
    columns |= {f"{name}_balanced": rng.random(24) for name in ("top_eigenvalue", "trace", "size", "quadratic")}
    columns |= {"train_size": sizes, "train_error": np.zeros(24), "top_eigenvalue": wrong.mean(2).ravel()}
    return board(settings, range(6), columns, wrong)


def test_a_measure_that_is_the_gap_never_errs_and_random_numbers_err_in_half(made):
    found = judged(made)
    assert len(found.environments) == 4
    assert found.cubes.shape == (7, 4, len(NAMES))
    errors = dict(zip(NAMES, found.cubes[0].mean(0), strict=True))
    assert errors["eigenvalue"] == 0
    assert errors["oracle"] == 0
    assert errors["one_over_n"] == pytest.approx(0.25)  # right on the axis of n, and says nothing on the other
    assert 0.2 < errors["noise"] < 0.8


def test_leaving_out_a_seed_is_judging_without_its_runs(made):
    whole = judged(made)
    kept = [0, 1, 2, 4, 5]
    fewer = Board(
        made.settings,
        kept,
        *(getattr(made, name)[..., kept] for name in ("measures", "gap", "half_gap")),
        made.wrong[:, kept],
    )
    assert judged(fewer).cubes[0] == pytest.approx(whole.cubes[1 + 3], nan_ok=True)


def test_rank_numbers_of_the_gap_are_one_and_of_its_negative_minus_one(made):
    tau, psi = rank_numbers(replace(made, measures=np.stack([made.gap, -made.gap])))
    assert tau == pytest.approx([1, -1])
    assert psi == pytest.approx([1, -1])


def test_statistics_are_those_that_their_names_say():
    errors, axes = np.full((4, len(NAMES)), 0.5), ["width", "width", "width", "batch_size"]
    at = {name: place for place, name in enumerate(NAMES)}
    errors[:, at["eigenvalue_size"]] = [0.0, 0.0, 0.0, 0.4]
    errors[:, at["eigenvalue_size_own"]] = 0.3
    errors[:, [at[name] for name in of_group(PUBLISHED)]] = [[1.0], [0.6], [0.2], [0.2]]
    errors[:, at["pac_init"]] = 0.25
    found = dict(zip(OF_SEEDS, statistics(errors, axes), strict=True))
    assert found["published_wrong"] == pytest.approx(0.25 - 0.99)
    assert found["product_wrong"] == pytest.approx(0.4 - 0.99)
    assert found["product_less_size"] == pytest.approx(0.2 - 0.5)
    assert found["product_worst_axis"] == pytest.approx(0.4 - 0.5)
    assert found["own_less_product"] == pytest.approx(0.3 - 0.1)
    assert found["pac_bayes_lead"] == pytest.approx((0.5 + 0.5 + 0.25) / 3 - 0.5)
    assert found["product_less_pac_bayes"] == pytest.approx(0.2 - 0.25)


def test_there_are_fourteen_published_measures_and_three_bounds_follow_their_formula():
    assert len(of_group(PUBLISHED)) == 14
    runs = {"train_size": np.array([100.0]), "precision": np.array([4.0]), "norm": np.array([25.0])}
    sigma = 0.5
    wanted = math.sqrt((25 / (4 * sigma**2) + math.log(100 / sigma) + 10) / 100)
    assert pac_bayes_bound(runs, "norm") == pytest.approx([wanted])


# Measures of a network


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(5)
    shapes = {"fc1": (5, 4), "fc2": (5, 5), "fc3": (3, 5)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    train = rng.normal(size=(24, 4)).astype(np.float32), np.arange(24) % 3
    test = rng.normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3
    return weights, train, test


def test_capacity_numbers_of_a_network_of_two_units_are_those_by_hand():
    weights = {"fc1": np.array([[2.0, 0.0], [0.0, 1.0]]), "fc2": np.array([[1.0, 0.0], [0.0, 3.0]])}
    initial_weights = {name: np.zeros((2, 2)) for name in weights}
    samples = np.eye(2) * 2.0, np.array([0, 1])
    found = capacity_numbers(weights, initial_weights, samples, np.random.default_rng(0), 2)
    assert found["parameters"] == 8
    assert found["norm"] == found["distance"] == 2**2 + 1 + 1 + 3**2
    assert found["path"] == pytest.approx((2 * 1) ** 2 + (1 * 3) ** 2)
    assert found["log_spectral"] == pytest.approx(math.log(4 * 9))
    assert found["log_frobenius"] == pytest.approx(math.log(5 * 10))
    assert found["stable_ranks"] == pytest.approx(5 / 4 + 10 / 9)
    assert found["margin"] == pytest.approx(np.quantile([4.0, 6.0], 0.1))
    assert found["precision"] > 0


def test_determinants_are_those_of_the_whole_decomposition(network):
    weights, train, test = network
    pairs = nearest_pairs(train, test)
    found = duality_numbers(weights, train, test, pairs, nearest_others(train))
    whole = summary(decompose(from_weights(weights), "fc2", train, test, pairs=pairs), 5)
    assert found["top_eigenvalue"] == pytest.approx(whole["top_eigenvalue"])
    assert found["trace"] == pytest.approx(whole["trace"])
    assert found["size"] == pytest.approx(whole["sigma_w_norm"])
    assert found["sharpness"] == pytest.approx(whole["sigma_g_norm"])
    assert found["quadratic"] == pytest.approx(whole["quadratic"])
    own = summary(decompose(from_weights(weights), "fc2", train, train, pairs=nearest_others(train)), 5)
    assert found["size_own"] == pytest.approx(own["sigma_w_norm"])
    assert found["quadratic_own"] == pytest.approx(own["quadratic"])


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_product_knows_no_rescaling_of_layers_and_each_factor_does(network, factor):
    weights, train, test = network
    other = {**weights, "fc2": weights["fc2"] * factor, "fc3": weights["fc3"] / factor}
    pairs, own = nearest_pairs(train, test), nearest_others(train)
    one, two = (duality_numbers(w, train, test, pairs, own) for w in (weights, other))
    for name in ("size", "size_own"):
        assert two["top_eigenvalue"] * two[name] ** 2 == pytest.approx(one["top_eigenvalue"] * one[name] ** 2)
    assert two["top_eigenvalue"] == pytest.approx(one["top_eigenvalue"] / factor**2)
    assert two["quadratic"] == pytest.approx(one["quadratic"])
    for name in ("top_eigenvalue", "trace", "size", "quadratic"):
        assert two[f"{name}_balanced"] == pytest.approx(one[f"{name}_balanced"])


def test_every_training_sample_is_paired_with_the_nearest_other_one_of_its_class(network):
    _, (inputs, _), _ = network
    labels = np.array([0] * 11 + [1] * 12 + [2])  # one class has no other sample
    found = nearest_others((inputs, labels))
    assert found.test.tolist() == list(range(23))
    for here, there in zip(found.test.tolist(), found.train.tolist(), strict=True):
        others = [k for k in range(24) if labels[k] == labels[here] and k != here]
        assert there == min(others, key=lambda k: np.linalg.norm(inputs[k].astype(float) - inputs[here]))


def test_the_weights_that_a_run_began_with_are_those_that_it_is_trained_from(toy, asked):
    one = Run(_settings(learning_rate=1e-12), 1)
    (solution,) = trained([one], toy, {**asked, "max_steps": 1}, lambda *_: None)
    for layer, start in zip(solution.weights, initial(one, toy, asked).values(), strict=True):
        assert layer == pytest.approx(start, abs=1e-6)


# Neighbouring samples


def _settings(**changed):
    names = dict(zip(AXES, (20, 6, 2, 0.1, 10), strict=True))
    return {"arm": "stability", **names, "permuted": 0, **changed}


@pytest.fixture(scope="module")
def asked():
    return {"root_seed": 1, "target_loss": 0.1, "max_steps": 5000, "check_every": 5}


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    pixels, labels = rng.random((30, 5)).astype(np.float32), np.arange(30) % 3
    return Split(pixels, labels, pixels[:9], labels[:9], 3, Scaling(), per_seed=True)


def test_a_neighbouring_sample_differs_in_one_image_and_a_permuted_one_in_its_labels(toy):
    own = toy.of_seed(1, 0)
    (x, y), (x2, y2) = own.train(20), neighbour(own, 20).train(20)
    assert (x != x2).any(1).tolist() == [True] + [False] * 19
    assert (x2[0] == own.train(21)[0][20]).all()
    assert y2[0] == own.train(21)[1][20]
    drawn = permuted(own, 20, np.random.default_rng(0))
    assert (drawn.train(21)[0] == own.train(21)[0]).all()
    assert sorted(drawn.train(21)[1]) == sorted(own.train(21)[1])
    assert (drawn.train(20)[1] != y).any()


def test_runs_of_one_seed_have_random_numbers_of_their_own():
    numbers = [random_number(Run({"a": a}, 0), np.random.default_rng(7)) for a in range(400)]
    assert len(set(numbers)) == 400
    assert np.std(numbers) == pytest.approx(
        np.linalg.norm(np.random.default_rng(7).standard_normal(48)) / 48**0.5, rel=0.15
    )


# Fields and parities


def _rank(matrix, q):
    """By counting what the rows span."""
    spanned = {tuple(np.array(c) @ matrix % q) for c in itertools.product(range(q), repeat=len(matrix))}
    return round(math.log(len(spanned), q))


@pytest.mark.parametrize("q", PRIMES)
def test_elimination_finds_rank_and_solution(q, rng):
    matrices = rng.integers(0, q, (40, 3, 3))
    units = np.broadcast_to(np.eye(3, dtype=int), (40, 3, 3))
    found, rank = fields.reduced(np.concatenate([matrices, units], axis=2), 3, q)
    assert rank.tolist() == [_rank(matrix, q) for matrix in matrices]
    inverses = found[rank == 3, :, 3:]
    assert (np.einsum("tij,tjk->tik", matrices[rank == 3], inverses) % q == np.eye(3, dtype=int)).all()


@pytest.mark.parametrize(("rows", "columns", "q"), [(2, 3, 2), (3, 2, 2), (2, 2, 3)])
def test_the_law_of_the_rank_is_that_of_all_matrices(rows, columns, q):
    every = np.array(list(itertools.product(range(q), repeat=rows * columns))).reshape(-1, rows, columns)
    _, rank = fields.reduced(every, columns, q)
    assert np.bincount(rank, minlength=columns + 1) / len(every) == pytest.approx(fields.rank_law(rows, columns, q))


def test_chances_are_those_on_record():
    assert [fields.invertible(10, q) for q in (2, 3, 5, 7)] == pytest.approx([0.289, 0.560, 0.760, 0.837], abs=6e-4)
    found = {surplus: fields.recovery(20 + surplus, 20) for surplus in (10, 0, -1)}
    assert [found[s][0] for s in (10, 0, -1)] == pytest.approx([0.9995, 0.6103, 0.3897], abs=1e-4)
    assert [found[s][1] for s in (10, 0, -1)] == pytest.approx([0.0005, 0.3215, 0.3897], abs=1e-4)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_recovery_is_that_of_all_samples_of_a_small_parity(m):
    d, found, fails = 3, [], []
    vectors = list(itertools.product(range(2), repeat=d))
    for sample in itertools.product(vectors, repeat=m):
        x = np.array(sample)
        agreeing = sum((x @ np.array(a) % 2 == 0).all() for a in vectors)  # as many as agree with any truth
        found.append(1 / agreeing)
        fails.append(0.0 if agreeing == 1 else 1 / agreeing)  # the best estimate says ½ unless one is left
    assert fields.recovery(m, d) == pytest.approx((np.mean(found), np.mean(fails)))


def test_no_estimate_on_a_field_is_better_than_the_floor_and_a_constant_attains_it():
    found = fields.on_field(3, 3000, np.random.default_rng(1))
    assert found["rmse_constant"] == pytest.approx(found["floor"])
    for name in ("training", "left_out", "weight"):
        assert found[f"rmse_{name}"] > found["floor"] + 0.02, name
    assert abs(found["z_chance"]) < 4
    assert abs(found["z_floor"]) < 4


@given(st.integers(1, 500), st.floats(0.01, 0.99))
def test_a_z_score_is_zero_at_the_mean_and_grows_by_one_per_deviation(trials, chance):
    spread = math.sqrt(trials * chance * (1 - chance))
    assert fields.z_score(trials * chance, trials, chance) == pytest.approx(0, abs=1e-9)
    assert fields.z_score(trials * chance + spread, trials, chance) == pytest.approx(1)


def test_a_field_whose_order_is_no_prime_is_refused():
    with pytest.raises(InputError, match="wanted a prime"):
        fields.reduced(np.zeros((1, 2, 2), int), 2, 4)


# The plan


def test_measures_are_tried_on_all_settings_and_every_seed(root):
    config, _ = resolve_file(root, "studies/generalization_measures/full.yaml")
    runs = [run for run in plan(config)["runs"] if run["settings"]["arm"] == "measures"]
    seeds = {run["seed"] for run in runs}
    assert len(runs) == 2 ** len(AXES) * len(seeds)
    assert all(run["settings"]["permuted"] == 0 for run in runs)


def test_samples_that_there_are_not_are_told_before_anything_runs(root):
    config, _ = resolve_file(root, "studies/generalization_measures/quick.yaml")
    asked = config["generalization_measures"]["experiments"]
    asked["measures"] |= {"train_size": [config["data"]["pool"]["count"]], "batch_size": [10_000]}
    found = " ".join(problems(config))
    assert "wanted less than data.pool.count" in found
    assert "larger than train_size" in found


def test_all_measures_are_named_apart():
    words = [one.words for one in MEASURES.values()]
    assert len(set(words)) == len(words)


def test_pairs_are_positions(network):
    found = nearest_others(network[1])
    assert isinstance(found, Pairs)
    assert found.train.dtype == torch.int64
