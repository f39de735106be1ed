"""What is measured of one solution of the comparison of batches: the whole network, one layer, the determinants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.layer_hessian import hessian_trace
from awduality.curvature.network_hessian import NetworkHessian
from awduality.duality.determinants import determinants
from awduality.duality.nulls import balanced
from awduality.layers import by_layer
from awduality.networks import from_weights
from awduality.probe import LayerProbe
from studies.hessian_spectrum.data import Samples
from studies.hessian_spectrum.spectra import Numbers, network, outliers
from studies.hessian_spectrum.stack import Layers

LAYER = "fc2"


def whole_trace(weights: Mapping[str, np.ndarray], train: Samples) -> float:
    """Tr H of a network without biases, exact: the sum over its layers, whose Hessians are the blocks of H."""
    model = from_weights({name: layer.astype(np.float64) for name, layer in weights.items()})
    probes = [LayerProbe(model, name) for name in weights]
    return sum(hessian_trace(probe, probe.see(train)) for probe in probes)


def measured(layers: Layers, train: Samples, test: Samples, classes: int) -> Numbers:
    """λ₁, trace and count of outliers of the whole network, plain and balanced, beside those of one layer.

    ``interlacing_excess`` is what a layer's λ₁ has above the whole network's, relative to it: a block of a symmetric
    matrix has none. Outliers are counted among the 4k largest eigenvalues.
    """
    operator, weights = NetworkHessian(network(layers), train), by_layer(layers)
    top = top_eigenpairs(operator, 4 * classes).eigenvalues.numpy()
    trace = whole_trace(weights, train)
    found = {"loss": operator.loss, "top_eigenvalue": float(top[0]), "trace": trace, "outliers": outliers(top)}
    even = balanced(weights)
    flat = NetworkHessian(network([np.asarray(even[name]) for name in weights]), train)
    found["top_eigenvalue_balanced"] = float(top_eigenpairs(flat, 1).eigenvalues[0])
    layer = determinants(weights, LAYER, train, test)
    found["layer_top_eigenvalue"], found["layer_trace_share"] = layer["top_eigenvalue"], layer["trace"] / trace
    found["interlacing_excess"] = max(0.0, layer["top_eigenvalue"] / float(top[0]) - 1)
    return found | {f"{LAYER}/{name}": value for name, value in layer.items()}
