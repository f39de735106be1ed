"""The density of a layer Hessian's eigenvalues, by stochastic Lanczos quadrature (Golub & Meurant; Lin, Saad & Yang).

For a random unit vector v, vᵀ f(H) v has the mean tr f(H)/M, and Lanczos iteration from v gives its Gauss quadrature:
the Ritz values θ_i as nodes, the squared first components of the eigenvectors of the tridiagonal matrix as weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from awduality.arguments import number, whole_number
from awduality.arrays import as_tensor
from awduality.curvature.lanczos import NEGLIGIBLE, Operator, orthogonalised
from awduality.curvature.operators import HessianOperator
from awduality.errors import InputError
from awduality.losses import PerSampleLoss
from awduality.opening import Output
from awduality.probe import LayerProbe
from awduality.samples import Brought
from awduality.streams import stream
from awduality.values import Value


@dataclass(frozen=True, eq=False, repr=False)
class SpectralDensity(Value):
    """An estimate of how the M eigenvalues of a matrix are distributed: a share of them at each node.

    Two errors. *Probes*: everything is a mean over random vectors. A share s of the eigenvalues has a standard error of
    about (2 s (1 − s) / (M · probes))^½: small for the bulk, larger than the share for one eigenvalue and one probe.
    ``moment_error`` is the standard error of a moment. *Steps*: moments up to order 2·steps − 1 have no other error.
    Nodes lie on outlying eigenvalues; in the bulk each stands for the many around it, so that a smoothed curve means
    something from the distance of neighbouring nodes on.
    """

    nodes: np.ndarray  # (probes, steps) Ritz values, ascending, in units of the eigenvalues
    weights: np.ndarray  # (probes, steps) share of the eigenvalues at each node; the sum of all is 1
    size: int  # M, the number of eigenvalues

    def smoothed(self, grid: np.ndarray, width: float) -> np.ndarray:
        """The density at the points of a grid, (G,), every node a Gaussian of standard deviation ``width``."""
        if not number("width", width) > 0:
            raise InputError(f"the width of the Gaussians must be positive, in units of the eigenvalues: got {width}")
        distance = (_grid(grid)[:, None] - self.nodes.ravel()) / width
        return np.asarray(np.exp(-(distance**2) / 2) @ self.weights.ravel() / (width * np.sqrt(2 * np.pi)))

    def cumulative(self, grid: np.ndarray) -> np.ndarray:
        """The share of the eigenvalues that are not larger than each point of a grid, (G,), from 0 to 1."""
        return np.asarray((self.nodes.ravel() <= _grid(grid)[:, None]) @ self.weights.ravel())

    def moment(self, order: int) -> float:
        """The mean of λ^order over the eigenvalues, tr H^order / M."""
        return float(np.sum(self.weights * self.nodes ** whole_number("order", order, 0)))

    def moment_error(self, order: int) -> float:
        """The standard error of this moment, from its spread over the probes; wants two of them at least."""
        by_probe = len(self.nodes) * np.sum(self.weights * self.nodes ** whole_number("order", order, 0), axis=1)
        return float(by_probe.std(ddof=1) / np.sqrt(len(by_probe))) if len(by_probe) > 1 else float("nan")


def _grid(points: np.ndarray) -> np.ndarray:
    found = as_tensor(points, "grid").double().cpu().numpy()
    if found.ndim != 1:
        raise InputError(f"grid must be points on a line, (G,): got shape {found.shape}")
    return found


@torch.inference_mode(False)
def layer_density(
    model: nn.Module,
    layer: str,
    train: Brought,
    loss: str | PerSampleLoss | nn.Module = "cross_entropy",
    probes: int = 10,
    steps: int = 50,
    seed: int = 0,
    *,
    output: Output = None,
) -> SpectralDensity:
    """How the eigenvalues of one layer's Hessian are distributed, however large the layer.

    Args:
        model: any network in eval mode; the work is done on a float64 copy.
        layer: dotted name of an ``nn.Linear`` that is called once per forward on an (N, n) input.
        train: training inputs (N, …) and targets (N, …), as in ``awduality.decompose``.
        loss: as in ``awduality.decompose``.
        probes: number of random vectors.
        steps: products of the Hessian with each of them; memory for as many vectors of the layer's size.
        seed: of the random vectors.
        output: as in ``awduality.decompose``.

    Raises:
        InputError: the layer or the data cannot be used, or a number is out of range.
    """
    for name, value, least in (("probes", probes, 1), ("steps", steps, 1), ("seed", seed, 0)):
        whole_number(name, value, least)
    probe = LayerProbe(model, layer, loss, output)
    return spectral_density(
        HessianOperator(probe, probe.see(train, "train")), probes, steps, stream(seed, "density", 0)
    )


def spectral_density(operator: Operator, probes: int, steps: int, generator: np.random.Generator) -> SpectralDensity:
    """The density of the eigenvalues of a symmetric (M, M) matrix, from products with random normal vectors.

    Raises:
        InputError: no probe or no step is asked for.
    """
    if probes < 1 or steps < 1:
        raise InputError(f"wanted at least one probe and one step: got {probes} and {steps}")
    size = operator.shape[0]
    nodes, weights = np.zeros((2, probes, min(steps, size)))
    for probe in range(probes):
        values, shares = _quadrature(operator, generator.standard_normal(size), nodes.shape[1])
        nodes[probe, : len(values)], weights[probe, : len(values)] = values, shares / probes
        nodes[probe, len(values) :] = values[-1]  # of no weight
    return SpectralDensity(nodes, weights, size)


def _quadrature(operator: Operator, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, ascending, and weights that add up to 1; fewer than ``steps`` where these are exact for the vector."""
    basis = torch.empty(steps, len(start), dtype=torch.float64, device=operator.device).T
    tridiagonal = basis.new_zeros(steps, steps)
    vector = torch.from_numpy(start).to(operator.device)[:, None]
    vector = vector / torch.linalg.vector_norm(vector)
    scale = basis.new_zeros(())
    for step in range(steps):
        basis[:, step : step + 1] = vector
        product = operator @ vector
        scale = torch.maximum(scale, torch.linalg.vector_norm(product))
        along, vector, coupling = orthogonalised(product, basis[:, : step + 1], NEGLIGIBLE * scale, step)
        tridiagonal[step, step] = along[-1, 0]
        if step + 1 == steps or not coupling.any():
            break
        tridiagonal[step + 1, step] = coupling[0, 0]
    values, vectors = torch.linalg.eigh(tridiagonal[: step + 1, : step + 1])
    return values.cpu().numpy(), vectors[0].square().cpu().numpy()
