"""The numbers of a decomposition that fit in a table's row: what the pipeline keeps of it."""

from __future__ import annotations

import numpy as np

from awduality.duality.result import Decomposition

Row = dict[str, float | int | str]

COLUMNS = (
    "run",
    "layer",
    "pairing",
    "gap",  # mean test loss − mean training loss
    "estimate",  # Σ_n (c σ_g σ_w + μ_g μ_w)
    "sharp_part",  # of the estimate: directions of largest σ_g
    "flat_part",  # all other directions
    "mean_term",  # Σ_n μ_g μ_w
    "sigma_g_total",  # Σ_n σ_g over the directions above the tolerance
    "sigma_w_total",  # Σ_n σ_w over the same, the end of the cumulative curve
    "sigma_g_norm",  # (Σ_n σ_g²)^½, the same in every orthonormal basis
    "sigma_w_norm",  # (Σ_n σ_w²)^½
    "c_median",  # over the directions above the tolerance
    "c_sharpest",  # mean c of the sharpest quarter of the directions above the tolerance
    "c_flattest",  # mean c of the flattest quarter
    "sharpness_rank",  # Spearman's correlation of σ_g and the eigenvalue over the directions above the tolerance
    "spectra_correlation",  # correlation of log σ_g and log σ_w over the same
    "top_eigenvalue",
    "trace",
    "quadratic",  # ½ Σ_n λ_n (σ_w² + μ_w²) = ½ ⟨ΔWᵀ H ΔW⟩, second order in ΔW, without the test loss
    "rank",  # number of directions above the tolerance
    "layer_norm",  # |W|, Frobenius
    "weight_norm",  # the same over all layers
    "pairs",
    "dropped",  # pairs without a dual
    "output_error",  # largest |(W + ΔW) a − W a′| over largest |W a′|
    "loss_error",  # largest |ℓ(a; W + ΔW) − ℓ(a′; W)|
    "estimate_error",  # |estimate − ⟨ℓ(a′; W) − ℓ(a; W)⟩|
    "size_error",  # |Σ_n (σ_w² + μ_w²) / ⟨|W Δa|²/|a|²⟩ − 1|
)

SPECTRUM = (
    *("sharp_part", "flat_part", "mean_term", "estimate", "c_median", "c_sharpest", "c_flattest"),
    *("sharpness_rank", "spectra_correlation"),
)

BALANCED = (
    *("sharp_part", "flat_part", "sigma_g_total", "sigma_w_total", "sigma_g_norm", "sigma_w_norm"),
    *("top_eigenvalue", "trace", "quadratic", "layer_norm"),
)

NULL_COLUMNS = (
    *(f"{name}_shuffled" for name in SPECTRUM),  # with shuffled scalars, mean over the draws
    "sharp_part_random",  # in a random basis
    "estimate_random",
    "basis_error",  # |estimate − that in the random basis|
    "sigma_g_total_other",  # with another dual, ΔW′ = (W Δa) āᵀ/(ā·a), ā the mean activity over the pairs
    "sigma_w_total_other",
    "output_error_other",
    *(f"{name}_balanced" for name in BALANCED),  # of the same function in its balanced form
)
"""Controls, for the first pairing only; see ``awduality.duality.nulls``."""


_WHOLE = (  # of COLUMNS, those that need every direction of the layer
    *("flat_part", "mean_term", "sigma_g_total", "sigma_w_total", "sigma_g_norm", "sigma_w_norm", "c_median"),
    *("c_sharpest", "c_flattest", "sharpness_rank", "spectra_correlation", "quadratic", "rank", "size_error"),
)


def known(result: Decomposition, row: Row) -> Row:
    """The row without what needs every direction of the layer, where only the top ones were found."""
    return {name: number for name, number in row.items() if result.complete or name not in _WHOLE}


def spectrum_numbers(result: Decomposition, sharp_directions: int) -> dict[str, float]:
    """What is said of σ_g, σ_w and c over the directions: real ones, or those of a null; see ``COLUMNS``."""
    from scipy.stats import spearmanr

    above = result.above
    c = result.c[result.by_sharpness[: above.sum()]]
    sigma_g, sigma_w = result.sigma_g[above], result.sigma_w[above]
    quarter, varies = len(c) // 4, (sigma_g > 0) & (sigma_w > 0)
    enough = varies.sum() > 2
    return {
        "sharp_part": result.sharp_part(sharp_directions),
        "flat_part": result.flat_part(sharp_directions),
        "mean_term": float(result.mean_term.sum()),
        "estimate": result.estimate,
        "c_median": float(np.median(c)) if len(c) else 0.0,
        "c_sharpest": float(c[:quarter].mean()) if quarter else np.nan,
        "c_flattest": float(c[-quarter:].mean()) if quarter else np.nan,
        "sharpness_rank": float(spearmanr(sigma_g, result.eigenvalues[above]).statistic) if enough else np.nan,
        "spectra_correlation": float(np.corrcoef(np.log(sigma_g[varies]), np.log(sigma_w[varies]))[0, 1])
        if enough
        else np.nan,
    }


def summary(result: Decomposition, sharp_directions: int) -> Row:
    """The numbers of a decomposition that fit in a table's row; see ``COLUMNS``."""
    above = result.above
    second_moment = result.sigma_w**2 + result.mean_w**2
    mean_square = float(np.mean(result.dual_norm**2))
    return {
        "gap": result.gap,
        **spectrum_numbers(result, sharp_directions),
        "sigma_g_total": float(result.sigma_g[above].sum()),
        "sigma_w_total": float(result.sigma_w[above].sum()),
        "sigma_g_norm": float(np.linalg.norm(result.sigma_g)),
        "sigma_w_norm": float(np.linalg.norm(result.sigma_w)),
        "top_eigenvalue": float(result.eigenvalues[0]),
        "trace": result.trace,
        "quadratic": float(0.5 * np.sum(result.eigenvalues * second_moment)),
        "rank": int(above.sum()),
        "pairs": len(result.test_loss),
        "dropped": result.dropped,
        "output_error": result.output_error,
        "loss_error": float(np.abs(result.dual_loss - result.test_loss).max()),
        "estimate_error": abs(result.estimate - float(np.mean(result.test_loss - result.train_loss))),
        "size_error": abs(float(second_moment.sum()) / mean_square - 1) if mean_square else 0.0,
    }
