"""Per-sample losses: what the analysis knows by name, and what it asks of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from awduality.errors import InputError

PerSampleLoss = Callable[[Tensor, Tensor], Tensor]
"""(outputs (N, …), targets (N, …)) → losses (N,); the loss of a sample depends on that sample alone."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of the true class, for logits (N, C) and integer labels (N,)."""
    return -log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over the components of (f − t)², so that its mean over samples is ``torch.nn.MSELoss()``.

    For outputs and targets (N, C), or integer labels (N,), which stand for their one-hot vectors.
    """
    if not targets.is_floating_point() and targets.ndim == 1 and outputs.ndim == 2:
        if outputs.shape[1] == 1:
            raise ValueError("integer labels stand for one of several outputs: pass float targets (N, 1) for one")
        targets = one_hot(targets, outputs.shape[1]).to(outputs)
    if outputs.shape != targets.shape:
        raise ValueError("wanted targets of the outputs' shape, or integer labels (N,)")  # they would be broadcast
    return (outputs - targets).square().flatten(1).mean(1)


def smoothed_cross_entropy(epsilon: float) -> PerSampleLoss:
    """The cross-entropy with smoothed labels: of each, a share ε is spread evenly over all classes.

    Args:
        epsilon: ε, from 0 (no smoothing) to below 1; ``label_smoothing`` in ``torch.nn.CrossEntropyLoss``.

    Returns:
        The loss (1 − ε)·(−log p_true) + ε·mean_c(−log p_c), for logits (N, C) and integer labels (N,).

    Raises:
        InputError: ε is out of range.
    """
    if not 0 <= epsilon < 1:
        raise InputError(f"label smoothing spreads a share of each label from 0 to below 1: got {epsilon}")

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return (1 - epsilon) * cross_entropy(logits, labels) - epsilon * log_softmax(logits, dim=1).mean(1)

    return loss


LOSSES: Mapping[str, PerSampleLoss] = MappingProxyType({"cross_entropy": cross_entropy, "mse": mse})


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
    """The losses of a batch, refused unless there is one per sample, and of that sample alone.

    The latter is checked on half of the batch, in batches of four samples and more.

    Raises:
        InputError: the loss is not per sample, or does not accept these outputs and targets.
    """
    values = _losses(loss, outputs, targets)
    if (half := len(outputs) // 2) > 1:
        with torch.no_grad():
            alone = _losses(loss, outputs[:half].detach(), targets[:half])
        if not torch.allclose(alone, values[:half].detach(), rtol=1e-6, atol=1e-12, equal_nan=True):
            raise InputError(
                "the loss of a sample depends on the other samples of the batch, since half of the batch has other "
                "losses by itself: pass a loss of each sample alone; the Hessian and the duality need one"
            )
    return values


def _losses(loss: PerSampleLoss, outputs: Tensor, targets: Tensor) -> Tensor:
    try:
        values = loss(outputs, targets)
    except Exception as error:  # a user's code runs: anything can be raised
        raise InputError(
            f"the loss does not accept outputs of shape {tuple(outputs.shape)} and targets of shape "
            f"{tuple(targets.shape)} ({targets.dtype}): {error}"
        ) from error
    if not torch.is_tensor(values) or values.shape != (len(outputs),):
        got = tuple(values.shape) if torch.is_tensor(values) else type(values).__name__
        raise InputError(f"the loss must give one value per sample: got {got}, wanted shape ({len(outputs)},)")
    return values
