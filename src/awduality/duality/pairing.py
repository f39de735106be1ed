"""Which test sample is compared with which training sample.

Authors' code: each test sample with the training sample of its own class that is nearest in input space (Euclidean, raw
pixels). A secondary source pairs the other way round; both are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from awduality.duality.nearest import nearest
from awduality.errors import InputError
from awduality.probe import Array

Pairing = Literal["test_to_train", "train_to_test"]


@dataclass(frozen=True)
class Pairs:
    """P pairs of a training and a test sample, as positions in the two sets."""

    train: Tensor  # (P,) int64
    test: Tensor  # (P,) int64

    def __len__(self) -> int:
        return len(self.train)


def nearest_pairs(train: tuple[Array, Array], test: tuple[Array, Array], pairing: Pairing = "test_to_train") -> Pairs:
    """Pair every sample of one set with the nearest of its class in the other.

    Args:
        train: training inputs (N, …) and integer labels (N,).
        test: test inputs (T, …) and labels (T,).
        pairing: ``test_to_train`` gives T pairs, ``train_to_test`` gives N.

    Returns:
        The pairs, in the order of the set that is given partners. Ties go to the first candidate.

    Raises:
        InputError: a class of the one set has no sample in the other, or labels are not class indices.
    """
    if pairing == "train_to_test":
        reverse = nearest_pairs(test, train)
        return Pairs(train=reverse.test, test=reverse.train)
    if pairing != "test_to_train":
        raise InputError(f"unknown pairing {pairing!r}: wanted {' or '.join(get_args(Pairing))}")
    inputs, labels = _flat(train)
    queries, query_labels = _flat(test)
    if inputs.shape[1] != queries.shape[1]:
        raise InputError(
            f"training inputs have {inputs.shape[1]} features each, test inputs {queries.shape[1]}: wanted equal"
        )
    found = torch.empty(len(queries), dtype=torch.long)
    for label in query_labels.unique().tolist():
        candidates = (labels == label).nonzero()[:, 0]
        members = (query_labels == label).nonzero()[:, 0]
        if len(candidates) == 0:
            raise InputError(
                f"class {label} has {len(members)} samples in one set and none in the other, so they have no partner: "
                "add samples of this class or leave it out of both"
            )
        found[members] = candidates[nearest(queries[members], inputs[candidates])]
    return Pairs(train=found, test=torch.arange(len(queries)))


def _flat(samples: tuple[Array, Array]) -> tuple[Tensor, Tensor]:
    inputs, labels = (torch.as_tensor(array).cpu() for array in samples)
    if labels.is_floating_point() or labels.ndim != 1:
        raise InputError(
            "samples are paired within their class, so targets must be integer labels of shape (N,): got "
            f"{labels.dtype} of shape {tuple(labels.shape)}; pass pairs= to pair them yourself"
        )
    if len(inputs) != len(labels):
        raise InputError(f"wanted as many labels as inputs: got {len(inputs)} inputs, {len(labels)} labels")
    return inputs.double().flatten(1), labels
