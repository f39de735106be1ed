"""The ways to say which samples are compared: positions, a rule of the user's, or the nearest in a space."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from awduality.arguments import shown
from awduality.arrays import as_tensor
from awduality.criteria import weights_of
from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.nested import rows, tensors
from awduality.probe import Array, Samples, Seen

Rule = Callable[[Seen, Seen], Any]
"""(training samples, test samples), as seen at the layer → positions (P,) in each, a pair of arrays or ``Pairs``."""

Chosen = tuple[Array, Array] | Pairs | Rule | Literal["inputs", "activities"] | None
"""Positions, a rule, the space in which the nearest of equal target are paired; nothing: that of the inputs."""

log = logging.getLogger(__name__)


def check_pairs(pairs: Any) -> None:
    """Refuse what says nothing of pairs."""
    if isinstance(pairs, str) and pairs not in ("inputs", "activities"):
        raise InputError(f"pairs must be positions, a function, 'inputs' or 'activities': got {pairs!r}")


def pairs_of_inputs(
    model: nn.Module, train: Samples, test: Samples, loss: PerSampleLoss, tolerance: float = 0.0
) -> Pairs:
    """Each test sample with the nearest training sample of equal target in input space; none that the loss ignores."""
    embeds = any(isinstance(module, (nn.Embedding, nn.EmbeddingBag)) for module in model.modules())
    if embeds and any(not tensor.is_floating_point() for tensor in tensors(train.inputs)):
        log.warning(
            "samples are paired by distances of integer inputs, which mean nothing between ids of tokens or "
            "categories: pass pairs='activities' for the nearest at the layer, or pairs of your own"
        )
    return _nearest(*train, *test, weights_of(loss, train.targets), weights_of(loss, test.targets), tolerance)


def pairs_at_layer(pairs: Any, train: Seen, test: Seen, tolerance: float = 0.0) -> Pairs:
    """Pairs from positions, from a rule, or of the nearest activities.

    Raises:
        InputError: they are no positions, or the rule fails.
    """
    if isinstance(pairs, Pairs):
        return pairs
    if isinstance(pairs, str):
        spaces = (train.activities, train.targets, test.activities, test.targets)
        return _nearest(*spaces, train.weights, test.weights, tolerance)
    if callable(pairs):
        try:
            found = pairs(train, test)
        except Exception as error:  # a user's code runs: anything can be raised
            raise InputError(f"the rule for pairs raises {type(error).__name__}: {error}") from error
        if isinstance(found, Pairs):
            return found
        return _positions(found, "the rule for pairs must return")
    return _positions(pairs, "pairs must be")


def _positions(pairs: Any, words: str) -> Pairs:
    try:
        train, test = pairs
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{words} two arrays of positions, of training and of test samples: got {shown(pairs)}"
        ) from error
    return Pairs(as_tensor(train, "pairs: training positions"), as_tensor(test, "pairs: test positions"))


def _nearest(
    train: Any,
    train_targets: Tensor,
    test: Any,
    test_targets: Tensor,
    train_weights: Tensor | None,
    test_weights: Tensor | None,
    tolerance: float,
) -> Pairs:
    sets, places = [], []
    for inputs, targets, weights in ((train, train_targets, train_weights), (test, test_targets, test_weights)):
        counted = torch.arange(len(targets)) if weights is None else (weights > 0).nonzero()[:, 0].cpu()
        sets.append(
            Samples(rows(inputs, counted.to(targets.device), len(targets)), targets[counted.to(targets.device)])
        )
        places.append(counted)
    found = nearest_pairs(sets[0], sets[1], tolerance=tolerance)
    return Pairs(places[0][found.train], places[1][found.test])
