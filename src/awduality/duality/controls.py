"""The baseline's solutions under every null: rows and curves over the directions, for the figure of the nulls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from awduality.duality.analysis import Analysis
from awduality.duality.nulls import Weights, null_stream, random_factors, rescaled_layers, rescaled_neurons
from awduality.duality.result import Decomposition, Directions
from awduality.duality.summary import Row

REAL = "real"
"""The name of the solution itself, beside those of the nulls."""

COLUMNS = (
    "run",
    "layer",
    "null",  # real, or the name of a null
    "draw",
    "estimate",
    "sharp_part",
    "flat_part",
    "sigma_g_total",  # over the directions above the tolerance, all in a random basis
    "sigma_w_total",
    "top_eigenvalue",  # empty in a random basis
    "estimate_error",  # |estimate − the real one|; shuffled scalars change it
    "product_error",  # largest |c σ_g σ_w − the real one| of a direction; for layer-wise rescaling
)


@dataclass(frozen=True)
class Drawn:
    """One draw of a null."""

    null: str
    draw: int
    directions: Directions  # a Decomposition, unless the basis is random


def controls(
    analysis: Analysis, run: str, seed: int, weights: Weights, train_size: int, rescalings: int
) -> tuple[list[Row], dict[str, np.ndarray]]:
    """Analyse one network under every null, for the first pairing.

    Args:
        analysis: split, layers, pairings and random numbers.
        run: the run's id, the first part of every array's name.
        seed: its seed index.
        weights: layer name -> (outputs, inputs) matrix.
        train_size: the number of clean training samples of the run.
        rescalings: how many random rescalings of each kind.

    Returns:
        A row per layer, null and draw (``COLUMNS``), and arrays ``<run>/<layer>/<null>/<draw>/<name>`` with names
        ``sigma_g``, ``c`` and ``contribution``: over the directions above the tolerance, by descending σ_g.
    """
    analysis = analysis.of_seed(seed)
    rows: list[Row] = []
    arrays: dict[str, np.ndarray] = {}
    for layer in analysis.layers:
        drawn = list(_draws(analysis, seed, weights, train_size, layer, rescalings))
        real = drawn[0].directions
        for entry in drawn:
            rows.append({"run": run, "layer": layer, **_row(entry, real, analysis.sharp_directions)})
            prefix = f"{run}/{layer}/{entry.null}/{entry.draw}"
            arrays |= {f"{prefix}/{name}": array for name, array in _curves(entry).items()}
    return rows, arrays


def _draws(
    analysis: Analysis, seed: int, weights: Weights, train_size: int, layer: str, rescalings: int
) -> Iterator[Drawn]:
    found = analysis.analyse(weights, layer, train_size)
    yield Drawn(REAL, 0, found.result)
    for draw, directions in enumerate(analysis.shuffled(seed, found)):
        yield Drawn("shuffled_scalars", draw, directions)
    yield Drawn("random_basis", 0, analysis.rotated(seed, found))
    layers = null_stream(analysis.root_seed, seed, "layerwise")
    neurons = null_stream(analysis.root_seed, seed, "neuronwise")
    for draw, factor in enumerate(random_factors(layers, rescalings)):
        for null, scaled in (
            ("layerwise", rescaled_layers(weights, layer, float(factor))),
            ("neuronwise", rescaled_neurons(weights, neurons)),
        ):
            yield Drawn(null, draw, analysis.analyse(scaled, layer, train_size).result)


def _row(entry: Drawn, real: Directions, sharp_directions: int) -> Row:
    above = _above(entry.directions)
    row: Row = {
        "null": entry.null,
        "draw": entry.draw,
        "estimate": entry.directions.estimate,
        "sharp_part": entry.directions.sharp_part(sharp_directions),
        "flat_part": entry.directions.flat_part(sharp_directions),
        "sigma_g_total": float(entry.directions.sigma_g[above].sum()),
        "sigma_w_total": float(entry.directions.sigma_w[above].sum()),
        "estimate_error": abs(entry.directions.estimate - real.estimate),
    }
    if isinstance(entry.directions, Decomposition):
        row["top_eigenvalue"] = float(entry.directions.eigenvalues[0])
    if entry.null == "layerwise":
        row["product_error"] = float(np.abs(entry.directions.contribution - real.contribution)[above].max())
    return row


def _curves(entry: Drawn) -> dict[str, np.ndarray]:
    order = entry.directions.by_sharpness[: _above(entry.directions).sum()]
    return {name: getattr(entry.directions, name)[order] for name in ("sigma_g", "c", "contribution")}


def _above(directions: Directions) -> np.ndarray:
    return directions.above if isinstance(directions, Decomposition) else np.ones(len(directions.c), dtype=bool)
