"""What is measured of one solution of the comparison of batches: the whole network, one layer, the determinants."""

from __future__ import annotations

import numpy as np

from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.network_hessian import NetworkHessian
from awduality.duality.determinants import determinants
from awduality.duality.nulls import balanced
from studies.hessian_spectrum.data import Samples
from studies.hessian_spectrum.spectra import Numbers, gauss_newton_trace, network, outliers
from studies.hessian_spectrum.stack import Layers

LAYER = "fc2"
def named(layers: Layers) -> dict[str, np.ndarray]:
    """Name → weights, as the library has them."""
    return {f"fc{number}": layer for number, layer in enumerate(layers, 1)}


def measured(layers: Layers, train: Samples, test: Samples, classes: int) -> Numbers:
    """λ₁, trace and count of outliers of the whole network, plain and balanced, beside those of one layer.

    ``interlacing_excess`` is what a layer's λ₁ has above the whole network's, relative to it: a block of a symmetric
    matrix has none. The trace is that of the Gauss–Newton part, see ``spectra.density_summary``.
    """
    operator = NetworkHessian(network(layers), train)
    top = top_eigenpairs(operator, 4 * classes).eigenvalues.numpy()
    trace = gauss_newton_trace(operator)
    found = {"loss": operator.loss, "top_eigenvalue": float(top[0]), "trace": trace, "outliers": outliers(top)}
    even = balanced(named(layers))
    flat = NetworkHessian(network([np.asarray(even[name]) for name in named(layers)]), train)
    found["top_eigenvalue_balanced"] = float(top_eigenpairs(flat, 1).eigenvalues[0])
    layer = determinants(named(layers), LAYER, train, test)
    found["layer_top_eigenvalue"], found["layer_trace_share"] = layer["top_eigenvalue"], layer["trace"] / trace
    found["interlacing_excess"] = max(0.0, layer["top_eigenvalue"] / float(top[0]) - 1)
    return found | {f"{LAYER}/{name}": value for name, value in layer.items()}
