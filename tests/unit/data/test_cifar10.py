"""CIFAR-10 from batches made up here, since the official ones cannot be downloaded where tests run."""

import hashlib
import os
import pickle
import shutil
import tarfile
from urllib.error import URLError

import numpy as np
import pytest

from awduality.data.cifar10 import CLASSES
from awduality.data.sources import load
from awduality.data.splits import data_card, split_arrays
from awduality.data.torchvision_import import torchvision_datasets
from awduality.errors import InputError
from awduality.ledger import kept

FOLDER = "cifar-10-batches-py"
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def reader(monkeypatch):
    """Torchvision's class, whose known digests a test may change."""
    reader = torchvision_datasets().CIFAR10
    for name in ("train_list", "test_list", "meta", "tgz_md5"):
        monkeypatch.setattr(reader, name, getattr(reader, name))
    return reader


@pytest.fixture
def batches(tmp_path, rng, reader):
    """Pixels and labels of small batches in a data root, which torchvision's class takes for the official ones."""
    folder = tmp_path / "root" / FOLDER
    folder.mkdir(parents=True)
    made = {}
    for name in NAMES[:-1]:
        made[name] = (rng.integers(0, 256, (20, 3072), dtype=np.uint8), rng.permutation(20) % 10)
        content = {"data": made[name][0], "labels": made[name][1].tolist()}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CLASSES)}))
    reader.train_list = [[name, md5(folder / name)] for name in NAMES[:5]]
    reader.test_list = [["test_batch", md5(folder / "test_batch")]]
    reader.meta = {**reader.meta, "md5": md5(folder / "batches.meta")}
    return made


@pytest.fixture
def data_root(tmp_path, batches):
    return tmp_path / "root"


def test_the_pixels_are_those_of_the_batches_channel_by_channel_and_in_their_order(data_root, batches):
    dataset = load("cifar10", data_root)
    assert np.array_equal(dataset.train_pixels, np.concatenate([batches[name][0] for name in NAMES[:5]]))
    assert np.array_equal(dataset.train_labels, np.concatenate([batches[name][1] for name in NAMES[:5]]))
    assert np.array_equal(dataset.test_pixels, batches["test_batch"][0])
    assert np.array_equal(dataset.test_labels, batches["test_batch"][1])
    assert (dataset.train_pixels.dtype, dataset.train_labels.dtype) == (np.uint8, np.int64)
    assert dataset.verified


def test_a_row_of_pixels_in_the_shape_of_the_card_is_the_image_that_torchvision_shows(data_root, reader):
    dataset = load("cifar10", data_root)
    image, label = reader(data_root, train=False)[7]
    assert np.array_equal(dataset.test_pixels[7].reshape(dataset.image_shape).transpose(1, 2, 0), np.asarray(image))
    assert dataset.test_labels[7] == label


def test_the_card_has_the_shape_and_the_sha256_of_every_raw_file_and_the_ledger_too(data_root):
    with kept() as ledger:
        dataset = load("cifar10", data_root)
    arrays = split_arrays(dataset, 1, {"start": 0, "count": 90}, {"start": 0, "count": 20})
    card = data_card(dataset, "cifar10", 1, arrays)
    assert (card["image_shape"], card["features"]) == ([3, 32, 32], 3072)
    assert card["test_order"] == "the dataset's own"
    wanted = {name: hashlib.sha256((data_root / FOLDER / name).read_bytes()).hexdigest() for name in NAMES}
    assert card["raw_files_sha256"] == wanted
    assert {path.name: entry.sha256 for path, entry in ledger.inputs.items()} == wanted


class Trap:
    """Pickled, it makes a folder as soon as somebody opens it."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_unpickled_unless_all_have_the_known_digests(data_root, tmp_path, name):
    for other in NAMES if name == NAMES[-1] else [name]:
        (data_root / FOLDER / other).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(InputError, match=r"is not the official CIFAR-10 file, and was not opened: got MD5 \w+, wanted"):
        load("cifar10", data_root)
    assert not (tmp_path / "sprung").exists()


def test_the_trap_springs_where_its_digest_is_trusted(data_root, tmp_path, reader):
    path = data_root / FOLDER / "test_batch"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    reader.test_list = [["test_batch", md5(path)]]
    with pytest.raises(TypeError):
        load("cifar10", data_root)
    assert (tmp_path / "sprung").exists()


def test_the_known_digests_are_those_of_the_published_archive(reader):
    assert reader.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    assert [name for name, _ in (*reader.train_list, *reader.test_list)] == NAMES[:-1]


@pytest.fixture
def served(data_root, tmp_path, reader, monkeypatch):
    """An archive of the batches, which a faked download gives; the batches themselves are gone."""
    archive = tmp_path / "served.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(data_root / FOLDER, FOLDER)
    shutil.rmtree(data_root)
    reader.tgz_md5 = md5(archive)
    fake = lambda url, folder, filename: shutil.copy(archive, os.path.join(folder, filename))  # noqa: E731, PTH118
    monkeypatch.setattr(torchvision_datasets().utils, "download_url", fake)
    return archive


def test_absent_batches_are_downloaded_and_only_they_are_kept(served, data_root, batches):
    dataset = load("cifar10", data_root)
    assert np.array_equal(dataset.test_pixels, batches["test_batch"][0])
    assert [path.name for path in data_root.iterdir()] == [FOLDER]
    assert sorted(path.name for path in (data_root / FOLDER).iterdir()) == sorted(NAMES)


def test_a_file_that_is_there_is_not_replaced_by_a_download(served, data_root):
    load("cifar10", data_root)
    (data_root / FOLDER / "data_batch_2").unlink()
    kept_file = data_root / FOLDER / "data_batch_1"
    before = kept_file.stat().st_ino
    load("cifar10", data_root)
    assert kept_file.stat().st_ino == before


def test_a_downloaded_archive_with_another_digest_is_neither_unpacked_nor_kept(served, data_root, reader):
    reader.tgz_md5 = "0" * 32
    with pytest.raises(InputError, match=r"downloaded cifar-10-python.tar.gz is not the official .* wanted 0{32}"):
        load("cifar10", data_root)
    assert list(data_root.iterdir()) == []


def test_a_downloaded_batch_with_another_digest_is_not_kept(served, data_root, reader):
    reader.test_list = [["test_batch", "0" * 32]]
    with pytest.raises(InputError, match=r"test_batch is not the official CIFAR-10 file"):
        load("cifar10", data_root)
    assert list(data_root.iterdir()) == []


def test_without_a_network_the_message_says_where_to_put_which_file(tmp_path, monkeypatch):
    def offline(*arguments):
        raise URLError("no network")

    monkeypatch.setattr(torchvision_datasets().utils, "download_url", offline)
    with pytest.raises(InputError) as caught:
        load("cifar10", tmp_path)
    for part in ("could not be downloaded", "no network", f"{tmp_path}/{FOLDER}/", *NAMES, "AWDUALITY_DATA"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []
