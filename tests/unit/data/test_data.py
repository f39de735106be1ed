import gzip
import hashlib
import shutil
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from awduality.data.counts import noisy_count
from awduality.data.idx import IDX_SOURCES
from awduality.data.label_noise import wrong_labels
from awduality.data.sources import load
from awduality.data.splits import data_card, read_split, split_arrays
from awduality.data.torchvision_import import torchvision_datasets
from awduality.errors import InputError
from awduality.files import read_arrays, write_arrays


def sparse_idx(folder, images, labels):
    """The four idx files of an MNIST-like dataset, blank but of the right size."""
    folder.mkdir(parents=True)
    for part, count in (("train", images), ("t10k", labels)):
        for kind, dims in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            header = bytes([0, 0, 8, len(dims)]) + b"".join(size.to_bytes(4, "big") for size in dims)
            with (folder / f"{part}-{kind}-ubyte").open("wb") as stream:
                stream.write(header)
                stream.truncate(len(header) + int(np.prod(dims)))


def test_the_digits_split_holds_out_the_last_500_of_the_permutation(digits):
    arrays = split_arrays(load("digits", None), 1, {"start": 0, "count": 1297}, {"start": 0, "count": 500})
    used = np.concatenate([arrays["pool_indices"], arrays["test_indices"]])
    assert sorted(used) == list(range(1797))
    assert np.array_equal(used, np.random.RandomState(1).permutation(1797))
    inputs, _ = digits.train(400)
    assert inputs.min() == 0
    assert inputs.max() == 1


@pytest.mark.parametrize("part", ["data", "target"])
def test_digits_other_than_the_known_ones_are_refused(monkeypatch, part):
    from sklearn import datasets

    altered = datasets.load_digits()
    altered[part] = altered[part].copy()
    altered[part][7] = 0
    monkeypatch.setattr(datasets, "load_digits", lambda: altered)
    with pytest.raises(InputError, match="are not those of the known dataset"):
        load("digits", None)


def test_pool_and_test_never_overlap(digits_file):
    arrays = read_arrays(digits_file)
    assert not set(arrays["pool_indices"]) & set(arrays["test_indices"])


@pytest.mark.parametrize("standardised", [False, True])
def test_only_the_samples_asked_for_become_inputs(tmp_path, standardised):
    arrays = split_arrays(
        load("digits", None), 1, {"start": 0, "count": 400}, {"start": 0, "count": 100}, standardised=standardised
    )
    write_arrays(tmp_path / "split.safetensors", arrays)
    split = read_split(tmp_path / "split.safetensors")
    assert split.pool_pixels.dtype == arrays["pool_pixels"].dtype == np.uint8
    mean, deviation = (np.float32(arrays.get(name, value)) for name, value in (("mean", 0), ("deviation", 1)))
    pool = (arrays["pool_pixels"].astype(np.float32) / np.float32(16) - mean) / deviation
    for size in (7, 400):
        inputs, labels = split.train(size)
        assert inputs.dtype == np.float32
        assert np.array_equal(inputs, pool[:size])
        assert np.array_equal(labels, arrays["pool_labels"][:size])
    if standardised:
        assert (pool.mean(), pool.std()) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize(
    ("pool", "test"),
    [((0, 1298), (0, 1)), ((-5, 10), (0, 1)), ((0, 0), (0, 1)), ((1000, 400), (0, 1)), ((0, 1), (0, 501))],
)
def test_asking_for_samples_that_are_not_there_is_refused(pool, test):
    wanted = [dict(zip(("start", "count"), part, strict=True)) for part in (pool, test)]
    with pytest.raises(InputError, match=r"data\.(pool|test): wanted samples .* this dataset has (1297|500)"):
        split_arrays(load("digits", None), 1, *wanted)


def test_samples_to_test_on_may_be_taken_from_the_training_samples_beside_the_pool():
    dataset = load("digits", None)
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 800}, {"of": "train", "start": 800, "count": 497})
    order = np.random.RandomState(1).permutation(1797)
    assert np.array_equal(arrays["test_indices"], order[800:1297])  # and not the 500 that are held out
    assert np.array_equal(arrays["test_pixels"], dataset.train_pixels[order[800:1297]])
    assert np.array_equal(arrays["test_labels"], dataset.train_labels[order[800:1297]])
    card = data_card(dataset, "digits", 1, arrays, of_train=True)
    assert card["test_order"] == "the training samples', permuted as they are"


@pytest.mark.parametrize(("pool", "test"), [((0, 900), (899, 10)), ((500, 100), (0, 501)), ((200, 50), (100, 300))])
def test_no_sample_is_both_trained_and_tested_on(pool, test):
    wanted = [dict(zip(("start", "count"), part, strict=True)) for part in (pool, test)]
    with pytest.raises(InputError, match=r"data\.test: samples .* are to test on, but data\.pool has"):
        split_arrays(load("digits", None), 1, wanted[0], {**wanted[1], "of": "train"})


