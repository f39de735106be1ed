"""Which test sample is compared with which training sample.

Authors' code: each test sample with the training sample of its own class that is nearest in input space (Euclidean, raw
pixels). A secondary source pairs the other way round; both are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from awduality.arguments import number, shown
from awduality.duality.nearest import nearest
from awduality.errors import InputError
from awduality.nested import tensors
from awduality.probe import Samples
from awduality.samples import Brought, gathered
from awduality.values import Value

Pairing = Literal["test_to_train", "train_to_test"]

_CHUNK = 512  # queries whose targets are compared with all candidates' at once


@dataclass(frozen=True, eq=False, repr=False)
class Pairs(Value):
    """P pairs of a training and a test sample, as positions in the two sets."""

    train: Tensor  # (P,) int64
    test: Tensor  # (P,) int64

    def __len__(self) -> int:
        return len(self.train)


def nearest_pairs(train: Brought, test: Brought, pairing: Pairing = "test_to_train", tolerance: float = 0.0) -> Pairs:
    """Pair every sample of one set with the nearest of equal target in the other, by exact distances.

    Args:
        train: training inputs (N, …) and targets (N, …): arrays, a ``Dataset`` or a ``DataLoader``. Several inputs are
            compared by all their numbers together.
        test: test inputs (T, …) and targets (T, …).
        pairing: ``test_to_train`` gives T pairs, ``train_to_test`` gives N.
        tolerance: by how much targets of a pair may differ (each component), for targets that are no classes.

    Returns:
        The pairs, in the order of the set that is given partners. Ties go to the first candidate.

    Raises:
        InputError: a target of the one set has no equal in the other, or samples cannot be used.
    """
    if pairing not in get_args(Pairing):
        raise InputError(f"unknown pairing {pairing!r}: wanted {' or '.join(get_args(Pairing))}")
    if number("tolerance", tolerance) < 0:
        raise InputError(f"tolerance must not be negative: got {tolerance}")
    ours, theirs = gathered(train, "train"), gathered(test, "test")
    if pairing == "train_to_test":
        reverse = nearest_pairs(theirs, ours, tolerance=tolerance)
        return Pairs(train=reverse.test, test=reverse.train)
    inputs, queries = _flat(ours), _flat(theirs)
    if inputs.shape[1] != queries.shape[1]:
        raise InputError(
            f"training inputs have {inputs.shape[1]} features each, test inputs {queries.shape[1]}: wanted equal"
        )
    targets, wanted = ours.targets.cpu(), theirs.targets.cpu()
    if targets.shape[1:] != wanted.shape[1:]:
        raise InputError(
            f"train has targets of shape {tuple(targets.shape)}, test of {tuple(wanted.shape)}: wanted alike"
        )
    if not tolerance:
        found = torch.empty(len(queries), dtype=torch.long)
        for members, candidates in _of_equal_targets(targets, wanted):
            found[members] = candidates[nearest(queries[members], inputs[candidates])]
    elif targets.is_floating_point():
        found = _within(tolerance, targets, wanted, inputs, queries)
    else:
        raise InputError(f"tolerance is for float targets: got {tolerance} for integer ones, which are classes")
    return Pairs(train=found, test=torch.arange(len(queries)))


def _of_equal_targets(targets: Tensor, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The positions in the second set and in the first of every target of the second."""
    if targets.ndim == 1 and not targets.is_floating_point() and not wanted.is_floating_point():
        labels, queries = targets, wanted
    else:
        both = torch.cat([wanted.reshape(len(wanted), -1), targets.to(wanted).reshape(len(targets), -1)])
        numbered = torch.unique(both, dim=0, return_inverse=True)[1]
        queries, labels = numbered[: len(wanted)], numbered[len(wanted) :]
    for label in queries.unique().tolist():
        members, candidates = ((part == label).nonzero()[:, 0] for part in (queries, labels))
        if len(candidates) == 0:
            one = wanted[members[0]]
            what = (
                f"class {label}"
                if queries is wanted
                else f"target {shown(one.item()) if one.ndim == 0 else one.tolist()}"
            )
            remedy = "" if queries is wanted else "; or pass pairs= to pair them yourself, or a tolerance= of targets"
            raise InputError(
                f"{what} has {len(members)} samples in one set and none in the other, so they have no partner: add "
                f"samples of this {what.split()[0]} or leave it out of both{remedy}"
            )
        yield members, candidates


def _within(tolerance: float, targets: Tensor, wanted: Tensor, inputs: Tensor, queries: Tensor) -> Tensor:
    """The nearest of those whose targets differ by no more than the tolerance."""
    found = []
    candidates, places = targets.reshape(len(targets), -1), wanted.reshape(len(wanted), -1)
    for part in torch.arange(len(queries)).split(_CHUNK):
        allowed = torch.cdist(places[part], candidates, p=torch.inf) <= tolerance
        alone = int((~allowed.any(1)).sum())
        if alone:
            raise InputError(
                f"{alone} samples of one set have no target within {tolerance} in the other: pass a larger tolerance=, "
                "leave them out, or pass pairs= to pair them yourself"
            )
        found.append(nearest(queries[part], inputs, allowed))
    return torch.cat(found)


def _flat(samples: Samples) -> Tensor:
    """All numbers of each sample, (N, n) float64."""
    parts = [tensor.cpu().double().flatten(1) for tensor in tensors(samples.inputs)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)
