import hashlib
import logging
import random
import sys

import numpy as np
import pytest
import torch

from awduality.audit.science import _generated
from awduality.data import mnist1d
from awduality.data.sources import load
from awduality.data.splits import data_card, read_split, split_arrays
from awduality.errors import InputError
from awduality.files import write_arrays

POOL, TEST = {"start": 0, "count": 4000}, {"start": 0, "count": 1000}


@pytest.fixture(scope="module")
def dataset():
    return load("mnist1d", None)


@pytest.fixture(scope="module")
def templates():
    """The ten templates of the paper's table, as a signal would have them without padding, noise or shift."""
    from mnist1d.data import get_templates

    return get_templates()["x"]


def test_there_are_4000_training_and_1000_test_signals_of_40_values_in_ten_classes(dataset):
    assert (dataset.train_pixels.shape, dataset.test_pixels.shape) == ((4000, 40), (1000, 40))
    assert dataset.train_pixels.dtype == dataset.test_pixels.dtype == np.float32
    both = np.concatenate([dataset.train_labels, dataset.test_labels])
    assert np.bincount(both).tolist() == [500] * 10  # the generator makes as many of every class


def test_the_labels_which_no_processor_rounds_are_the_known_ones(dataset):
    for part in ("train_labels", "test_labels"):
        assert dataset.files[f"{mnist1d.GENERATOR} ({part})"] == mnist1d._KNOWN[part]


def test_values_have_mean_0_and_deviation_1_over_all_samples(dataset):
    both = np.concatenate([dataset.train_pixels, dataset.test_pixels]).astype(float)
    assert (both.mean(), both.std()) == pytest.approx((0, 1), abs=1e-6)


def test_every_class_is_made_of_its_own_template(dataset, templates):
    """A second way to the labels: the template that some shift and stretch of it fits best, far above guessing."""
    grid = np.linspace(0, 1, 72)
    padded = [np.pad(template, (0, length)) for template in templates for length in (36, 60)]
    stretched = [np.interp(grid, np.linspace(0, 1, len(one)), one) for one in padded]
    shifted = np.stack([np.interp(np.linspace(0, 1, 40), grid, np.roll(s, k)) for s in stretched for k in range(48)])
    shifted -= shifted.mean(1, keepdims=True)
    shifted /= np.linalg.norm(shifted, axis=1, keepdims=True)
    slope = np.linspace(-0.5, 0.5, 40)  # the signals are sheared
    signals = dataset.train_pixels[:500] - dataset.train_pixels[:500].mean(1, keepdims=True)
    signals = signals - np.outer(signals @ slope, slope) / (slope @ slope)
    found = np.abs(signals @ shifted.T).argmax(1) // (2 * 48)
    assert np.mean(found == dataset.train_labels[:500]) > 0.4


def test_making_it_leaves_every_global_generator_as_it_was():
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    wanted = [random.random(), np.random.rand(), torch.rand(()).item()]
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    load("mnist1d", None)
    assert [random.random(), np.random.rand(), torch.rand(()).item()] == wanted


def test_it_is_the_same_whatever_the_global_generators_were(dataset):
    random.seed(11)
    np.random.seed(11)
    assert np.array_equal(load("mnist1d", None).train_pixels, dataset.train_pixels)


def test_a_split_keeps_the_values_and_its_card_calls_them_so(dataset, tmp_path):
    arrays = split_arrays(dataset, 1, POOL, TEST)
    write_arrays(tmp_path / "split.safetensors", arrays)
    split = read_split(tmp_path / "split.safetensors")
    order = np.random.RandomState(1).permutation(4000)
    inputs, labels = split.train(7)
    assert inputs.dtype == np.float32
    assert np.array_equal(inputs, dataset.train_pixels[order[:7]])
    assert np.array_equal(labels, dataset.train_labels[order[:7]])
    assert np.array_equal(split.test_inputs, dataset.test_pixels)
    card = data_card(dataset, "mnist1d", 1, arrays)
    assert card["inputs"] == "values, float32"
    assert (card["features"], card["image_shape"]) == (40, [1, 1, 40])
    assert card["licence"] == "Apache-2.0"
    digest = hashlib.sha256(dataset.train_pixels.tobytes()).hexdigest()
    assert card["raw_files_sha256"]["mnist1d.data.make_dataset (train_values)"] == digest
    standardised = data_card(dataset, "mnist1d", 1, split_arrays(dataset, 1, POOL, TEST, standardised=True))
    assert standardised["inputs"].startswith("(values − ")


def test_other_values_than_the_known_ones_are_noted_on_the_card_and_not_refused(dataset, monkeypatch, caplog):
    monkeypatch.setitem(mnist1d._KNOWN, "test_values", "0" * 64)
    with caplog.at_level(logging.WARNING):
        made = load("mnist1d", None)
    assert not made.verified
    assert "(test_values)" in caplog.text
    assert "train_values" not in caplog.text
    card = data_card(made, "mnist1d", 1, split_arrays(made, 1, POOL, TEST))
    assert card["raw_files_compared_with_known_digests"] is False


def test_without_the_package_a_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(InputError, match=r"needs the package of this name.*pip install .*mnist1d"):
        load("mnist1d", None)


def test_the_audit_makes_it_again_and_warns_of_other_values(dataset, monkeypatch):
    assert list(_generated(dataset.files)) == []
    assert list(_generated({"sklearn.datasets.load_digits (pixels)": "0"})) == []
    name = "mnist1d.data.make_dataset (train_labels)"
    (warned,) = _generated({**dataset.files, name: "0" * 64})
    assert (warned.status, warned.file) == ("warning", name)
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    assert [found.status for found in _generated(dataset.files)] == ["not checked"]
