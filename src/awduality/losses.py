"""Per-sample losses: what the analysis knows by name, and what it asks of a user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from awduality.arguments import shown
from awduality.errors import InputError
from awduality.nested import Nested, described, mapped, rows

PerSampleLoss = Callable[[Nested, Tensor], Tensor]
"""(outputs (N, …), targets (N, …)) → losses (N,); the loss of a sample depends on that sample alone."""

IN_FLOAT64 = (
    " (The work is done on a float64 copy of the network. So let code follow the type of what it gets, as in "
    "tensor.to(x) or x.new_zeros, keep tensors as buffers, and pass losses of torch.nn as modules: they are copied too)"
)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """−log p of the true class, for logits (N, C) and integer labels (N,)."""
    if labels.is_floating_point() or labels.ndim != 1 or logits.ndim != 2:
        raise ValueError(
            "wanted logits (N, C) and class indices, integers (N,): flatten labels (N, 1), and for shares of classes "
            'or several positions pass torch.nn.CrossEntropyLoss(reduction="none")'
        )
    return -log_softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over the components of (f − t)², so that its mean over samples is ``torch.nn.MSELoss()``.

    For outputs and targets of one shape but for axes of length one; or outputs (N, C) and integer labels (N,), which
    stand for their one-hot vectors.
    """
    if not targets.is_floating_point() and targets.ndim == 1 and outputs.ndim == 2:
        if outputs.shape[1] == 1:
            raise ValueError("integer labels stand for one of several outputs: pass float targets (N, 1) for one")
        targets = one_hot(targets, outputs.shape[1]).to(outputs)
    squares = (outputs - of_the_same_shape(targets, outputs)).square()
    return squares if squares.ndim == 1 else squares.flatten(1).mean(1)


def of_the_same_shape(targets: Tensor, outputs: Tensor) -> Tensor:
    """Targets in the outputs' shape, where the two differ in axes of length one alone: (N,) and (N, 1), say.

    Raises:
        ValueError: they differ otherwise, so that they would be broadcast.
    """
    if outputs.shape == targets.shape:
        return targets
    ours, theirs = ([size for size in tensor.shape[1:] if size != 1] for tensor in (outputs, targets))
    if ours != theirs or len(outputs) != len(targets):
        raise ValueError("wanted targets of the outputs' shape, or integer labels (N,)")
    return targets.reshape(outputs.shape)


def smoothed_cross_entropy(epsilon: float) -> PerSampleLoss:
    """The cross-entropy with smoothed labels: of each, a share ε is spread evenly over all classes.

    Args:
        epsilon: ε, from 0 (no smoothing) to below 1; ``label_smoothing`` in ``torch.nn.CrossEntropyLoss``.

    Returns:
        The loss (1 − ε)·(−log p_true) + ε·mean_c(−log p_c), for logits (N, C) and integer labels (N,).

    Raises:
        InputError: ε is out of range.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, Real) or not 0 <= epsilon < 1:
        raise InputError(f"label smoothing spreads a share of each label from 0 to below 1: got {epsilon!r}")

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
    if not isinstance(loss, str) or loss not in LOSSES:
        got = repr(loss) if isinstance(loss, str) else shown(loss)
        raise InputError(
            f"unknown loss {got}: the known ones are {', '.join(LOSSES)}; or pass a loss of torch.nn, "
            "or a function (outputs, targets) -> losses of shape (N,)"
        )
    return LOSSES[loss]


def about_types(error: Exception) -> str:
    """What to add to a message about an error that may stem from the float64 copy; nothing to other ones."""
    words = str(error).lower()
    double = "double" in words or "float64" in words
    other = any(word in words.replace("float64", "") for word in ("float", "half"))
    return IN_FLOAT64 if double and other else ""


def checked_losses(loss: PerSampleLoss, outputs: Nested, targets: Tensor) -> Tensor:
    """The losses of a batch, refused unless there is one per sample, and of that sample alone.

    The latter is checked on half of the batch, in batches of four samples and more. Samples are counted by the targets.

    Raises:
        InputError: the loss is not per sample, or does not accept these outputs and targets.
    """
    values = _losses(loss, outputs, targets)
    if (half := len(targets) // 2) > 1:
        with torch.no_grad():
            first = rows(mapped(Tensor.detach, outputs), slice(half), len(targets))
            alone = _losses(loss, first, targets[:half])
        if not torch.allclose(alone, values[:half].detach(), rtol=1e-6, atol=1e-12, equal_nan=True):
            raise InputError(
                "the loss of a sample depends on the other samples of the batch, since half of the batch has other "
                "losses by itself: pass a loss of each sample alone; the Hessian and the duality need one"
            )
    return values


def _losses(loss: PerSampleLoss, outputs: Nested, targets: Tensor) -> Tensor:
    try:
        values = loss(outputs, targets)
    except InputError:
        raise
    except Exception as error:  # a user's code runs: anything can be raised
        raise InputError(
            f"the loss does not accept outputs of shape {described(outputs)} and targets of shape "
            f"{tuple(targets.shape)} ({targets.dtype}): {error}{about_types(error)}"
        ) from error
    if not torch.is_tensor(values) or values.shape != (len(targets),):
        got = tuple(values.shape) if torch.is_tensor(values) else shown(values)
        remedy = '. Losses of torch take reduction="none"; of several values per sample, take their mean'
        raise InputError(f"the loss must give one value per sample: got {got}, wanted shape ({len(targets)},){remedy}")
    return values
