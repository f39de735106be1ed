"""The part of a dataset that a config uses, the same on every machine, and the card that describes it.

The order of the training samples is that of ``numpy.random.RandomState(seed).permutation``; with seed 1 and MNIST its
first 4,000 samples are the authors' subset. A dataset without a test set of its own gives up the last samples of that
order. Test samples keep their own order, except where they come class by class: then they are permuted likewise, since
the first of them would be of one class. They may also be taken from the permuted training samples, beside the pool.

Runs of all seeds train on the same samples, unless a config asks for another subset of the pool for every seed. An
interval over seeds then covers the choice of training samples too; those of the test are the same for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from awduality.data.dataset import Dataset
from awduality.data.parts import check_apart, of_training
from awduality.errors import InputError
from awduality.files import read_arrays
from awduality.streams import stream


@dataclass(frozen=True)
class Scaling:
    """From pixels to inputs: (pixels / scale − mean) / deviation, float32. By default values stay as they are."""

    scale: float = 1.0
    mean: float = 0.0
    deviation: float = 1.0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """The inputs: images in [0, 1] or standardised, signals as they are or standardised."""
        inputs = pixels.astype(np.float32)
        inputs /= np.float32(self.scale)
        inputs -= np.float32(self.mean)
        inputs /= np.float32(self.deviation)
        return inputs


@dataclass(frozen=True)
class Split:
    """Samples and their labels. The pool stays pixels: it may be many times what a run uses of it."""

    pool_pixels: np.ndarray  # (P, n)
    pool_labels: np.ndarray  # (P,) int64
    test_inputs: np.ndarray  # (T, n) float32
    test_labels: np.ndarray  # (T,) int64
    classes: int
    scaling: Scaling = Scaling()  # of the pool
    per_seed: bool = False  # whether every seed trains on samples of its own; see ``of_seed``

    @property
    def features(self) -> int:
        """The number of inputs, n."""
        return int(self.pool_pixels.shape[1])

    @property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """The test samples and their labels."""
        return self.test_inputs, self.test_labels

    def of_seed(self, root_seed: int, seed: int) -> Split:
        """What runs of one seed index see: the pool in an order of their own, where every seed has one, or as it is.

        The order is a permutation by the stream ``subset`` of the seed, so that training sets are nested within it.
        """
        if not self.per_seed:
            return self
        order = stream(root_seed, "subset", seed).permutation(len(self.pool_labels))
        return replace(self, pool_pixels=self.pool_pixels[order], pool_labels=self.pool_labels[order], per_seed=False)

    def train(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The first ``size`` samples of the pool: the clean training set of a run of this training size."""
        if self.per_seed:
            raise ValueError("every seed trains on samples of its own: ask of_seed for its split first")
        return self.scaling(self.pool_pixels[:size]), self.pool_labels[:size]


def split_arrays(
    dataset: Dataset,
    permutation_seed: int,
    pool: Mapping[str, int],
    test: Mapping[str, Any],
    standardised: bool = False,
    subset_per_seed: bool = False,
) -> dict[str, np.ndarray]:
    """Choose the pool and the test samples.

    Args:
        dataset: the whole dataset.
        permutation_seed: seed of the permutation of the training samples.
        pool: ``start`` and ``count`` of the pool within the permuted training samples.
        test: ``start`` and ``count`` of the test samples; ``of``: those of the dataset's test set, ``"test"``, as by
            default, or of the permuted training samples, ``"train"``, where they must lie beside the pool.
        standardised: whether inputs shall have mean 0 and standard deviation 1 over all pixels of the pool.
        subset_per_seed: whether every seed shall train on samples of its own; see ``Split.of_seed``.

    Returns: The arrays that are written to the split's file: ``pool_pixels``, ``pool_labels``, ``pool_indices``
        (positions in the dataset), the same for ``test``, ``scale`` and ``classes``; where inputs are standardised also
        ``mean`` and ``deviation``, of pixels / scale; where every seed has its own samples ``subset_per_seed``, 1.

    Raises:
        InputError: more samples are asked for than there are, or some both to train on and to test on.
    """
    order = np.random.RandomState(permutation_seed).permutation(len(dataset.train_labels))
    test_pixels, test_labels = dataset.train_pixels, dataset.train_labels
    if dataset.test_pixels is None:
        order, test_order = order[: -dataset.held_out], order[-dataset.held_out :]
    if of_training(test):
        check_apart(pool, test)
        test_order = order
    elif dataset.test_pixels is not None and dataset.test_labels is not None:
        test_pixels, test_labels = dataset.test_pixels, dataset.test_labels
        test_order = np.arange(len(test_labels))
        if dataset.sorted_test:
            test_order = np.random.RandomState(permutation_seed).permutation(len(test_labels))
    pool_indices, test_indices = _part("data.pool", pool, order), _part("data.test", test, test_order)
    arrays = {
        "pool_pixels": dataset.train_pixels[pool_indices],
        "pool_labels": dataset.train_labels[pool_indices],
        "pool_indices": pool_indices,
        "test_pixels": test_pixels[test_indices],
        "test_labels": test_labels[test_indices],
        "test_indices": test_indices,
        "scale": np.array(dataset.scale),
        "classes": np.array(len(dataset.classes)),
    }
    if standardised:
        pixels = arrays["pool_pixels"]
        arrays |= {"mean": np.mean(pixels) / dataset.scale, "deviation": np.std(pixels) / dataset.scale}
    if subset_per_seed:
        arrays["subset_per_seed"] = np.array(1)
    return arrays


