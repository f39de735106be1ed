"""Where datasets come from: scikit-learn's embedded digits, a generator, and what lies in the data root.

Files that lie in the data root are used as they are, after their digests have been checked where they are known. Files
of public datasets that are absent are downloaded through torchvision, and moved into the data root once they are whole
and checked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from awduality.data.cifar10 import load_cifar10
from awduality.data.dataset import Dataset, noted
from awduality.data.idx import IDX_SOURCES, load_idx
from awduality.data.image_folder import load_image_folder
from awduality.data.mnist1d import load_mnist1d
from awduality.errors import InputError

IMAGE_FOLDER = "image_folder"
SOURCES = ("digits", "mnist1d", *IDX_SOURCES, "cifar10", IMAGE_FOLDER)

_DIGITS = {  # SHA-256 of the arrays as bytes (uint8; int64, little-endian), scikit-learn 1.9.1
    "pixels": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "labels": "a3c91c262eddcf7ba8f0e37507c30284493c9b20412ffe4af30d536401f7ba21",
}


def load(source: str, root: Path, folder: str | None = None) -> Dataset:
    """Load a dataset; a public one is downloaded into the data root where it is absent.

    Args:
        source: one of ``SOURCES``.
        root: the data root; not used for ``digits`` and ``mnist1d``.
        folder: for ``image_folder``, the folder or tar file within the data root; None for the others.

    Raises:
        InputError: an unknown source; a file that is truncated or altered; absent data that cannot be downloaded;
            images that cannot be used; a folder that is missing, or given where none is read; a package that is not
            installed.
    """
    if source not in SOURCES:
        raise InputError(f"unknown data source {source!r}: the sources are {', '.join(SOURCES)}")
    if (source == IMAGE_FOLDER) != (folder is not None):
        wanted = "a folder or .tar file in the data root" if source == IMAGE_FOLDER else "none"
        raise InputError(f"data.folder: got {folder or 'none'}, wanted {wanted}, since data.source is {source}")
    if folder is not None:
        return load_image_folder(root, folder)
    if source == "mnist1d":
        return load_mnist1d()
    if source == "cifar10":
        return load_cifar10(root)
    return load_idx(IDX_SOURCES[source], root) if source in IDX_SOURCES else _load_digits()


def _load_digits() -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels, labels = digits.data.astype(np.uint8), digits.target.astype(np.int64)
    files = noted("sklearn.datasets.load_digits", {"pixels": pixels, "labels": labels})
    for (name, digest), known in zip(files.items(), _DIGITS.values(), strict=True):
        if digest != known:
            raise InputError(
                f"{name} are not those of the known dataset: got SHA-256 {digest}, wanted {known}. Install "
                "scikit-learn anew, at the version in constraints.txt"
            )
    return Dataset(
        title="Optical recognition of handwritten digits (the copy embedded in scikit-learn)",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998)",
        classes=tuple("0123456789"),
        image_shape=(1, 8, 8),
        scale=16.0,
        train_pixels=pixels,
        train_labels=labels,
        test_pixels=None,
        test_labels=None,
        sorted_test=False,
        held_out=500,
        files=files,
        verified=True,
    )
