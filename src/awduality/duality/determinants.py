"""Sharpness and size of trained solutions, in one table for all studies: what methods are compared by.

A *method* is a way to train; its *baseline* is another one, and a run of the method is compared with the run of the
baseline that has the same seed and was stopped at the same training loss. A study says which run is of which method
(``Comparison``), and measures its solutions by ``determinants``, or by what it has measured already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from awduality.duality.pairing import Pairs, nearest_pairs
from awduality.duality.solution import solution_row
from awduality.errors import InputError
from awduality.networks import from_weights
from awduality.probe import Array, LayerProbe

if TYPE_CHECKING:
    import pandas as pd

MEASURED = {"gap": "gap", "estimate": "estimate", "top_eigenvalue": "top_eigenvalue", "trace": "trace"}
MEASURED |= {"sharpness": "sigma_g_norm", "size": "sigma_w_norm"}
MEASURED |= {
    f"{name}_balanced": f"{MEASURED[name]}_balanced" for name in ("top_eigenvalue", "trace", "sharpness", "size")
}
"""Name here → name in ``SOLUTION_COLUMNS``."""

_LOSSES = ("train_loss", "test_loss")
MEASURES = ("gap", *_LOSSES, *(name for name in MEASURED if name != "gap"))
DETERMINANT_COLUMNS = ("config", "dataset", "method", "baseline", "run", "seed", "layer", "target_loss", *MEASURES)
"""``baseline`` is the run that this one is compared with; it is empty where there is none."""


def determinants(
    weights: Mapping[str, np.ndarray],
    layer: str,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
    directions: int = 10,
    pairs: Pairs | None = None,
) -> dict[str, float]:
    """Measure one layer of one solution, in float64.

    Args:
        weights: name -> weights of every layer, ``fc1`` …; see ``awduality.networks``.
        layer: the layer's name.
        train: training inputs (N, n) and class indices (N,).
        test: test inputs (T, n) and class indices (T,).
        directions: how many of the largest eigenvalues are computed, fewer than the layer has weights.
        pairs: which samples are compared; by default each test sample with the nearest training sample of its class.

    Returns:
        ``MEASURES``, losses in nats: the gap ⟨ℓ(test)⟩ − ⟨ℓ(train)⟩ and both losses over all samples, the estimate of
        the gap over the pairs, λ₁ and the trace of the layer's Hessian on the training samples, sharpness
        (Σ_n σ_g²)^½ and size (Σ_n σ_w²)^½ over all directions; the last four also of the same function in its balanced
        form (``awduality.duality.nulls.balanced``), which no rescaling of units changes.

    Raises:
        InputError: the network, the layer, the samples or the pairs cannot be used.
    """
    precise = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
    probe = LayerProbe(from_weights(precise), layer)
    chosen = nearest_pairs(train, test) if pairs is None else pairs
    row, losses = solution_row(precise, layer, probe.tensors(train), probe.tensors(test), chosen, directions)
    found = {name: float(row[measured]) for name, measured in MEASURED.items()}
    found["test_loss"] = float(losses.mean())
    found["train_loss"] = found["test_loss"] - found["gap"]
    return {name: found[name] for name in MEASURES}


@dataclass(frozen=True)
class Comparison:
    """Which runs of a study are compared with which."""

    method: Callable[[Mapping[str, Any]], str]  # a row of the runs → the name of its method; empty: left out
    baselines: Mapping[str, str]  # method → the method that it is compared with
    matched: Sequence[str] = ()  # columns that a run and its baseline agree in, beside target loss and seed
    measures: Mapping[str, str] = field(default_factory=dict)  # measure → its column, where that has another name


def determinant_rows(runs: pd.DataFrame, rule: Comparison, target_loss: float | None = None) -> list[dict[str, Any]]:
    """The rows of the common table, from the runs of one study.

    Args:
        runs: a row per run and layer: config, dataset, run, seed, layer, ended, target_loss, the measures, and what
            the rule reads. Where it has several pairings, the rows of test_to_train count.
        rule: what is compared.
        target_loss: that of all runs, where it is no column.

    Returns:
        ``DETERMINANT_COLUMNS`` of every run that has converged and is of a method, in the order of the table.

    Raises:
        InputError: a column is not there, or a run could be compared with several.
    """
    table = runs if target_loss is None else runs.assign(target_loss=target_loss)
    sources = {name: rule.measures.get(name, name) for name in MEASURES}
    plain = [name for name in DETERMINANT_COLUMNS if name not in (*MEASURES, "method", "baseline")]
    if missing := [name for name in (*plain, "ended", *rule.matched, *sources.values()) if name not in table]:
        raise InputError(f"the runs have no columns {missing}: got {list(table.columns)}")
    if "pairing" in table:
        table = table[table["pairing"] == "test_to_train"]
    converged: list[dict[str, Any]] = table[table["ended"] == "converged"].to_dict("records")  # type: ignore[assignment]
    named = [(method, row) for row in converged if (method := rule.method(row))]
    places: dict[tuple[Any, ...], str] = {}
    for method, row in named:
        if method in rule.baselines.values():
            place = _place(method, row, rule)
            if places.setdefault(place, row["run"]) != row["run"]:
                raise InputError(f"runs {places[place]} and {row['run']} are both baseline of {place}: match by more")
    rows = []
    for method, row in named:
        baseline = places.get(_place(rule.baselines[method], row, rule), "") if method in rule.baselines else ""
        words = {name: row[name] for name in plain} | {"method": method, "baseline": baseline}
        rows.append({name: row[sources[name]] if name in sources else words[name] for name in DETERMINANT_COLUMNS})
    return rows


def _place(method: str, row: Mapping[str, Any], rule: Comparison) -> tuple[Any, ...]:
    return (method, *(row[name] for name in ("config", "dataset", "layer", "target_loss", "seed", *rule.matched)))
