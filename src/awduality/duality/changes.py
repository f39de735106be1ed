"""What the pairs of samples say of a layer, before any basis is chosen: dual weights and losses.

The duality is checked here on every pair: the dual weights give the training sample the output, and so the loss, of the
test sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from awduality.duality.dual_weights import DualWeights, dual_weights
from awduality.duality.pairing import Pairs
from awduality.errors import InputError
from awduality.probe import LayerProbe, Seen

CHUNK = 256  # pairs whose dual weights are held as matrices at once, at most
_ENTRIES = 2**23  # of these matrices together: 64 MiB
_BYPASS_TOLERANCE = 1e-8  # relative difference of losses above which the layer cannot be all that the loss depends on


@dataclass(frozen=True)
class PairChanges:
    """The P pairs that have a dual; losses in nats for the cross-entropy."""

    layer: str
    dual: DualWeights  # ΔW of each pair
    activities: Tensor  # (P, n) training activity a
    train_loss: Tensor  # (P,) ℓ(a; W)
    test_loss: Tensor  # (P,) ℓ(a′; W)
    dual_loss: Tensor  # (P,) ℓ(a; W + ΔW): equal to test_loss, since the duality is exact
    output_error: (
        float  # largest |(W + ΔW) a − W a′| over pairs, relative to the largest |W a′|; or |W a|, if all are 0
    )
    dropped: int  # pairs without a dual: silent training activity, but another output wanted
    gap: float  # mean test loss − mean training loss, over all samples
    target_shift: float = 0.0  # what unequal targets add: ⟨ℓ(a′; y′) − ℓ(a′; y)⟩ over the pairs

    @property
    def squared_norm(self) -> Tensor:
        """(P,) |ΔW|²."""
        return self.dual.left.square().sum(1) * self.dual.right.square().sum(1)

    @property
    def secants(self) -> Tensor:
        """(P,) the scalars Δℓ/|ΔW|² that turn ΔW into g; 0 for an identical pair."""
        squared = self.squared_norm
        change = self.test_loss - self.train_loss
        return torch.where(squared > 0, change / squared.masked_fill(squared == 0, 1.0), 0.0)


def pair_changes(probe: LayerProbe, train: Seen, test: Seen, pairs: Pairs, tolerance: float = 0.0) -> PairChanges:
    """The dual weights and losses of all pairs.

    Where the loss weighs samples, losses are in units of the mean weight of the pairs, so that their plain mean is the
    mean that the loss takes itself. Where targets differ within the tolerance, the test activity's loss is that for the
    training target, which the dual gives; ``target_shift`` is the rest of the difference.

    Raises:
        InputError: pairs out of range or of unequal targets; no pair has a dual; a layer that the loss depends on by
            another path.
    """
    _check_pairs(pairs, train, test, tolerance)
    train_index, test_index = (index.to(train.activities.device) for index in (pairs.train, pairs.test))
    dual = dual_weights(probe.weight, train.activities[train_index], test.activities[test_index])
    kept = dual.exists
    if not bool(kept.any()):
        raise InputError(
            f"no pair has a dual: the input of layer {probe.name!r} is zero for every training sample paired"
        )
    dual = dual[kept]
    train_index, test_index = train_index[kept], test_index[kept]
    activities, test_loss = train.activities[train_index], test.losses[test_index]
    output = test.activities[test_index] @ probe.weight.T
    dual_output = dual_outputs(probe.weight, dual, activities)
    inputs, targets = train.rows(train_index)
    dual_loss = probe.losses_at_output(inputs, targets, dual_output + probe.bias)
    shift = torch.zeros_like(test_loss)
    if tolerance and bool((targets != test.targets[test_index]).any()):
        of_train = probe.losses_at_output(test.rows(test_index)[0], targets, output + probe.bias)
        shift, test_loss = test_loss - of_train, of_train
    if not _equal(dual_loss, test_loss):
        _refuse(probe.name, probe.losses_at_output(inputs, targets, output + probe.bias), dual_loss, test_loss)
    train_loss, scale = train.losses[train_index], 1.0
    if train.weights is not None:
        scale = len(train_index) / float(train.weights[train_index].sum())
        train_loss, test_loss, dual_loss = scale * train_loss, scale * test_loss, scale * dual_loss
    return PairChanges(
        layer=probe.name,
        dual=dual,
        activities=activities,
        train_loss=train_loss,
        test_loss=test_loss,
        dual_loss=dual_loss,
        output_error=relative_error(dual_output, output, probe.weight, activities),
        dropped=int((~kept).sum()),
        gap=test.mean_loss - train.mean_loss
        if train.weights is not None or test.weights is not None
        else float(test.losses.mean() - train.losses.mean()),
        target_shift=scale * float(shift.mean()),
    )


def _check_pairs(pairs: Pairs, train: Seen, test: Seen, tolerance: float) -> None:
    shapes = [tuple(index.shape) for index in (pairs.train, pairs.test)]
    if shapes[0] != shapes[1] or len(shapes[0]) != 1 or len(pairs) == 0:
        raise InputError(
            f"wanted as many training as test positions, (P,) each, and some: got {shapes[0]}, {shapes[1]}"
        )
    if any(index.is_floating_point() or index.dtype == torch.bool for index in (pairs.train, pairs.test)):
        raise InputError(f"pairs are positions, so integers: got {pairs.train.dtype} and {pairs.test.dtype}")
    for name, index, seen in (("training", pairs.train, train), ("test", pairs.test, test)):
        size = len(seen)
        if int(index.min()) < 0 or int(index.max()) >= size:
            raise InputError(
                f"pairs name {name} samples {int(index.min())} to {int(index.max())}, but there are {size}"
            )
        if seen.weights is not None and (ignored := int((seen.weights[index.to(seen.weights.device)] == 0).sum())):
            raise InputError(
                f"pairs name {ignored} {name} samples of weight zero in the loss, such as those of ignored labels: "
                "leave them out"
            )
    ours, theirs = train.targets[pairs.train], test.targets[pairs.test]
    if ours.shape != theirs.shape:
        raise InputError(
            f"targets of training samples have the shape {ours.shape[1:]}, of test samples {theirs.shape[1:]}"
        )
    unequal = (ours != theirs) if not tolerance else (ours - theirs).abs() > tolerance
    unequal = unequal.reshape(len(pairs), -1).any(1)
    if bool(unequal.any()):
        raise InputError(
            "a pair must have the same target on both sides, since its dual gives the training sample the test "
            f"sample's loss: the targets of {int(unequal.sum())} pairs differ"
            + (
                f" by more than the tolerance of {tolerance}"
                if tolerance
                else "; of targets that are no classes, pass a tolerance="
                if ours.is_floating_point()
                else ""
            )
        )


def matrices_at_once(pairs: int, weights: int) -> Iterator[slice]:
    """Consecutive pairs, as many at a time as can have their dual weights of a layer as matrices."""
    step = min(CHUNK, max(1, _ENTRIES // weights))
    return (slice(first, first + step) for first in range(0, pairs, step))


def dual_outputs(weight: Tensor, dual: DualWeights, activities: Tensor) -> Tensor:
    """(W + ΔW_k) a_k, computed with the changed weights themselves, (P, m)."""
    parts = []
    for part in matrices_at_once(len(activities), weight.numel()):
        changed = weight + dual[part].matrices()
        parts.append(torch.bmm(changed, activities[part, :, None])[:, :, 0])
    return torch.cat(parts)


def relative_error(found: Tensor, wanted: Tensor, weight: Tensor, activities: Tensor) -> float:
    """The largest error of the outputs, relative to the largest output wanted.

    Where all outputs wanted are zero, relative to the largest output W a that a change of weights had to cancel.
    """
    scale = wanted.abs().max()
    if not scale:
        scale = (activities @ weight.T).abs().max().clamp(min=1e-300)
    return float((found - wanted).abs().max() / scale)


def _equal(one: Tensor, other: Tensor) -> bool:
    return _difference(one, other) <= _BYPASS_TOLERANCE


def _difference(one: Tensor, other: Tensor) -> float:
    return float(((one - other).abs() / (1 + other.abs())).max())


def _refuse(layer: str, exact: Tensor, dual_loss: Tensor, test_loss: Tensor) -> None:
    """Say why the dual does not give the loss of the test sample: a bypass, or rounding that the network enlarges.

    Args:
        layer: the layer's name.
        exact: losses of the training samples with the very outputs of the test samples.
        dual_loss: losses with the outputs that the dual weights give.
        test_loss: losses of the test samples.

    Raises:
        InputError: always.
    """
    if _equal(exact, test_loss):
        raise InputError(
            f"the loss is so steep at the outputs of layer {layer!r} that their rounding in float64 changes it by up "
            f"to {_difference(dual_loss, test_loss):.3g} (relative): the duality holds, but cannot be computed. "
            "Scale the inputs or the weights down"
        )
    raise InputError(
        f"layer {layer!r} is bypassed: with the layer's output of the test sample, the training sample's loss "
        f"differs from the test sample's by up to {_difference(exact, test_loss):.3g} (relative), so some path from "
        "input to loss does not pass through the layer (a residual connection, say): the duality does not hold for it"
    )
