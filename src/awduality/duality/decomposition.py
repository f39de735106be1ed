"""The generalization gap as a sum over eigen-directions of the Hessian: sharpness × size (Feng, Zhang & Tu 2023).

For pair k with loss difference Δℓ_k = ℓ(a′_k) − ℓ(a_k) = ℓ(a_k; W + ΔW_k) − ℓ(a_k; W), the secant g_k = (Δℓ_k/|ΔW_k|²)
ΔW_k has g_k·ΔW_k = Δℓ_k. In an orthonormal basis of directions n, over the pairs,

    ⟨Δℓ⟩ = Σ_n (μ_g,n μ_w,n + c_n σ_g,n σ_w,n),

where μ are means, σ population standard deviations and c the correlation of the components of g and ΔW. This is an
identity in any orthonormal basis; the eigenvectors of the Hessian give σ_g the meaning of sharpness. σ_w is called
size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.spectrum import Spectrum, spectrum
from awduality.duality.dual_weights import DualWeights, dual_weights
from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.probe import Array, LayerProbe

_CHUNK = 256  # pairs whose dual weights are held as matrices at once
_BYPASS_TOLERANCE = 1e-8  # relative difference of losses above which the layer cannot be all that the loss depends on


@dataclass(frozen=True)
class Decomposition:
    """What the pairs say about each direction; arrays are NumPy float64.

    M directions: all m·n of the layer, or those of largest eigenvalue where ``top`` was given. Losses are in
    nats for the cross-entropy; σ_w and |ΔW| have the unit of the weights, σ_g is loss per unit of weight.
    """

    layer: str
    eigenvalues: np.ndarray  # (M,) of the layer's Hessian, descending
    sigma_g: np.ndarray  # (M,) sharpness: standard deviation over pairs of g along each direction
    sigma_w: np.ndarray  # (M,) size: the same of the dual-weight change
    mean_g: np.ndarray  # (M,)
    mean_w: np.ndarray  # (M,)
    c: np.ndarray  # (M,) correlation of the two over pairs; 0 where one of them does not vary
    gap: float  # mean test loss − mean training loss, over all samples
    remainder: float  # what the directions left out by ``top`` add to the estimate; 0 without it
    dropped: int  # pairs without a dual: silent training activity, but another output wanted
    train_loss: np.ndarray  # (P,) ℓ(a; W) of each pair that was kept
    test_loss: np.ndarray  # (P,) ℓ(a′; W)
    dual_loss: np.ndarray  # (P,) ℓ(a; W + ΔW): equal to test_loss, since the duality is exact
    dual_norm: np.ndarray  # (P,) |ΔW|
    output_error: float  # largest |(W + ΔW) a − W a′| over pairs, relative to the largest |W a′|

    @property
    def contribution(self) -> np.ndarray:
        """(M,) c·σ_g·σ_w, the share of each direction without the mean term."""
        return np.asarray(self.c * self.sigma_g * self.sigma_w)

    @property
    def mean_term(self) -> np.ndarray:
        """(M,) μ_g·μ_w."""
        return np.asarray(self.mean_g * self.mean_w)

    @property
    def estimate(self) -> float:
        """Σ_n (contribution + mean term) (+ remainder): the mean loss difference of the pairs that were kept."""
        return float(np.sum(self.contribution + self.mean_term)) + self.remainder

    def sharp_part(self, directions: int = 10) -> float:
        """The contribution of the directions of largest σ_g (authors' plotting code: the first 10)."""
        return float(self.contribution[self._by_sharpness()[:directions]].sum())

    def flat_part(self, directions: int = 10) -> float:
        """The contribution of all other directions that were kept; with ``top``, the rest is in ``remainder``."""
        return float(self.contribution[self._by_sharpness()[directions:]].sum())

    def _by_sharpness(self) -> np.ndarray:
        return np.argsort(-self.sigma_g, kind="stable")


def decompose(
    model: nn.Module,
    layer: str,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    loss: str | PerSampleLoss = "cross_entropy",
    pairs: tuple[Array, Array] | Pairs | None = None,
    top: int | None = None,
) -> Decomposition:
    """Split a network's generalization gap over the eigen-directions of one layer's Hessian.

    Args:
        model: any network in eval mode; the work is done on a float64 copy.
        layer: dotted name of an ``nn.Linear`` that is called once per forward on an (N, n) input, and through which
            every path from input to loss passes. Weights only; a bias is held fixed.
        train: training inputs (N, …) and targets (N,), arrays or tensors; class indices for the cross-entropy.
        test: test inputs (T, …) and targets (T,).
        loss: ``"cross_entropy"`` or a function (outputs, targets) -> losses of shape (N,).
        pairs: positions (train, test) of the samples to compare, each (P,), of equal targets; by default each test
            sample with the nearest training sample of its class.
        top: keep only this many directions of largest eigenvalue; the others are summed in ``remainder``.

    Returns:
        Everything per direction and per pair; the whole Hessian is diagonalised, also with ``top``.

    Raises:
        InputError: the layer, the data or the pairs cannot be used, or the layer has more than 12,000 weights.
    """
    probe = LayerProbe(model, layer, loss)
    if pairs is None:
        pairs = nearest_pairs(train, test)
    elif not isinstance(pairs, Pairs):
        pairs = Pairs(*(torch.as_tensor(np.asarray(index)) for index in pairs))
    return decompose_in_basis(probe, spectrum(layer_hessian(probe, train)), train, test, pairs, top)


def decompose_in_basis(
    probe: LayerProbe,
    basis: Spectrum,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    pairs: Pairs,
    top: int | None = None,
) -> Decomposition:
    """The same for a basis that is known: several pairings share one Hessian.

    Raises:
        InputError: pairs out of range or of unequal targets; a layer that the loss depends on by another path.
    """
    inputs, targets = probe.tensors(train)
    test_inputs, test_targets = probe.tensors(test)
    _check_pairs(pairs, targets, test_targets, top, len(basis.eigenvalues))
    activities, test_activities = probe.activities(inputs), probe.activities(test_inputs)
    losses, test_losses = probe.losses(inputs, targets), probe.losses(test_inputs, test_targets)

    dual = dual_weights(probe.weight, activities[pairs.train], test_activities[pairs.test])
    kept = dual.exists
    if not bool(kept.any()):
        raise InputError(
            f"no pair has a dual: the input of layer {probe.name!r} is zero for every training sample paired"
        )
    dual = dual[kept]
    train_index, test_index = pairs.train[kept], pairs.test[kept]
    train_loss, test_loss = losses[train_index], test_losses[test_index]
    output = test_activities[test_index] @ probe.weight.T
    dual_output = _dual_outputs(probe.weight, dual, activities[train_index])
    dual_loss = probe.losses_at_output(inputs[train_index], targets[train_index], dual_output + probe.bias)
    _check_not_bypassed(probe.name, dual_loss, test_loss)

    components = _components(dual, basis.eigenvectors[:, :top])  # (P, M)
    squared = dual.left.square().sum(1) * dual.right.square().sum(1)
    change = test_loss - train_loss
    secants = torch.where(squared > 0, change / squared.masked_fill(squared == 0, 1.0), 0.0)
    mean_w, mean_g, sigma_w, sigma_g, covariance = _moments(components, secants)
    product = sigma_g * sigma_w
    c = torch.where(product > 0, covariance / product.masked_fill(product == 0, 1.0), 0.0)
    total = change[squared > 0].sum() / len(change)
    remainder = 0.0 if top is None else float(total - (covariance + mean_g * mean_w).sum())
    return Decomposition(
        layer=probe.name,
        eigenvalues=_numpy(basis.eigenvalues[:top]),
        sigma_g=_numpy(sigma_g),
        sigma_w=_numpy(sigma_w),
        mean_g=_numpy(mean_g),
        mean_w=_numpy(mean_w),
        c=_numpy(c),
        gap=float(test_losses.mean() - losses.mean()),
        remainder=remainder,
        dropped=int((~kept).sum()),
        train_loss=_numpy(train_loss),
        test_loss=_numpy(test_loss),
        dual_loss=_numpy(dual_loss),
        dual_norm=_numpy(squared.sqrt()),
        output_error=float((dual_output - output).abs().max() / output.abs().max().clamp(min=1e-300)),
    )


def _check_pairs(pairs: Pairs, targets: Tensor, test_targets: Tensor, top: int | None, directions: int) -> None:
    if len(pairs.train) != len(pairs.test) or len(pairs) == 0:
        raise InputError(
            f"wanted as many training as test positions, and some: got {len(pairs.train)}, {len(pairs.test)}"
        )
    if any(index.is_floating_point() or index.dtype == torch.bool for index in (pairs.train, pairs.test)):
        raise InputError(f"pairs are positions, so integers: got {pairs.train.dtype} and {pairs.test.dtype}")
    for name, index, size in (("training", pairs.train, len(targets)), ("test", pairs.test, len(test_targets))):
        if int(index.min()) < 0 or int(index.max()) >= size:
            raise InputError(
                f"pairs name {name} samples {int(index.min())} to {int(index.max())}, but there are {size}"
            )
    unequal = (targets[pairs.train] != test_targets[pairs.test]).reshape(len(pairs), -1).any(1)
    if bool(unequal.any()):
        raise InputError(
            "a pair must have the same target on both sides, since its dual gives the training sample the test "
            f"sample's loss: the targets of {int(unequal.sum())} pairs differ"
        )
    if top is not None and not 1 <= top <= directions:
        raise InputError(f"top must be between 1 and the layer's {directions} weights: got {top}")


def _dual_outputs(weight: Tensor, dual: DualWeights, activities: Tensor) -> Tensor:
    """(W + ΔW_k) a_k, computed with the changed weights themselves, (P, m)."""
    parts = []
    for first in range(0, len(activities), _CHUNK):
        part = slice(first, first + _CHUNK)
        changed = weight + dual[part].matrices()
        parts.append(torch.bmm(changed, activities[part, :, None])[:, :, 0])
    return torch.cat(parts)


def _components(dual: DualWeights, directions: Tensor) -> Tensor:
    """The components of every ΔW along every direction, (P, M)."""
    starts = range(0, len(dual.left), _CHUNK)
    return torch.cat([dual[first : first + _CHUNK].matrices().flatten(1) @ directions for first in starts])


def _moments(components: Tensor, secants: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Means and standard deviations over pairs of w and g = secant·w, and their covariance, each (M,).

    The deviations are summed in chunks of pairs: no second array of the size of ``components`` is made.
    """
    count = len(components)
    mean_w, mean_g = components.mean(0), secants @ components / count
    square_w, square_g, product = (torch.zeros_like(mean_w) for _ in range(3))
    for w, secant in zip(components.split(_CHUNK), secants.split(_CHUNK), strict=True):
        deviation_w, deviation_g = w - mean_w, secant[:, None] * w - mean_g
        square_w += deviation_w.square().sum(0)
        square_g += deviation_g.square().sum(0)
        product += (deviation_w * deviation_g).sum(0)
    return mean_w, mean_g, (square_w / count).sqrt(), (square_g / count).sqrt(), product / count


def _check_not_bypassed(layer: str, dual_loss: Tensor, test_loss: Tensor) -> None:
    difference = ((dual_loss - test_loss).abs() / (1 + test_loss.abs())).max()
    if not float(difference) <= _BYPASS_TOLERANCE:
        raise InputError(
            f"layer {layer!r} is bypassed: with the layer's output of the test sample, the training sample's loss "
            f"differs from the test sample's by up to {float(difference):.3g} (relative), so some path from input to "
            "loss does not pass through the layer (a residual connection, say): the duality does not hold for it"
        )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
