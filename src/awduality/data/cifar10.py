"""CIFAR-10 as torchvision reads it: pickled batches in the data root, checked before any is unpickled.

Unpickling runs what the file says. So every file is compared with the digest that torchvision knows of it, and none is
opened unless all are the official ones. Those digests are MD5, the only ones published with the dataset.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from awduality.data.dataset import Dataset
from awduality.data.download import download
from awduality.data.torchvision_import import torchvision_datasets
from awduality.errors import InputError
from awduality.files import reading, sha256

TITLE = "CIFAR-10"
CITATION = "Krizhevsky, Learning multiple layers of features from tiny images, technical report (2009)"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def load_cifar10(root: Path) -> Dataset:
    """Load CIFAR-10, downloading it into the data root where a file is absent.

    Returns:
        50,000 training and 10,000 test images; n = 3,072 pixels each, in the order (channel, row, column).

    Raises:
        InputError: a file that is not the official one; absent files that cannot be downloaded.
    """
    reader: Any = torchvision_datasets().CIFAR10
    folder, known = root / reader.base_folder, _known_digests(reader)
    if not all((folder / name).exists() for name in known):
        _download(reader, root, folder, known)
    for name, wanted in known.items():
        _check(folder / name, wanted)
    files = {name: sha256(reading(folder / name)) for name in known}
    (train_pixels, train_labels), (test_pixels, test_labels) = (_read(reader, root, part) for part in (True, False))
    return Dataset(
        title=TITLE,
        licence="none stated upstream",
        citation=CITATION,
        classes=CLASSES,
        image_shape=(3, 32, 32),
        scale=255.0,
        train_pixels=train_pixels,
        train_labels=train_labels,
        test_pixels=test_pixels,
        test_labels=test_labels,
        sorted_test=False,
        held_out=0,
        files=files,
        verified=True,
    )


def _known_digests(reader: Any) -> dict[str, str]:
    """File name → MD5 of everything that torchvision's class unpickles."""
    return dict([*reader.train_list, *reader.test_list, (reader.meta["filename"], reader.meta["md5"])])


def _read(reader: Any, root: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """(N, n) uint8 pixels, channels first, and (N,) int64 labels of one part; torchvision puts the channels last."""
    data = reader(root, train=train, download=False)
    pixels = np.ascontiguousarray(data.data.transpose(0, 3, 1, 2)).reshape(len(data.data), -1)
    return pixels, np.array(data.targets, dtype=np.int64)


def _check(path: Path, wanted: str) -> None:
    if (digest := _md5(path)) != wanted:
        raise InputError(
            f"{path} is not the official {TITLE} file, and was not opened: got MD5 {digest}, wanted {wanted}. "
            "Delete it and run again (it is downloaded anew), or put an intact copy in its place."
        )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(reader: Any, root: Path, folder: Path, known: Mapping[str, str]) -> None:
    """Fetch the archive, check it before it is unpacked, and put what is absent into the data root."""

    def fetch(temporary: Path) -> Path:
        utils, archive = torchvision_datasets().utils, temporary / reader.filename
        utils.download_url(reader.url, str(temporary), reader.filename)
        if (digest := _md5(archive)) != reader.tgz_md5:
            raise InputError(
                f"the downloaded {archive.name} is not the official {TITLE} archive: got MD5 {digest}, wanted "
                f"{reader.tgz_md5}. Nothing was kept; try again later, or put the files into {folder}/ by hand."
            )
        utils.extract_archive(str(archive), str(temporary))
        fetched = temporary / str(reader.base_folder)
        for name, wanted in known.items():
            _check(fetched / name, wanted)
        return fetched

    by_hand = (
        f"Put {', '.join(known)} into {folder}/ ({reader.filename}, unpacked in {root}/, gives them), or name the "
        f"folder that holds {reader.base_folder}/ in the environment variable AWDUALITY_DATA."
    )
    download(TITLE, root, folder, tuple(known), fetch, by_hand)
