"""A training subset of its own for every seed: the run is that on a split permuted by hand, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from awduality.data.sources import load
from awduality.data.splits import data_card, read_split, split_arrays
from awduality.duality.analysis import Analysis
from awduality.duality.controls import controls
from awduality.files import write_arrays
from awduality.streams import stream
from awduality.training.loop import train
from awduality.training.run import Training
from studies.sweeps.study import expand
from tests.settings import AUTHORS

CPU, ROOT_SEED = torch.device("cpu"), 7
DEFAULTS = {**AUTHORS, "batch_size": 10, "train_size": 100, "width": 12}
FULLY_CONNECTED = Training(
    hidden_layers=2, root_seed=ROOT_SEED, target_loss=0.5, target_accuracy=0.5, max_steps=60, weight_decay_epochs=4
)
CONVOLUTIONAL = replace(FULLY_CONNECTED, hidden_layers=1, convolutions=[4])
PARTS = 1, {"start": 0, "count": 400}, {"start": 0, "count": 100}


@pytest.fixture(scope="module")
def own(digits):
    """The split of which every seed has its own training samples."""
    return replace(digits, per_seed=True)


def permuted_by_hand(digits, seed):
    order = stream(ROOT_SEED, "subset", seed).permutation(400)
    return replace(digits, pool_pixels=digits.pool_pixels[order], pool_labels=digits.pool_labels[order])


def same(one, other):
    assert (one.stop_reason, one.steps) == (other.stop_reason, other.steps)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights, other.weights, strict=True))
    assert all(np.array_equal(one.history[name], other.history[name]) for name in one.history)


@pytest.mark.parametrize("training", [FULLY_CONNECTED, CONVOLUTIONAL], ids=["stacked", "convolutional"])
def test_a_run_equals_one_on_a_split_permuted_by_hand_to_the_bit(digits, own, training):
    runs = [*expand(DEFAULTS, "learning_rate", [0.1, 0.2], [0, 3]), *expand(DEFAULTS, "label_noise", [0.2], [0, 3])]
    for run, solution in zip(runs, train(runs, own, training, CPU), strict=True):
        (by_hand,) = train([run], permuted_by_hand(digits, run.seed), training, CPU)
        same(solution, by_hand)


def test_runs_of_a_seed_share_their_samples_and_runs_of_two_seeds_do_not(own):
    (one, _), (again, _), (other, _) = (own.of_seed(ROOT_SEED, seed).train(100) for seed in (2, 2, 3))
    assert np.array_equal(one, again)
    shared = {row.tobytes() for row in one} & {row.tobytes() for row in other}
    assert len(shared) < 60  # 25 of 100 are expected in both
    assert np.array_equal(own.of_seed(ROOT_SEED, 2).train(40)[0], one[:40])  # smaller training sets are part of larger


def test_every_sample_of_the_pool_is_in_the_order_of_a_seed_once_with_its_label(digits, own):
    wanted = sorted((*row, label) for row, label in zip(digits.pool_pixels, digits.pool_labels, strict=True))
    split = own.of_seed(ROOT_SEED, 5)
    assert sorted((*row, label) for row, label in zip(split.pool_pixels, split.pool_labels, strict=True)) == wanted
    assert np.array_equal(split.test_inputs, own.test_inputs)


def test_without_the_option_a_split_is_the_same_for_all_seeds(digits):
    assert digits.of_seed(ROOT_SEED, 0) is digits.of_seed(ROOT_SEED, 9) is digits


def test_samples_cannot_be_asked_for_before_a_seed_is_named(own):
    with pytest.raises(ValueError, match="ask of_seed for its split first"):
        own.train(10)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_analysis_of_a_network_is_that_on_the_samples_of_its_seed_to_the_bit(digits, own, seed):
    rng = np.random.default_rng(seed)
    weights = {f"fc{place}": rng.normal(size=shape) for place, shape in enumerate([(8, 64), (8, 8), (10, 8)], start=1)}
    here, there = (
        Analysis(split, ["fc2"], ["test_to_train", "train_to_test"], 10, root_seed=ROOT_SEED, shuffles=2)
        for split in (own, permuted_by_hand(digits, seed))
    )
    here.network("other", 8, weights, 100)  # of another seed: its samples and pairs must not serve for this one
    asked = "abc", seed, weights, 100
    for analysed in (lambda analysis: analysis.network(*asked), lambda analysis: controls(analysis, *asked, 1)):
        (rows, arrays), (wanted_rows, wanted) = analysed(here), analysed(there)
        assert [list(row.items()) for row in rows] == [list(row.items()) for row in wanted_rows]
        assert arrays.keys() == wanted.keys()
        assert all(np.array_equal(arrays[name], wanted[name]) for name in arrays)


def test_the_split_says_so_in_its_file_and_on_its_card_and_else_stays_as_it_was(tmp_path):
    dataset = load("digits", None)
    shared, own = (split_arrays(dataset, *PARTS, subset_per_seed=asked) for asked in (False, True))
    assert own.keys() - shared.keys() == {"subset_per_seed"}
    assert all(np.array_equal(shared[name], own[name]) for name in shared)
    for arrays, wanted in ((shared, False), (own, True)):
        write_arrays(tmp_path / "split.safetensors", arrays)
        assert read_split(tmp_path / "split.safetensors").per_seed is wanted
        assert ("subsets" in data_card(dataset, "digits", 1, arrays)) is wanted