def _part(key: str, wanted: Mapping[str, int], order: np.ndarray) -> np.ndarray:
    start, stop = wanted["start"], wanted["start"] + wanted["count"]
    if start < 0 or stop <= start or stop > len(order):
        raise InputError(
            f"{key}: wanted samples {start} to {stop - 1}, but this dataset has {len(order)} of them; "
            f"lower {key}.start or {key}.count"
        )
    return order[start:stop]


def check_classes(arrays: Mapping[str, np.ndarray], smallest_train_size: int) -> None:
    """Samples are paired within their class: refuse a class that lacks partners, before hours of training.

    Raises:
        InputError: a class of the test samples is absent from the smallest training set, or the other way round.
    """
    train = set(arrays["pool_labels"][:smallest_train_size].tolist())
    test = set(arrays["test_labels"].tolist())
    if train != test:
        raise InputError(
            f"classes {sorted(train ^ test)} are in only one of the smallest training set ({smallest_train_size} "
            f"samples) and the test set ({len(arrays['test_labels'])} samples), so that they cannot be paired: raise "
            "data.test.count or the smallest train_size"
        )


def data_card(
    dataset: Dataset, source: str, permutation_seed: int, arrays: Mapping[str, np.ndarray], of_train: bool = False
) -> dict[str, Any]:
    """What a reader must know of the split: source, licence, digests, counts, classes."""

    def counts(labels: np.ndarray) -> dict[str, int]:
        found = np.bincount(labels, minlength=len(dataset.classes))
        return dict(zip(dataset.classes, (int(count) for count in found), strict=True))

    values = "values" if dataset.scale == 1 else f"pixels / {dataset.scale:g}"
    inputs = f"{values}, float32"
    if "mean" in arrays:
        inputs = f"({values} − {arrays['mean']:.6f}) / {arrays['deviation']:.6f}, float32"
    test_order = "the dataset's own"
    if of_train:
        test_order = "the training samples', permuted as they are"
    elif dataset.test_labels is None:
        test_order = f"the last {dataset.held_out} of the permutation"
    elif dataset.sorted_test:
        test_order = f"numpy.random.RandomState({permutation_seed}).permutation({len(dataset.test_labels)})"

    subsets = {"subsets": "of every seed: the pool permuted by its random stream subset"}
    return {
        "source": source,
        "title": dataset.title,
        "licence": dataset.licence,
        "citation": dataset.citation,
        "inputs": inputs,
        "features": int(arrays["pool_pixels"].shape[1]),
        "image_shape": list(dataset.image_shape),
        "image_axes": "channel, row, column: features run through the columns first, through the channels last",
        "raw_files_sha256": dict(dataset.files),
        "raw_files_compared_with_known_digests": dataset.verified,
        "permutation": f"numpy.random.RandomState({permutation_seed}).permutation({len(dataset.train_labels)})",
        "test_order": test_order,
        **(subsets if "subset_per_seed" in arrays else {}),
        "pool": {"count": len(arrays["pool_labels"]), "class_counts": counts(arrays["pool_labels"])},
        "test": {"count": len(arrays["test_labels"]), "class_counts": counts(arrays["test_labels"])},
        "arrays_sha256": {
            name: hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            for name, array in sorted(arrays.items())
        },
    }


def read_split(path: Path) -> Split:
    """Read a split that ``split_arrays`` described and ``prepare_data`` wrote."""
    arrays = read_arrays(path)
    scaling = Scaling(**{name: float(arrays[name]) for name in ("scale", "mean", "deviation") if name in arrays})
    return Split(
        pool_pixels=arrays["pool_pixels"],
        pool_labels=arrays["pool_labels"],
        test_inputs=scaling(arrays["test_pixels"]),
        test_labels=arrays["test_labels"],
        classes=int(arrays["classes"]),
        scaling=scaling,
        per_seed="subset_per_seed" in arrays,
    )
