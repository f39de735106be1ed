"""MNIST-1D: signals of 40 values in ten classes, made by the generator of the package mnist1d; nothing is downloaded.

The generator computes in float64, by calls (logarithms, convolutions, sums) whose last bit may differ between
processors or versions. So other digests than the known ones are no fault of the data: they are noted, not refused.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from awduality.data.dataset import Dataset, noted
from awduality.errors import InputError

GENERATOR = "mnist1d.data.make_dataset"
"""How a record calls what was generated, with the part in brackets."""

_KNOWN = {  # SHA-256 of the arrays as bytes (float32; int64, little-endian), by the versions in constraints.txt
    "train_values": "d53506bddd12d3b72c7153b1ae7f34807724b1dd078a7273809bf9d0792319f6",
    "train_labels": "d97dc7aecec8ad6b5d8f143ba3e9c4bd7e25c420d7dfc2eb990591cfc0ed3e15",
    "test_values": "30addc43827c82aafa5db8bc97cea63349ca687e87db2f201cc4f5415d9a4ebd",
    "test_labels": "8de99be3ff9dab15ae0dc072c3d6ced7cf6b33d365888ce4a386fc944489452c",
}


def load_mnist1d() -> Dataset:
    """Make the dataset with the generator's own settings, its seed among them; a few seconds.

    Returns:
        4,000 training and 1,000 test signals of n = 40 values, float32, of mean 0 and standard deviation 1 over all.

    Raises:
        InputError: the package is not installed.
    """
    arrays = _generated()
    files = noted(GENERATOR, arrays)
    other = [name for name, known in zip(files, _KNOWN.values(), strict=True) if files[name] != known]
    if other:
        logging.getLogger(__name__).warning(
            "%s: not what the pinned versions made (%s); on another processor the last digits may differ, else install "
            "the versions in constraints.txt. The data card says so",
            GENERATOR,
            ", ".join(other),
        )
    return Dataset(
        title="MNIST-1D (as the package mnist1d generates it)",
        licence="Apache-2.0",
        citation="Greydanus & Kobak, Scaling down deep learning with MNIST-1D, arXiv 2011.14439 (2020)",
        classes=tuple("0123456789"),
        image_shape=(1, 1, 40),
        scale=1.0,
        train_pixels=arrays["train_values"],
        train_labels=arrays["train_labels"],
        test_pixels=arrays["test_values"],
        test_labels=arrays["test_labels"],
        sorted_test=False,
        held_out=0,
        files=files,
        verified=not other,
    )


def _generated() -> Mapping[str, np.ndarray]:
    """(N, 40) float32 values and (N,) int64 labels of both parts."""
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError as error:
        raise InputError(
            f"data.source mnist1d needs the package of this name, which is not there ({error}): install it with "
            "pip install --constraint constraints.txt mnist1d, or name another source"
        ) from error
    with _generators_kept():  # it seeds the global ones
        made: Mapping[str, Any] = make_dataset(get_dataset_args())
    return {
        "train_values": made["x"].astype("<f4"),
        "train_labels": made["y"].astype("<i8"),
        "test_values": made["x_test"].astype("<f4"),
        "test_labels": made["y_test"].astype("<i8"),
    }


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Leave the global random generators of Python and NumPy as they were."""
    ours, numpys = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)
