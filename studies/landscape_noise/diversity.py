"""The gradient-diversity term: how the mean of gradients at the learners' places differs from that at their mean.

    D = mean_j ∇ℓ_j(w̄ + δ_j) − mean_j ∇ℓ_j(w̄),    mean_j δ_j = 0

The mean of the learners moves by −α (∇ℓ(w̄) + D). Where the loss is quadratic with one Hessian for all learners,
D = H mean_j δ_j = 0. Hessians that differ between learners leave mean_j (H_j − H) δ_j even of a quadratic loss; so D is
measured twice, with each learner's own samples (``own``) and with the samples of all for every learner (``common``),
which leaves what is not quadratic, to second order in δ

    D ≈ ∇R,    R = ½ mean_j δ_jᵀ H(w̄) δ_j = ½ tr(H Σ),    Σ = mean_j δ_j δ_jᵀ,

the gradient of an effective loss that is larger where the loss is sharp along the deviations. Here Σ is held fixed. A
ReLU network is quadratic in no neighbourhood, and has kinks, which ∇R does not see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import grad, jvp
from torch.nn.functional import cross_entropy

from awduality.training.population import layers

Loss = Callable[[Tensor], Tensor]
"""Weights (P,) → the mean loss."""


def network_loss(shapes: Sequence[Sequence[int]], inputs: Tensor, labels: Tensor) -> Loss:
    """The mean cross-entropy of a fully connected ReLU network without biases on samples (S, …), labels (S,)."""

    def loss(row: Tensor) -> Tensor:
        first, *rest = (layer[0] for layer in layers(row[None], shapes))
        z = inputs @ first.T
        for layer in rest:
            z = z.relu() @ layer.T
        return cross_entropy(z, labels)

    return loss


def diversity(losses: Sequence[Loss], places: Tensor) -> Tensor:
    """D (P,) of learners at these places (n, P), with a loss each."""
    mean = places.mean(0)
    at_places = torch.stack([grad(loss)(place) for loss, place in zip(losses, places, strict=True)])
    at_mean = torch.stack([grad(loss)(mean) for loss in losses])
    return (at_places - at_mean).mean(0)


def curved(loss: Loss, places: Tensor) -> tuple[Tensor, float]:
    """∇R (P,), and how far Σ_j H δ_j is from zero, over Σ_j |H δ_j|: D of the quadratic loss that fits at w̄."""
    mean = places.mean(0)
    deviations = places - mean

    def effective(row: Tensor) -> tuple[Tensor, Tensor]:
        products = torch.stack([jvp(grad(loss), (row,), (delta,))[1] for delta in deviations])
        return (products * deviations).sum(1).mean() / 2, products

    gradient, products = grad(effective, has_aux=True)(mean)
    total = torch.linalg.vector_norm(products, dim=1).sum()
    return gradient, float(torch.linalg.vector_norm(products.sum(0)) / total)


def looked(loss: Loss, own: Sequence[Loss], places: Tensor) -> dict[str, float]:
    """Everything that is said of the learners of an arm at one step.

    Args:
        loss: on the samples of all learners.
        own: on each learner's samples.
        places: (n, P) float64, where they take their gradients.

    Returns:
        ``strength`` mean_j |δ_j|², ``gradient`` |∇ℓ(w̄)|, ``own`` and ``common`` |D|, ``effective`` |∇R|,
        ``quadratic_error`` of ``curved``, and the cosines ``own_cosine`` and ``common_cosine`` between D and ∇R; NaN
        where a term is zero.
    """
    mean = places.mean(0)
    terms = {"own": diversity(own, places), "common": diversity([loss] * len(places), places)}
    effective, quadratic = curved(loss, places)
    cosines = {f"{name}_cosine": cosine(term, effective) for name, term in terms.items()}
    terms |= {"gradient": grad(loss)(mean), "effective": effective}
    norms = {name: float(torch.linalg.vector_norm(term)) for name, term in terms.items()}
    strength = float((places - mean).square().sum(1).mean())
    return {"strength": strength, **norms, "quadratic_error": quadratic, **cosines}


def cosine(one: Tensor, other: Tensor) -> float:
    """Of the angle between two directions; NaN where one of them is zero."""
    return float(one @ other / torch.linalg.vector_norm(one) / torch.linalg.vector_norm(other))
