"""Every predictor of the gap alike: how it ranks the runs of a block, and what it misses of those it was not fitted to.

A predictor is a product of powers of columns. It ranks with these powers. Where it predicts the logarithm of the gap,
every column has an exponent that is fitted to the other folds of its block, unless its powers are fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from awduality.claims.held_out import left_out
from awduality.claims.ordered import spearman
from awduality.claims.rows import CONVERGED
from awduality.study.tables import Row, Rows, derived_step
from studies.random_design.study import FIXED

OWN, BALANCED, RIVAL, CIRCULAR, NONE = "duality", "balanced", "literature", "circular", "none"

_LEAST = 10  # converged runs of a block that are ranked and fitted


@dataclass(frozen=True)
class Predictor:
    """A product of powers of columns of the runs."""

    powers: Mapping[str, float]
    group: str
    fixed: bool = False  # whether it predicts with these powers, too; else they are fitted

    def logarithms(self, rows: pd.DataFrame) -> np.ndarray:
        """(rows, columns) of its columns."""
        return np.asarray(np.log(rows[list(self.powers)].to_numpy(float)))

    def ranked(self, rows: pd.DataFrame) -> np.ndarray:
        """(rows,) the logarithm of the product."""
        return np.asarray(self.logarithms(rows) @ np.array(list(self.powers.values())))

    def misses(self, rows: pd.DataFrame, target: np.ndarray, folds: np.ndarray) -> float:
        """The root mean square of what it misses of (rows,) a target in the folds that it was not fitted to."""
        features = self.logarithms(rows)
        if self.fixed:
            target, features = target - self.ranked(rows), np.empty((len(rows), 0))
        return float(np.sqrt(np.mean(left_out(features, target, folds)[0] ** 2)))


def _balanced(powers: Mapping[str, float]) -> dict[str, float]:
    return {f"{name}_balanced": power for name, power in powers.items()}


_SECOND = {"quadratic": 1.0}

PREDICTORS: Mapping[str, Predictor] = {
    "λ₁, size": Predictor(FIXED, OWN),
    "λ₁^½ size^1.75": Predictor(FIXED, OWN, fixed=True),
    "λ₁": Predictor({"top_eigenvalue": 1}, OWN),
    "size": Predictor({"sigma_w_norm": 1}, OWN),
    "trace": Predictor({"trace": 1}, OWN),
    "½ Σ λ ⟨ΔW²⟩": Predictor(_SECOND, OWN),
    "λ₁, size, balanced": Predictor(_balanced(FIXED), BALANCED),
    "λ₁^½ size^1.75, balanced": Predictor(_balanced(FIXED), BALANCED, fixed=True),
    "½ Σ λ ⟨ΔW²⟩, balanced": Predictor(_balanced(_SECOND), BALANCED),
    "path norm": Predictor({"path_norm": 1}, RIVAL),
    "path norm / margin": Predictor({"path_norm": 1, "margin": -1}, RIVAL),
    "spectral product": Predictor({"spectral_product": 1}, RIVAL),
    "spectral product / margin²": Predictor({"spectral_product": 1, "margin": -2}, RIVAL),
    "1 / margin²": Predictor({"margin": -2}, RIVAL),
    "PAC-Bayes flatness": Predictor({"pac_bayes": 1}, RIVAL),
    "PAC-Bayes flatness, relative": Predictor({"pac_bayes_relative": 1}, RIVAL),
    "relative flatness": Predictor({"relative_flatness": 1}, RIVAL),
    "|W|": Predictor({"layer_norm": 1}, RIVAL),
    "all weights' norm": Predictor({"weight_norm": 1}, RIVAL),
    "1 / N": Predictor({"train_size": -1}, RIVAL),
    "constant": Predictor({}, NONE),
    "σ_g σ_w": Predictor({"sigma_g_norm": 1, "sigma_w_norm": 1}, CIRCULAR),
}
"""Label → predictor. The circular one holds the test loss, which the gap is made of: its σ_g is Δℓ/|ΔW|² times ΔW."""

COLUMNS = ("config", "dataset", "predictor", "group", "seed", "runs", "rank", "missed")


def block_rows(rows: pd.DataFrame) -> list[Row]:
    """A row per predictor of one block."""
    target, folds = np.log(rows["gap"].to_numpy(float)), rows["fold"].to_numpy()
    head = {name: rows[name].iloc[0] for name in ("config", "dataset")}
    tail = {"seed": int(rows["seed"].iloc[0]), "runs": len(rows)}
    found: list[Row] = []
    for label, one in PREDICTORS.items():
        numbers = {"rank": spearman(one.ranked(rows), target), "missed": one.misses(rows, target, folds)}
        found.append({**head, "predictor": label, "group": one.group, **tail, **numbers})
    return found


def run(tables: Mapping[str, pd.DataFrame], _asked: Mapping[str, Any]) -> dict[str, Rows]:
    """The table ``predictors``, from the converged runs whose gap has a logarithm."""
    runs = tables["runs"]
    usable = runs[(runs["ended"] == CONVERGED) & (runs["gap"] > 0)]
    blocks = [rows for _, rows in usable.groupby("seed") if len(rows) >= _LEAST]
    return {"predictors": ([row for rows in blocks for row in block_rows(rows)], COLUMNS)}


if __name__ == "__main__":
    derived_step(run)
