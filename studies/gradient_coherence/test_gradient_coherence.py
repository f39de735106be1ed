"""Two oracles for every number: coherence, null and winsorising against explicit gradients, the toy in closed form."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from awduality.data.sources import load
from awduality.data.splits import split_arrays
from awduality.duality.determinants import MEASURES
from awduality.errors import InputError
from awduality.files import write_arrays
from awduality.runs import Run
from awduality.study.step import Job
from studies.gradient_coherence import toy
from studies.gradient_coherence.coherence import at_loss, m_coherence, pristine_part
from studies.gradient_coherence.determinants import run as determinant_table
from studies.gradient_coherence.experiment import coherence_numbers, ending, run
from studies.gradient_coherence.following import permuted_labels
from studies.gradient_coherence.methods import Update, clipped, median_of_three, normed, winsorised_mean
from studies.gradient_coherence.stack import (
    Layer,
    initial_weights,
    inner,
    mean_gradient,
    minibatches,
    passed,
    squared_norms,
)
from studies.gradient_coherence.study import canonical
from studies.gradient_coherence.tables import thinned

WIDTHS = (6, 5, 4, 3)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def networks(rng, count, dtype=np.float64):
    starts = [initial_weights(WIDTHS, rng) for _ in range(count)]
    return [np.stack(layer).astype(dtype) for layer in zip(*starts, strict=True)]


def seen_by(rng, count=2, examples=8, dtype=np.float64):
    """Networks, their examples, and what passing these gives."""
    weights = networks(rng, count, dtype)
    inputs = rng.standard_normal((count, examples, WIDTHS[0])).astype(dtype)
    labels = rng.integers(0, WIDTHS[-1], (count, examples))
    return weights, inputs, labels, passed(weights, inputs, labels)


def explicit(weights, inputs, labels, row):
    """(N, P) the gradient of every example of one network, by automatic differentiation."""

    def loss(matrices, x, y):
        for matrix in matrices[:-1]:
            x = torch.relu(matrix @ x)
        return torch.nn.functional.cross_entropy((matrices[-1] @ x)[None], y[None])

    matrices = [torch.from_numpy(matrix[row]) for matrix in weights]
    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    found = each(matrices, torch.from_numpy(inputs[row]), torch.from_numpy(labels[row]))
    return torch.cat([gradient.flatten(1) for gradient in found], dim=1).numpy()


def flat(gradient, row):
    return np.concatenate([layer[row].ravel() for layer in gradient])


def alpha_of(each):
    """α of explicit gradients (N, P)."""
    return np.square(each.mean(axis=0)).sum() / np.square(each).sum(axis=1).mean()


def as_layers(each):
    """Explicit gradients (N, P) as outer products with an input that is 1."""
    return [Layer(each[None], np.ones((1, len(each), 1)))]


def test_gradients_are_those_of_automatic_differentiation(rng):
    weights, inputs, labels, seen = seen_by(rng)
    for row in range(2):
        each = explicit(weights, inputs, labels, row)
        assert flat(mean_gradient(seen.layers), row) == pytest.approx(each.mean(axis=0))
        assert squared_norms(seen.layers)[row] == pytest.approx(np.square(each).sum(axis=1))


def test_losses_are_the_cross_entropy_of_pytorch(rng):
    weights, inputs, labels, seen = seen_by(rng, count=1)
    x = inputs[0]
    for matrix in weights[:-1]:
        x = np.maximum(x @ matrix[0].T, 0)
    logits = torch.from_numpy(x @ weights[-1][0].T)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[0]), reduction="none")
    assert seen.losses[0] == pytest.approx(expected.numpy())
    assert (seen.correct[0] == (logits.argmax(1).numpy() == labels[0])).all()


def test_coherence_is_that_of_explicit_gradients_and_the_sum_over_layers(rng):
    weights, inputs, labels, seen = seen_by(rng)
    for row in range(2):
        each = explicit(weights, inputs, labels, row)
        assert m_coherence(seen.layers)[row] == pytest.approx(len(each) * alpha_of(each))
    total = squared_norms(seen.layers).mean(axis=1)
    shares = [squared_norms([layer]).mean(axis=1) / total for layer in seen.layers]
    parts = [share * m_coherence([layer]) for share, layer in zip(shares, seen.layers, strict=True)]
    assert sum(parts) == pytest.approx(m_coherence(seen.layers))


def test_coherence_is_that_of_the_gram_matrix(rng):
    _, _, _, seen = seen_by(rng)
    gram = sum((d @ d.swapaxes(1, 2)) * (a @ a.swapaxes(1, 2)) for d, a in seen.layers)
    expected = gram.sum(axis=(1, 2)) / np.trace(gram, axis1=1, axis2=2)
    assert m_coherence(seen.layers) == pytest.approx(expected)


def test_over_all_signs_the_null_has_mean_one(rng):
    _, _, _, seen = seen_by(rng, count=1)
    nulls = [m_coherence(seen.layers, np.array([signs])) for signs in itertools.product((-1.0, 1.0), repeat=8)]
    assert np.mean(nulls) == pytest.approx(1)
    assert np.ptp(nulls) > 0.1


@given(st.integers(1, 40), st.floats(1e-3, 1e3), st.integers(0, 2**32 - 1))
def test_coherence_does_not_change_with_the_scale_and_is_at_most_the_number_of_examples(count, scale, seed):
    each = np.random.default_rng(seed).standard_normal((count, 5))
    (found,) = m_coherence(as_layers(each))
    assert m_coherence(as_layers(scale * each)) == pytest.approx(found)
    assert -1e-9 <= found <= count * (1 + 1e-9)
    assert m_coherence(as_layers(np.concatenate([each, each]))) == pytest.approx(2 * found)


def test_coherence_is_m_for_equal_one_for_orthogonal_and_nan_without_gradients():
    assert m_coherence(as_layers(np.ones((7, 4)))) == pytest.approx(7)
    assert m_coherence(as_layers(np.eye(7))) == pytest.approx(1)
    assert np.isnan(m_coherence(as_layers(np.zeros((7, 4))))).all()


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_examples_without_a_gradient_dilute_alpha(count, zeros, seed):
    each = np.random.default_rng(seed).standard_normal((count, 5))
    diluted = np.concatenate([each, np.zeros((zeros, 5))])
    share = count / (count + zeros)
    assert m_coherence(as_layers(diluted)) / (count + zeros) == pytest.approx(
        share * m_coherence(as_layers(each)) / count
    )


def test_the_formula_for_minibatches_holds_for_batches_drawn_with_replacement(rng):
    each, size = rng.standard_normal((6, 4)), 2
    batches = np.array([each[list(batch)].mean(axis=0) for batch in itertools.product(range(6), repeat=size)])
    of_batches = alpha_of(batches)
    (found,) = m_coherence(as_layers(each)) / 6
    assert of_batches / (size - (size - 1) * of_batches) == pytest.approx(found)


def test_minibatches_at_frozen_weights_give_the_same_coherence(rng):
    each, size = rng.standard_normal((1000, 4)) + 0.4, 10
    batches = np.array([each[rng.integers(0, 1000, size)].mean(axis=0) for _ in range(20_000)])
    of_batches = alpha_of(batches)
    (found,) = m_coherence(as_layers(each)) / 1000
    assert of_batches / (size - (size - 1) * of_batches) == pytest.approx(found, rel=0.05)


def test_the_pristine_part_is_the_projection_of_their_gradient(rng):
    weights, inputs, labels, seen = seen_by(rng)
    pristine = np.arange(8) % 3 > 0
    found = pristine_part(seen.layers, np.stack([pristine, pristine]))
    for row in range(2):
        each = explicit(weights, inputs, labels, row)
        mean, part = each.mean(axis=0), (each * pristine[:, None]).mean(axis=0)
        assert found[row] == pytest.approx(mean @ part / (mean @ mean))
    assert pristine_part(seen.layers, np.ones((2, 8), bool)) == pytest.approx(1)


@pytest.mark.parametrize("per_cent", [1.0, 2.0, 4.0, 8.0, 30.0])
def test_winsorising_clips_between_the_nearest_percentiles(per_cent, rng):
    weights, inputs, labels, seen = seen_by(rng, examples=100)
    found = winsorised_mean(seen.layers, per_cent)
    for row in range(2):
        each = explicit(weights, inputs, labels, row)
        low, high = np.percentile(each, [per_cent, 100 - per_cent], axis=0, method="nearest")
        assert flat(found, row) == pytest.approx(np.clip(each, low, high).mean(axis=0))


def test_winsorising_is_that_of_a_loop_over_coordinates(rng):
    weights, inputs, labels, seen = seen_by(rng, count=1, examples=25)
    found, count = flat(winsorised_mean(seen.layers, 8.0), 0), clipped(25, 8.0)
    assert count == 2
    for coordinate, values in enumerate(explicit(weights, inputs, labels, 0).T):
        ordered = sorted(values)
        kept = [min(max(value, ordered[count]), ordered[-1 - count]) for value in values]
        assert found[coordinate] == pytest.approx(np.mean(kept))


def test_winsorising_nothing_is_the_plain_mean(rng):
    _, _, _, seen = seen_by(rng)
    for found, plain in zip(winsorised_mean(seen.layers, 0.0), mean_gradient(seen.layers), strict=True):
        assert (found == plain).all()


def test_winsorising_more_than_there_is_is_refused():
    with pytest.raises(InputError, match="less than 50%"):
        clipped(50, 50.0)


def test_normed_steps_go_the_plain_way_as_far_as_winsorised_ones(rng):
    _, _, _, seen = seen_by(rng, examples=50)
    plain, short, found = mean_gradient(seen.layers), winsorised_mean(seen.layers, 8.0), normed(seen.layers, 8.0)
    assert inner(found, found) == pytest.approx(inner(short, short))
    assert inner(found, plain) ** 2 == pytest.approx(inner(found, found) * inner(plain, plain))
    assert inner(found, found) != pytest.approx(inner(plain, plain), rel=1e-3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_the_median_of_three_is_the_middle_one(values):
    assert median_of_three(*map(np.array, values)) == sorted(values)[1]


def test_the_median_of_three_minibatches_is_taken_by_coordinate(rng):
    weights, inputs, labels, seen = seen_by(rng, examples=12)
    found = Update("m3", 0.0)(seen)
    for row in range(2):
        each = explicit(weights, inputs, labels, row)
        parts = [each[start : start + 4].mean(axis=0) for start in (0, 4, 8)]
        assert flat(found, row) == pytest.approx(np.median(parts, axis=0))


def test_three_equal_minibatches_give_the_plain_gradient(rng):
    weights, inputs, labels, seen = seen_by(rng, examples=4)
    thrice = passed(weights, np.concatenate([inputs] * 3, axis=1), np.concatenate([labels] * 3, axis=1))
    plain = mean_gradient(seen.layers)
    rolling = Update("rm3", 0.0)
    for _ in range(3):
        rolled = rolling(seen)
    for found in (Update("m3", 0.0)(thrice), Update("mean3", 0.0)(thrice), rolled):
        for layer, expected in zip(found, plain, strict=True):
            assert layer == pytest.approx(expected)


def test_the_rolling_median_is_that_of_the_last_three_minibatches(rng):
    update, parts = Update("rm3", 0.0), []
    for _ in range(5):
        _, _, _, seen = seen_by(rng)
        found = update(seen)
        parts.append(mean_gradient(seen.layers))
    assert flat(found, 1) == pytest.approx(np.median([flat(part, 1) for part in parts[-3:]], axis=0))


def test_the_toy_learns_the_unseen_row_from_the_common_feature_alone():
    for feature, limit in toy.LIMITS.items():
        assert toy.unseen_loss(feature == "common") == pytest.approx(limit, abs=1e-6)
        rows = toy.features(feature == "common")
        least = np.linalg.pinv(rows[:4]) @ toy.TARGETS[:4]
        assert toy.descended(rows[:4], toy.TARGETS[:4], 0.01, 10_000) == pytest.approx(least, abs=1e-9)
        assert 0.5 * (toy.TARGETS[4] - rows[4] @ least) ** 2 == pytest.approx(limit)
    assert toy.descended(toy.features(True)[:4], toy.TARGETS[:4], 0.1, 1000)[5] == pytest.approx(4 / 5)


@given(st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_permuted_labels_keep_their_counts_and_the_examples_that_were_not_picked(share, seed):
    labels = np.arange(60) % 10
    found = permuted_labels(labels, share, np.random.default_rng(seed))
    assert (np.bincount(found) == np.bincount(labels)).all()
    assert (found != labels).sum() <= round(share * 60)
    picked = np.random.default_rng(seed).permutation(60)[: round(share * 60)]
    others = np.setdiff1d(np.arange(60), picked)
    assert (found[others] == labels[others]).all()


def test_coherence_at_a_loss_is_interpolated_in_logarithms():
    losses, values = np.array([2.0, 1.0, 0.5, 0.8, 0.4]), np.array([3.0, 1.0, 4.0, 9.0, 16.0])
    assert at_loss(losses, values, 1.0) == pytest.approx(1.0)
    assert at_loss(losses, values, math.sqrt(0.5)) == pytest.approx(2.0)
    assert np.isnan(at_loss(losses, values, 0.1))
    assert np.isnan(at_loss(losses, values, 2.5))


def test_the_peak_and_that_of_the_null_are_taken_over_the_same_late_records():
    steps = np.array([0.0, 50, 120, 140])
    course = {"step": steps, "loss": np.ones(4), "coherence": np.array([9.0, 8, 5, 6])}
    course |= {"sign_null": np.array([7.0, 1, 2, 1]), "pristine_part": np.array([0.6, 0.8, 0.4, 0.2])}
    found = coherence_numbers(course, [2.0], 20, 0.5)
    assert (found["peak"], found["null_peak"]) == (6, 2)
    assert (found["pristine_lead"], found["least_pristine_part"]) == (pytest.approx(0.1), 0.2)
    assert found["mean_coherence"] == pytest.approx((50 * 8.5 + 70 * 6.5 + 20 * 5.5) / 140)


def test_early_stopping_ends_where_validation_was_best_and_medians_also_after_as_many_gradients():
    steps = np.arange(0.0, 305, 5)
    course = dict.fromkeys(("accuracy", "clean_accuracy", "corrupted_accuracy", "test_accuracy"), steps / 1000)
    course |= {"step": steps, "loss": steps, "clean_loss": steps, "validation_accuracy": -np.abs(steps - 45)}
    assert ending(course, "early")["steps_done"] == 45
    assert ending(course, "early")["test_accuracy"] == pytest.approx(0.045)
    last, first = np.arange(205, 305, 5), np.arange(5, 105, 5)
    assert ending(course, "mean")["test_accuracy_equal"] == pytest.approx(last.mean() / 1000)
    assert ending(course, "m3")["test_accuracy"] == pytest.approx(last.mean() / 1000)
    assert ending(course, "m3")["test_accuracy_equal"] == pytest.approx(first.mean() / 1000)


def test_every_epoch_has_every_example_once():
    batches = minibatches(12, 4, np.random.default_rng(0))
    for _ in range(3):
        assert sorted(np.concatenate([next(batches) for _ in range(3)])) == list(range(12))


def test_only_winsorising_and_its_control_have_a_level():
    found = {
        name: canonical({"method": name, "per_cent": 4.0})["per_cent"] for name in ("mean", "normed", "early", "m3")
    }
    assert found == {"mean": 4.0, "normed": 4.0, "early": 0.0, "m3": 0.0}


@given(st.integers(0, 5000))
def test_a_thinned_course_keeps_its_ends(last):
    steps = np.arange(last + 1)
    kept = thinned(steps)
    assert kept[0] == 0
    assert kept[-1] == last
    assert len(kept) <= 100


SETTINGS = {"task": "memorisation", "method": "mean", "per_cent": 0.0, "permuted": 0.3, "learning_rate": 0.1}
SETTINGS |= {"batch_size": 20, "train_size": 200, "steps": 40}
ASKED = {
    "width": 20,
    "hidden_layers": 2,
    "record_every": 20,
    "matched_losses": [2.0],
    "target_loss": 2.2,
    "validation": 50,
}
ASKED |= {"layers": ["fc2"], "root_seed": 3}


@pytest.fixture(scope="module")
def split_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.safetensors"
    dataset = load("digits", path.parent)
    write_arrays(path, split_arrays(dataset, 1, {"start": 0, "count": 300}, {"start": 0, "count": 100}))
    return path


def outcomes(split_file, runs):
    job = Job("gradient_coherence", runs, ASKED, split_file)
    return {outcome.run.id: outcome for outcome in run(job)}


def many():
    methods = [("mean", 0.0), ("mean", 8.0), ("normed", 8.0), ("early", 0.0), ("m3", 0.0), ("rm3", 0.0)]
    settings = [{**SETTINGS, "method": method, "per_cent": level} for method, level in methods]
    coherence = {**SETTINGS, "task": "coherence", "steps": 140, "learning_rate": 0.5}
    settings += [{**coherence, "permuted": share} for share in (0.0, 1.0)]
    return [Run(one, seed) for one in settings for seed in (0, 1)]


def test_a_run_alone_equals_the_same_run_in_its_shard_to_the_bit(split_file):
    together = outcomes(split_file, many())
    assert len(together) == 16
    for one in many():
        alone = outcomes(split_file, [one])[one.id]
        assert alone.numbers == together[one.id].numbers
        for name, values in alone.arrays.items():
            np.testing.assert_array_equal(values, together[one.id].arrays[name])


def test_with_pytorch_the_same_network_is_trained(split_file):
    one = Run(SETTINGS, 0)
    job = Job("gradient_coherence", [one], ASKED, split_file)
    inputs, true = job.split.train(200)
    labels = torch.from_numpy(permuted_labels(true, 0.3, job.stream("labels", one)))
    starts = initial_weights([64, 20, 20, 10], job.stream("init", one))
    weights = [torch.from_numpy(matrix).requires_grad_() for matrix in starts]
    order = job.stream("order", one)

    def loss(x, y):
        for matrix in weights[:-1]:
            x = torch.relu(x @ matrix.T)
        return torch.nn.functional.cross_entropy(x @ weights[-1].T, y)

    images = torch.from_numpy(inputs)
    for _ in range(4):
        for batch in order.permutation(200).reshape(10, 20):
            gradients = torch.autograd.grad(loss(images[batch], labels[batch]), weights)
            with torch.no_grad():
                for matrix, gradient in zip(weights, gradients, strict=True):
                    matrix -= 0.1 * gradient
    course = next(iter(run(job))).arrays
    assert course["loss"][-1] == pytest.approx(loss(images, labels).item(), rel=1e-4)


def test_runs_of_coherence_end_when_all_is_learned(split_file):
    settings = {**SETTINGS, "task": "coherence", "permuted": 0.0, "steps": 3000, "learning_rate": 0.2}
    (found,) = outcomes(split_file, [Run(settings, 0)]).values()
    assert found.ended == "converged"
    assert found.numbers["accuracy"] == 1
    assert found.numbers["steps_done"] < 3000
    assert found.numbers["steps_done"] % 20 == 0


def test_determinants_are_measured_where_the_clean_loss_was_first_low_enough(split_file):
    (found,) = outcomes(split_file, [Run({**SETTINGS, "steps": 400, "learning_rate": 0.5}, 0)]).values()
    clean = found.arrays["clean_loss"]
    first = clean[np.flatnonzero(clean <= ASKED["target_loss"])[0]]
    assert found.numbers["train_loss"] == pytest.approx(first, rel=1e-5)
    assert found.numbers["gap"] == pytest.approx(found.numbers["test_loss"] - found.numbers["train_loss"])


def test_methods_are_compared_with_plain_training_of_the_same_labels_and_seed():
    head = {"config": "c", "dataset": "digits", "ended": "converged", "layer": "fc2", "target_loss": 0.3, "steps": 9}
    head |= {"learning_rate": 0.1, "batch_size": 20, "train_size": 200, **dict.fromkeys(MEASURES, 1.0)}
    arms = [("mean", 0.0, 0.0), ("mean", 0.0, 0.3), ("mean", 8.0, 0.3), ("normed", 4.0, 0.3), ("m3", 0.0, 0.3)]
    names = ("method", "per_cent", "permuted")
    rows = [
        {**head, **dict(zip(names, arm, strict=True)), "seed": seed, "run": f"{place}{seed}"}
        for place, arm in enumerate(arms)
        for seed in (0, 1)
    ]
    rows.append({**rows[-1], "run": "not analysed", "layer": np.nan, "seed": 2})
    found, columns = determinant_table({"runs": pd.DataFrame(rows)}, {"target_loss": 0.3})["determinants"]
    assert list(found[0]) == list(columns)
    assert {row["run"]: row["baseline"] for row in found} == {
        **{f"{place}{seed}": "" for place in (0, 1) for seed in (0, 1)},
        **{f"{place}{seed}": f"1{seed}" for place in (2, 3, 4) for seed in (0, 1)},
    }
    assert [row["method"] for row in found[::2]] == [
        "plain, right labels",
        "plain, wrong labels",
        "winsorised 8%",
        "plain, length of winsorised 4%",
        "median of 3",
    ]
