"""One linear layer inside any network: its inputs, and the loss as a function of its outputs.

Nothing needs to be known of what lies before or behind the layer: forward hooks read its input a and replace its output
z. Where what lies behind it can be told apart (``awduality.behind``), that alone is evaluated. The work is done on a
float64 copy of the network; the caller's is untouched. One exception: the activities that a deep convolutional network
hands to the layer are computed in the network's own precision; from there on, all is float64.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from awduality.behind import behind
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, checked_losses, named_loss

Array = np.ndarray | Tensor

# Convolutions are several times slower in float64, and no truer to the network as it was trained. So what lies before
# the layer keeps the network's own precision, where it has more weights in convolutions than this.
_DEEP = 1_000_000
_IMAGES = 128  # samples that a network with convolutions sees at once: its activities are larger than its inputs
_FEW = 16  # samples on which a network is tried
_SAME, _SAME_SINGLE = 1e-9, 1e-3  # by how much two ways to the same numbers may differ, in float64 and in float32
_SHIFT = 0.01  # of the largest weight, by which weights are changed to see what that does


class Samples(NamedTuple):
    """Samples that have been checked and converted; they serve for every network on the same device."""

    inputs: Tensor  # (N, …) float64
    targets: Tensor  # (N, …) float64 or int64


@dataclass(frozen=True)
class Seen:
    """Samples as they appear at the layer and in the loss."""

    inputs: Tensor  # (N, …) float64
    targets: Tensor  # (N, …)
    activities: Tensor  # (N, n) the layer's input a
    losses: Tensor  # (N,)

    def __len__(self) -> int:
        return len(self.losses)


class LayerProbe:
    """A float64 copy of a network, opened at one of its linear layers z = W a (+ b).

    Args:
        model: any network in eval mode.
        layer: dotted name of an ``nn.Linear`` that is called once per forward, on an (N, n) input.
        loss: a name from ``awduality.losses.LOSSES`` or a function (outputs, targets) -> (N,) losses.

    Raises:
        InputError: the layer does not exist, is not linear or shares its weights; the network is in train mode; some
            weight is not finite.
    """

    def __init__(self, model: nn.Module, layer: str, loss: str | PerSampleLoss = "cross_entropy") -> None:
        _check_modules(model, layer)
        self.name = layer
        self._loss = named_loss(loss)
        self._model = _copied(model).double().requires_grad_(False)
        self._layer: nn.Linear = self._model.get_submodule(layer)  # type: ignore[assignment]
        self._behind = behind(_copied(self._model), layer)  # a copy, since a trace can leave its marks
        self._checked = False  # what only samples can tell
        kernels = [module.weight.numel() for module in model.modules() if isinstance(module, _ConvNd)]
        self._at_once = _IMAGES if kernels else None
        self._before = self._model
        if sum(kernels) > _DEEP and self._behind is not None:
            self._before = _copied(model).requires_grad_(False)

    @property
    def weight(self) -> Tensor:
        """W, (m, n) float64."""
        return self._layer.weight.data

    @property
    def bias(self) -> Tensor | float:
        """The bias b, (m,) float64, held fixed; 0 where the layer has none."""
        return 0.0 if self._layer.bias is None else self._layer.bias.data

    def tensors(self, samples: tuple[Array, Array] | Samples) -> Samples:
        """Inputs as float64, targets as float64 or int64, on the network's device; checked once.

        Raises:
            InputError: no samples, inputs and targets of different number, or inputs that are not finite.
        """
        if isinstance(samples, Samples):
            return samples
        inputs, targets = (_tensor(array, self.weight.device) for array in samples)
        inputs, targets = inputs.double(), targets.double() if targets.is_floating_point() else targets.long()
        if len(inputs) != len(targets) or len(inputs) == 0:
            raise InputError(
                f"wanted as many targets as inputs, and some: got {len(inputs)} inputs, {len(targets)} targets"
            )
        if not bool(torch.isfinite(inputs).all()):
            raise InputError("some inputs are not finite: remove these samples, or mend them")
        return Samples(inputs, targets)

    def see(self, samples: tuple[Array, Array] | Samples) -> Seen:
        """What one forward pass shows of some samples.

        Raises:
            InputError: the samples, the network or the loss cannot be used; the layer is called more or less than once
                per forward, or on an input that is not (N, n).
        """
        inputs, targets = self.tensors(samples)
        activities, losses = self._see_all(inputs, targets)
        if not self._checked:
            few = min(_FEW, -(-len(inputs) // 2))
            if self._behind is not None and not self._agrees(inputs[:few], targets[:few]):
                self._behind, self._before = None, self._model
                activities, losses = self._see_all(inputs, targets)
            self._check_samples(inputs[:few], targets[:few], activities[:few], losses[:few])
            self._check_weights(inputs[:few], targets[:few])
            self._checked = True
        return Seen(inputs, targets, activities, losses)

    def losses_at_output(self, inputs: Tensor, targets: Tensor, output: Tensor) -> Tensor:
        """The loss of each sample, (N,), with ``output`` (N, m) in place of the layer's own; differentiable in it."""
        if self._behind is not None:
            return checked_losses(self._loss, self._behind(output.clone()), targets)
        return torch.cat([self._losses_with(*part) for part in self._parts(inputs, targets, output)])

    def _losses_with(self, inputs: Tensor, targets: Tensor, output: Tensor) -> Tensor:
        with _hooked(self._layer, lambda _module, _args, _original: output.clone()):
            return checked_losses(self._loss, _forward(self._model, inputs), targets)

    def _parts(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The samples, so many at once as fit into memory."""
        return zip(*(tensor.split(self._at_once or len(tensor)) for tensor in tensors), strict=True)

    def _see_all(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        parts = [self._see(x, y) for x, y in self._parts(inputs, targets)]
        return (
            parts[0] if len(parts) == 1 else (torch.cat([a for a, _ in parts]), torch.cat([loss for _, loss in parts]))
        )

    @torch.no_grad()
    def _see(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The activities and the losses of some samples, from one pass through the whole network."""
        caught: list[Tensor] = []
        layer, precision = self._before.get_submodule(self.name), next(self._before.parameters()).dtype
        with _hooked(layer, lambda _module, args, _output: caught.append(args[0].clone())):
            outputs = _forward(self._before, inputs.to(precision))
        if len(caught) != 1:
            raise InputError(
                f"layer {self.name!r} is called {len(caught)} times per forward: the duality needs exactly one call, "
                "so that one change of its weights stands for one change of its input"
            )
        if caught[0].ndim != 2 or len(caught[0]) != len(inputs):
            raise InputError(
                f"layer {self.name!r} gets an input of shape {tuple(caught[0].shape)}: wanted ({len(inputs)}, n), "
                "one activity vector per sample"
            )
        activities = caught[0].double()
        if self._before is self._model:
            return activities, checked_losses(self._loss, outputs, targets)
        return activities, self.losses_at_output(inputs, targets, linear(activities, self.weight) + self.bias)

    @torch.no_grad()
    def _agrees(self, inputs: Tensor, targets: Tensor) -> bool:
        """Whether what lies behind the layer gives the losses of the whole network."""
        _, output, whole = self._whole(inputs, targets)
        return _same(self.losses_at_output(inputs, targets, output), whole)

    @torch.no_grad()
    def _check_samples(self, inputs: Tensor, targets: Tensor, activities: Tensor, losses: Tensor) -> None:
        """Refuse a network that gives samples other activities or losses by themselves than among others."""
        by_themselves = self._see(inputs, targets)
        tolerance = _SAME if self._before is self._model else _SAME_SINGLE
        pairs = zip(by_themselves, (activities, losses), strict=True)
        if not all(_same(alone, among, tolerance) for alone, among in pairs):
            raise InputError(
                "the network gives a sample another activity or loss by itself than among others: it couples samples "
                "(batch norm without running statistics, say) or is random, so that a sample has no loss of its own"
            )

    @torch.no_grad()
    def _check_weights(self, inputs: Tensor, targets: Tensor) -> None:
        """Refuse a layer whose weights do anything else than turn its input a into W a + b."""
        weight = self._layer._parameters.get("weight")
        if weight is None:  # computed from others by a parametrization
            return
        kept = weight.clone()
        try:
            weight.add_(_SHIFT * kept.abs().max() * torch.cos(torch.arange(kept.numel()).to(kept)).view_as(kept))
            activities, _, whole = self._whole(inputs, targets)
            plain = self.losses_at_output(inputs, targets, linear(activities, weight) + self.bias)
        finally:
            weight.copy_(kept)
        if not _same(plain, whole) or not _same(activities, self._whole(inputs, targets)[0]):
            raise InputError(
                f"the weights of layer {self.name!r} do more than to turn its input a into W a + b: with others the "
                "network has other losses than with these outputs (they are used elsewhere too, a hook changes the "
                "output, or the layer has a forward of its own), so the duality does not hold for it"
            )

    def _whole(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input and output and the losses, from the whole network in float64."""
        caught: list[tuple[Tensor, Tensor]] = []
        with _hooked(self._layer, lambda _module, args, output: caught.append((args[0].clone(), output.clone()))):
            losses = checked_losses(self._loss, _forward(self._model, inputs), targets)
        return *caught[0], losses


def _tensor(array: Array, device: torch.device) -> Tensor:
    try:
        tensor = torch.as_tensor(array, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"samples must be arrays of numbers: {error}") from error
    if tensor.is_complex():
        raise InputError("samples must be arrays of real numbers: got complex ones")
    return tensor


def _check_modules(model: nn.Module, layer: str) -> None:
    """Refuse what a look at the modules tells; see ``LayerProbe``."""
    modules = dict(model.named_modules())
    if not isinstance(modules.get(layer), nn.Linear):
        known = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        what = f"a {type(modules[layer]).__name__}" if layer in modules else "not there"
        raise InputError(f"layer {layer!r} is {what}: the linear layers of this network are {known}")
    training = [name or "the network" for name, module in modules.items() if module.training]
    if training:
        raise InputError(
            f"{training[0]} is in train mode, where batch norm couples samples and dropout is random, so that a "
            "sample has no loss of its own: call model.eval() first"
        )
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
            raise InputError(f"{name} has no values yet: run some samples through the network first")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{name} holds values that are not finite: the run has diverged, nothing to analyse")
    weight = modules[layer].weight
    owners = [name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter is weight]
    if len(owners) > 1:
        raise InputError(
            f"the weights of layer {layer!r} are shared ({', '.join(owners)}): changing them changes both places, "
            "so the layer has no dual weights of its own"
        )


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # modules copy themselves as they like
        raise InputError(
            f"the network cannot be copied ({error}): it holds tensors that were computed with gradients. Remove "
            "pruning and old-style weight norm (prune.remove, remove_weight_norm), and what a forward pass has left "
            "behind; or build it anew and load its weights"
        ) from error


def _same(one: Tensor, other: Tensor, tolerance: float = _SAME) -> bool:
    """Equal up to rounding, relative to the largest."""
    scale = other.abs().nan_to_num(0.0, 0.0, 0.0).max()
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True)


def _forward(model: nn.Module, inputs: Tensor) -> Any:
    try:
        return model(inputs)
    except Exception as error:  # a user's code runs: anything can be raised
        raise InputError(
            f"the network does not accept inputs of shape {tuple(inputs.shape)} and type {inputs.dtype}: {error}"
        ) from error


@contextmanager
def _hooked(layer: nn.Module, function: Any) -> Iterator[None]:
    handle = layer.register_forward_hook(function)
    try:
        yield
    finally:
        handle.remove()
