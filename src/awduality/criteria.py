"""Losses of ``torch.nn`` as losses of single samples, and the mean that they take themselves."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from awduality.arguments import shown
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, named_loss, of_the_same_shape
from awduality.nested import Nested

_OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)
_OF_LABELS = (*_OF_CLASSES, nn.MultiMarginLoss, nn.MultiLabelMarginLoss)  # whose targets are not of the outputs' shape
_MODULES = {functional.cross_entropy: nn.CrossEntropyLoss, functional.nll_loss: nn.NLLLoss}


class Criterion:
    """A loss module, as a float64 copy, that gives one loss per sample: the mean over what a sample has of them.

    Args:
        module: a loss of ``torch.nn`` with ``reduction="none"``, or any module (outputs, targets) -> losses (N,).

    Raises:
        InputError: it reduces to a number, or cannot be copied.
    """

    def __init__(self, module: nn.Module) -> None:
        reduction = getattr(module, "reduction", "none")
        if reduction != "none":
            raise InputError(
                f"the loss {type(module).__name__} has reduction={reduction!r}, one number for all samples: wanted one "
                f'per sample, {type(module).__name__}(reduction="none"); the gap is averaged as by reduction="mean"'
            )
        try:
            self._module = in_float64(copy.deepcopy(module))
        except Exception as error:  # modules copy themselves as they like
            raise InputError(f"the loss {type(module).__name__} cannot be copied to float64: {error}") from error
        self.known = isinstance(module, nn.modules.loss._Loss)  # of torch.nn

    def __call__(self, outputs: Nested, targets: Tensor) -> Tensor:
        """The losses of samples, (N,)."""
        if self.known and torch.is_tensor(outputs) and not isinstance(self._module, _OF_LABELS):
            targets = of_the_same_shape(targets.to(outputs), outputs)
        values = self._module(outputs, targets)
        if self.known and torch.is_tensor(values) and values.ndim > 1:
            return values.flatten(1).mean(1)
        return values  # type: ignore[no-any-return]

    def to(self, device: torch.device) -> Criterion:
        """The same on a device."""
        self._module = self._module.to(device)
        return self

    def weights(self, targets: Tensor) -> Tensor | None:
        """The weight of each sample in the loss's own mean, (N,); nothing where all count the same.

        Those of its class, and 0 where the label is ignored; the mean over positions where a sample has several.
        """
        module: Any = self._module
        if not isinstance(module, _OF_CLASSES):
            own = getattr(module, "weights", None)
            return own(targets) if callable(own) else None
        if targets.is_floating_point():  # shares of classes, which torch averages over samples
            return None
        ignored = targets == module.ignore_index
        if module.weight is None and not bool(ignored.any()):
            return None
        by_class = torch.ones(1).to(targets.device).double().expand(int(targets.max().clamp(min=0)) + 1)
        by_class = by_class if module.weight is None else module.weight
        found = by_class[targets.masked_fill(ignored, 0)].masked_fill(ignored, 0.0)
        return found if found.ndim == 1 else found.flatten(1).mean(1)


def as_loss(loss: Any, device: torch.device) -> PerSampleLoss:
    """The loss of this name, a loss module as a ``Criterion``, or the function itself.

    Raises:
        InputError: no loss has this name, or the module cannot be used.
    """
    if isinstance(loss, partial) and not loss.args and loss.func in _MODULES:
        try:
            loss = _MODULES[loss.func](**loss.keywords)
        except TypeError as error:
            raise InputError(f"the loss {loss} has an argument that the module lacks: {error}") from error
    if isinstance(loss, type):
        raise InputError(f'loss is a class: make one of it, {loss.__name__}(reduction="none")')
    if isinstance(loss, Criterion):
        return loss.to(device)
    return Criterion(loss).to(device) if isinstance(loss, nn.Module) else named_loss(loss)


def weights_of(loss: PerSampleLoss, targets: Tensor) -> Tensor | None:
    """What a loss says of the weights of samples in its mean, (N,); nothing where all count the same.

    A function may say it too, by an attribute ``weights``, a function targets -> (N,).

    Raises:
        InputError: weights are negative, not finite, all zero, or not one per sample.
    """
    own = getattr(loss, "weights", None)
    if not callable(own):
        return None
    try:
        found = own(targets)
    except Exception as error:  # class weights for fewer classes than there are, a user's code
        raise InputError(f"the weights of the loss do not fit targets {tuple(targets.shape)}: {error}") from error
    if found is None:
        return None
    if not torch.is_tensor(found) or found.shape != (len(targets),):
        got = tuple(found.shape) if torch.is_tensor(found) else shown(found)
        raise InputError(f"the weights of the loss must be one per sample: got {got}, wanted ({len(targets)},)")
    found = found.detach().double()
    if not bool(torch.isfinite(found).all()) or bool((found < 0).any()) or not bool((found > 0).any()):
        raise InputError("the weights of samples in the loss must be finite, not negative, and not all zero")
    return found


def in_float64(module: nn.Module) -> nn.Module:
    """A module with parameters and buffers in float64, in place; and tensors that it keeps as plain attributes."""
    module.double()
    for part in module.modules():
        for name, value in vars(part).items():
            if torch.is_tensor(value) and value.is_floating_point() and not isinstance(value, nn.Parameter):
                vars(part)[name] = value.double()
    return module