def test_the_card_counts_the_classes_and_digests_the_arrays():
    dataset = load("digits", None)
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 1297}, {"start": 0, "count": 500})
    card = data_card(dataset, "digits", 1, arrays)
    assert sum(card["pool"]["class_counts"].values()) == 1297
    assert card["test"]["class_counts"]["3"] == int((arrays["test_labels"] == 3).sum())
    assert card["image_shape"] == [1, 8, 8]
    assert card["test_order"] == "the last 500 of the permutation"
    assert card["arrays_sha256"]["pool_pixels"] == hashlib.sha256(arrays["pool_pixels"].tobytes()).hexdigest()


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InputError, match="sources are digits, mnist1d, mnist, fashion_mnist"):
        load("cifar1000", tmp_path)


def test_absent_data_without_a_network_says_where_to_put_which_file(tmp_path, monkeypatch):
    mnist = torchvision_datasets().mnist

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(mnist, "download_and_extract_archive", offline)
    with pytest.raises(InputError) as caught:
        load("mnist", tmp_path)
    message = str(caught.value)
    assert f"{tmp_path}/MNIST/raw/" in message
    assert "train-images-idx3-ubyte" in message
    assert "AWDUALITY_DATA" in message
    assert message.count("Tried") == len(IDX_SOURCES["mnist"].mirrors) >= 2
    assert list(tmp_path.iterdir()) == []


def test_a_download_with_the_wrong_digest_is_not_kept(tmp_path, monkeypatch):
    mnist = torchvision_datasets().mnist

    def altered(url, download_root, filename, md5):
        Path(download_root).mkdir(parents=True, exist_ok=True)
        (Path(download_root) / filename).write_bytes(gzip.compress(b"something else"))
        (Path(download_root) / filename.removesuffix(".gz")).write_bytes(b"something else")

    monkeypatch.setattr(mnist, "download_and_extract_archive", altered)
    monkeypatch.setattr(mnist.MNIST, "_load_data", lambda self: (None, None))
    with pytest.raises(InputError, match=r"downloaded .*\.gz is not the official MNIST file"):
        load("mnist", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_named_with_both_sizes(tmp_path):
    sparse_idx(tmp_path / "MNIST/raw", 60_000, 10_000)
    with (tmp_path / "MNIST/raw/train-images-idx3-ubyte").open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte is truncated .*got 1,000 bytes, wanted 47,040,016"):
        load("mnist", tmp_path)


def test_an_altered_file_of_the_right_size_is_named_with_both_digests(tmp_path):
    sparse_idx(tmp_path / "MNIST/raw", 60_000, 10_000)
    with pytest.raises(InputError, match="not the official MNIST file: got SHA-256 .* wanted ba891046"):
        load("mnist", tmp_path)


def test_fashion_mnist_is_read_in_the_same_format_and_its_card_says_that_no_digest_was_known(tmp_path):
    sparse_idx(tmp_path / "FashionMNIST/raw", 60_000, 10_000)
    dataset = load("fashion_mnist", tmp_path)
    assert dataset.train_pixels.shape == (60_000, 784)
    assert not dataset.verified


@pytest.mark.mnist
def test_the_authors_mnist_subset_is_reproduced(mnist_root):
    dataset = load("mnist", mnist_root)
    assert dataset.verified
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 4000}, {"start": 0, "count": 1000})
    np.random.seed(1)
    assert np.array_equal(arrays["pool_indices"], np.random.permutation(60_000)[:4000])
    assert np.array_equal(arrays["test_indices"], np.arange(1000))
    assert np.array_equal(arrays["test_labels"][:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    assert arrays["pool_pixels"].shape == (4000, 784)


@pytest.mark.mnist
def test_a_copy_of_mnist_that_lost_its_tail_is_refused(mnist_root, tmp_path):
    shutil.copytree(mnist_root / "MNIST", tmp_path / "MNIST")
    path = tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte is truncated"):
        load("mnist", tmp_path)


def test_importing_torchvision_twice_gives_the_same_module():
    first = torchvision_datasets()
    assert first is torchvision_datasets()
    assert sys.modules["torchvision.datasets"] is first


@pytest.mark.parametrize(("level", "added"), [(0.0, 0), (0.091, 400), (0.13, 590), (0.167, 800), (0.2, 1000)])
def test_label_noise_gives_the_authors_totals_on_4000_clean_samples(level, added):
    assert noisy_count(4000, level) == added


def test_a_wrong_label_is_never_the_true_one(rng):
    labels = rng.integers(0, 10, 5000)
    noisy = wrong_labels(labels, 10, 1, 0)
    assert (noisy != labels).all()
    assert set(noisy) == set(range(10))


def test_noise_levels_are_nested_within_a_seed_and_differ_between_seeds(rng):
    labels = rng.integers(0, 10, 300)
    assert np.array_equal(wrong_labels(labels[:100], 10, 1, 0), wrong_labels(labels, 10, 1, 0)[:100])
    assert not np.array_equal(wrong_labels(labels, 10, 1, 0), wrong_labels(labels, 10, 1, 1))
