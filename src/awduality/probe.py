"""One linear layer inside any network: its inputs, and the loss as a function of its outputs.

Nothing needs to be known of what lies before or behind the layer: forward hooks read its input a and replace its output
z. Where what lies behind it can be told apart (``awduality.behind``), that alone is evaluated. The work is done on a
float64 copy of the network; the caller's is untouched. One exception: the activities that a deep convolutional network
hands to the layer are computed in the network's own precision; from there on, all is float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.modules.conv import _ConvNd

from awduality.batches import SOME, at_once, parts
from awduality.behind import agree, behind, same
from awduality.copies import copied, precise
from awduality.criteria import Criterion, as_loss, weights_of
from awduality.errors import InputError
from awduality.losses import PerSampleLoss, checked_losses
from awduality.nested import Nested, mapped, rows, tensors
from awduality.opening import Output, check_output, forward, hooked, picked
from awduality.samples import Array, Brought, Samples, gathered
from awduality.suitable import check, weight_parameters

__all__ = ["Array", "LayerProbe", "Samples", "Seen"]

# Convolutions are several times slower in float64, and no truer to the network as it was trained. So what lies before
# the layer keeps the network's own precision, where it has more weights in convolutions than this.
_DEEP = 1_000_000
_IMAGES = SOME  # samples that a network with activities larger than its inputs sees at once
_FEW = 16  # samples on which a network is tried
_SAME, _SAME_SINGLE = 1e-9, 1e-3  # by how much two ways to the same numbers may differ, in float64 and in float32
_SHIFT = 0.01  # of the largest weight, by which weights are changed to see what that does


@dataclass(frozen=True)
class Seen:
    """Samples as they appear at the layer and in the loss."""

    inputs: Nested  # (N, …) float64, or as the network takes them
    targets: Tensor  # (N, …)
    activities: Tensor  # (N, n) the layer's input a
    losses: Tensor  # (N,)
    weights: Tensor | None = None  # (N,) of the samples in the mean that the loss takes itself; None: all the same

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def total(self) -> float:
        """The sum of the weights: N where all are the same."""
        return len(self.losses) if self.weights is None else float(self.weights.sum())

    @property
    def mean_loss(self) -> float:
        """The mean loss as the loss itself averages it."""
        return float(self.losses.mean()) if self.weights is None else float(self.losses.sum()) / self.total

    def rows(self, which: slice | Tensor) -> tuple[Nested, Tensor]:
        """Inputs and targets of some samples."""
        return rows(self.inputs, which, len(self)), self.targets[which]


class LayerProbe:
    """A float64 copy of a network, opened at one of its linear layers z = W a (+ b).

    Args:
        model: any network in eval mode.
        layer: dotted name of an ``nn.Linear`` that is called once per forward, on an (N, n) input.
        loss: a name from ``awduality.losses.LOSSES``, a loss module with ``reduction="none"``, or a function (outputs,
            targets) -> (N,) losses.
        output: which part of the network's output the loss takes: an index, a key or a function; see
            ``awduality.opening``.

    Raises:
        InputError: the layer does not exist, is not linear or shares its weights; the network is in train mode; some
            weight is not finite; the loss or the output is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        loss: str | PerSampleLoss | nn.Module = "cross_entropy",
        output: Output = None,
    ) -> None:
        check(model, layer)
        check_output(output)
        self.name = layer
        self._model = precise(model)
        self._layer: nn.Linear = self._model.get_submodule(layer)  # type: ignore[assignment]
        self.loss = as_loss(loss, self.weight.device)
        self._output, self._takes_whole = output, not isinstance(loss, str) and not _of_torch(self.loss)
        self._behind = behind(copied(self._model), layer)  # a copy, since a trace can leave its marks
        self._checked = False  # what only samples can tell
        self._floats: bool | None = None  # whether integers are handed to the network as floats
        kernels = [module.weight.numel() for module in model.modules() if isinstance(module, _ConvNd)]
        self._at_once = at_once(self._model, _IMAGES)
        self._at_once_behind = at_once(self._behind, _IMAGES)
        self._before = self._model
        if sum(kernels) > _DEEP and self._behind is not None:
            self._before = copied(model)

    @property
    def weight(self) -> Tensor:
        """W, (m, n) float64."""
        return self._layer.weight.data

    @property
    def bias(self) -> Tensor | float:
        """The bias b, (m,) float64, held fixed; 0 where the layer has none."""
        return 0.0 if self._layer.bias is None else self._layer.bias.data

    @property
    def differentiated_at_once(self) -> int:
        """Samples whose way from the layer to the losses may be held for derivatives at once."""
        return self._at_once if self._behind is None else self._at_once_behind

    def tensors(self, samples: Brought, name: str = "samples") -> Samples:
        """Samples of any kind as tensors on the network's device; checked once.

        Raises:
            InputError: see ``awduality.samples.gathered``.
        """
        inputs, targets = gathered(samples, name)
        device = self.weight.device
        return Samples(mapped(lambda tensor: tensor.to(device), inputs), targets.to(device))

    @torch.inference_mode(False)
    def see(self, samples: Brought, name: str = "samples") -> Seen:
        """What one forward pass shows of some samples; ``name`` is theirs in messages.

        Raises:
            InputError: the samples, the network or the loss cannot be used; the layer is called more or less than once
                per forward, or on an input that is not (N, n); losses that are not finite.
        """
        inputs, targets = self.tensors(samples, name)
        count = len(targets)
        few = min(_FEW, -(-count // 2))
        first = slice(few)
        inputs = self._taken(inputs, rows(inputs, first, count))
        activities, losses = self._see_all(inputs, targets)
        if not self._checked:
            some, wanted = rows(inputs, first, count), targets[first]
            if self._behind is not None and not self._agrees(some, wanted):
                self._behind, self._before = None, self._model
                activities, losses = self._see_all(inputs, targets)
            _check_finite(losses, name)
            self._check_samples(some, wanted, activities[:few], losses[:few])
            self._check_weights(some, wanted)
            self._checked = True
        _check_finite(losses, name)
        return Seen(inputs, targets, activities, losses, weights_of(self.loss, targets))

    def losses_at_output(self, inputs: Nested, targets: Tensor, output: Tensor) -> Tensor:
        """The loss of each sample, (N,), with ``output`` (N, m) in place of the layer's own; differentiable in it."""
        if self._behind is not None:
            if len(output) <= self._at_once_behind:
                return self._losses_behind(targets, output)
            return torch.cat([self._losses_behind(*part) for part in parts(self._at_once_behind, targets, output)])
        return torch.cat([self._losses_with(*part) for part in parts(self._at_once, inputs, targets, output)])

    def _losses(self, outputs: Any, targets: Tensor) -> Tensor:
        return checked_losses(self.loss, picked(outputs, self._output, whole=self._takes_whole), targets)

    def _losses_behind(self, targets: Tensor, output: Tensor) -> Tensor:
        if self._behind is None:
            raise AssertionError
        return self._losses(self._behind(output.clone()), targets)

    def _losses_with(self, inputs: Nested, targets: Tensor, output: Tensor) -> Tensor:
        with hooked(self._layer, lambda _input, _original: output.clone()):
            return self._losses(forward(self._model, inputs), targets)

    @torch.no_grad()
    def _taken(self, inputs: Nested, few: Nested) -> Nested:
        """Inputs as the network takes them: integers as integers, or else, as ever, as floats."""
        if all(tensor.is_floating_point() for tensor in tensors(inputs)):
            return inputs
        if self._floats is None:
            self._floats = False
            try:
                forward(self._model, few)
            except InputError as error:
                try:
                    forward(self._model, mapped(Tensor.double, few))
                except InputError as other:
                    embeds = any(isinstance(module, nn.Embedding) for module in self._model.modules())
                    raise error if embeds else other from None
                self._floats = True
        return mapped(Tensor.double, inputs) if self._floats else inputs

    def _see_all(self, inputs: Nested, targets: Tensor) -> tuple[Tensor, Tensor]:
        seen = [self._see(x, y, len(targets)) for x, y in parts(self._at_once, inputs, targets)]
        if len(seen) == 1:
            return seen[0]
        return torch.cat([activities for activities, _ in seen]), torch.cat([losses for _, losses in seen])

    @torch.no_grad()
    def _see(self, inputs: Nested, targets: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The activities and the losses of some of ``count`` samples, from one pass through the whole network."""
        caught: list[Tensor] = []
        layer, precision = self._before.get_submodule(self.name), next(self._before.parameters()).dtype
        given = mapped(lambda tensor: tensor.to(precision) if tensor.is_floating_point() else tensor, inputs)
        with hooked(layer, lambda activity, _output: caught.append(activity.clone())):
            outputs = forward(self._before, given)
        if len(caught) != 1:
            raise InputError(
                f"layer {self.name!r} is called {len(caught)} times per forward: the duality needs exactly one call, "
                "so that one change of its weights stands for one change of its input"
            )
        if caught[0].ndim != 2 or len(caught[0]) != len(targets):
            shape = [count if size == len(targets) else size for size in caught[0].shape[:1]] + [*caught[0].shape[1:]]
            raise InputError(
                f"layer {self.name!r} gets an input of shape {tuple(shape)}: wanted ({count}, n), one activity vector "
                "per sample"
            )
        activities = caught[0].double()
        if self._before is self._model:
            return activities, self._losses(outputs, targets)
        return activities, self.losses_at_output(inputs, targets, linear(activities, self.weight) + self.bias)

    def _agrees(self, inputs: Nested, targets: Tensor) -> bool:
        """Whether what lies behind the layer gives the losses of the whole network, and their derivatives."""
        with torch.no_grad():
            _, output, whole = self._whole(inputs, targets)
            if not same(self._losses_behind(targets, output), whole):
                return False
        ways: list[Callable[[Tensor], Tensor]] = [
            lambda place: self._losses_behind(targets, place),
            lambda place: self._losses_with(inputs, targets, place),
        ]
        return agree(ways[0], ways[1], output)

    @torch.no_grad()
    def _check_samples(self, inputs: Nested, targets: Tensor, activities: Tensor, losses: Tensor) -> None:
        """Refuse a network that gives samples other activities or losses by themselves than among others."""
        by_themselves = self._see(inputs, targets, len(targets))
        tolerance = _SAME if self._before is self._model else _SAME_SINGLE
        pairs = zip(by_themselves, (activities, losses), strict=True)
        if not all(same(alone, among, tolerance) for alone, among in pairs):
            raise InputError(
                "the network gives a sample another activity or loss by itself than among others: it couples samples "
                "(batch norm without running statistics, say) or is random, so that a sample has no loss of its own"
            )

    @torch.no_grad()
    def _check_weights(self, inputs: Nested, targets: Tensor) -> None:
        """Refuse a layer whose weights do anything else than turn its input a into W a + b."""
        own = self._layer._parameters.get("weight")
        changed = weight_parameters(self._layer) if own is None else [own]  # of a parametrization, or a hook
        kept = [tensor.clone() for tensor in changed]
        try:
            for tensor in changed:
                shift = torch.cos(torch.arange(tensor.numel()).to(tensor)).view_as(tensor)
                tensor.add_(_SHIFT * tensor.abs().max() * shift)
            activities, _, whole = self._whole(inputs, targets)
            plain = self.losses_at_output(inputs, targets, linear(activities, self._layer.weight) + self.bias)
        finally:
            for tensor, before in zip(changed, kept, strict=True):
                tensor.copy_(before)
        if not same(plain, whole) or not same(activities, self._whole(inputs, targets)[0]):
            raise InputError(
                f"the weights of layer {self.name!r} do more than to turn its input a into W a + b: with others the "
                "network has other losses than with these outputs (they are used elsewhere too, a hook changes the "
                "output, or the layer has a forward of its own), so the duality does not hold for it"
            )

    def _whole(self, inputs: Nested, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input and output and the losses, from the whole network in float64."""
        caught: list[tuple[Tensor, Tensor]] = []
        with hooked(self._layer, lambda activity, output: caught.append((activity.clone(), output.clone()))):
            losses = self._losses(forward(self._model, inputs), targets)
        return *caught[0], losses


def _of_torch(loss: PerSampleLoss) -> bool:
    return isinstance(loss, Criterion) and loss.known


def _check_finite(losses: Tensor, name: str) -> None:
    wrong = int((~torch.isfinite(losses)).sum())
    if wrong:
        raise InputError(
            f"{name}: the loss of {wrong} samples is not finite, of {len(losses)}: for them the network or the loss "
            "overflows, divides by zero or takes the logarithm of zero"
        )
