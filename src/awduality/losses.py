"""Per-sample losses: what the analysis knows by name, and what it asks of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from awduality.errors import InputError

PerSampleLoss = Callable[[Tensor, Tensor], Tensor]
"""(outputs (N, …), targets (N, …)) → losses (N,); the loss of a sample depends on that sample alone."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of the true class, for logits (N, C) and integer labels (N,)."""
    return -log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]


LOSSES: Mapping[str, PerSampleLoss] = MappingProxyType({"cross_entropy": cross_entropy})


def named_loss(loss: str | PerSampleLoss) -> PerSampleLoss:
    """The loss of this name, or the function itself.

    Raises:
        InputError: no loss has this name.
    """
    if callable(loss):
        return loss
    if loss not in LOSSES:
        raise InputError(
            f"unknown loss {loss!r}: the known ones are {', '.join(LOSSES)}; "
            "or pass a function (outputs, targets) -> losses of shape (N,)"
        )
    return LOSSES[loss]


def checked_losses(loss: PerSampleLoss, outputs: Tensor, targets: Tensor) -> Tensor:
    """The losses of a batch, refused unless there is one per sample.

    Raises:
        InputError: the loss is not per sample, or does not accept these outputs and targets.
    """
    try:
        values = loss(outputs, targets)
    except (RuntimeError, IndexError, ValueError) as error:
        raise InputError(
            f"the loss does not accept outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)} ({targets.dtype}): {error}"
        ) from error
    if not torch.is_tensor(values) or values.shape != (len(outputs),):
        got = tuple(values.shape) if torch.is_tensor(values) else type(values).__name__
        raise InputError(f"the loss must give one value per sample: got {got}, wanted shape ({len(outputs)},)")
    return values
