"""What may predict the gap: fourteen published measures, the main paper's candidates, and what calibrates them.

Each is a function of the numbers of ``numbers.py``. Published measures are as in the code of Dziugaite et al. (2020),
arXiv 2010.11924, after Jiang et al. (2020), arXiv 1912.02178: √(C/n) of a measure C of n training samples, or
½ (C − log n) of one that is a logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

PUBLISHED, CANDIDATE, BALANCED, PER_SAMPLE = "published", "candidate", "balanced", "per sample"
TRAIN_ONLY, CIRCULAR, CALIBRATION = "training samples only", "circular", "calibration"
PAC_BAYES = ("pac_flatness", "pac_init", "pac_orig")
PRODUCT, EIGENVALUE, SIZE = "eigenvalue_size", "eigenvalue", "size"

Columns = Mapping[str, np.ndarray]
"""Numbers of many runs, (R,) each, by name; ``train_size`` among them."""


@dataclass(frozen=True)
class Measure:
    """A measure: what it makes of the numbers of runs, and how text writes it."""

    group: str
    words: str
    of: Callable[[Columns], np.ndarray]


def _root(numerator: Callable[[Columns], np.ndarray]) -> Callable[[Columns], np.ndarray]:
    return lambda runs: np.asarray(np.sqrt(numerator(runs) / runs["train_size"]))


def _logarithm(name: str, margin_too: bool) -> Callable[[Columns], np.ndarray]:
    def of(runs: Columns) -> np.ndarray:
        shrunk = 2 * np.log(runs["margin"]) if margin_too else 0.0
        return np.asarray((runs[name] - shrunk - np.log(runs["train_size"])) / 2)

    return of


def pac_bayes_bound(runs: Columns, norm: str) -> np.ndarray:
    """√((‖·‖²/4σ² + log(n/σ) + 10)/n), ‖·‖² of the weights (``norm``) or of their way (``distance``)."""
    n, precision = runs["train_size"], runs["precision"]
    return np.asarray(np.sqrt((runs[norm] * precision / 4 + np.log(n) + np.log(precision) / 2 + 10) / n))


def _published() -> dict[str, Measure]:
    spoken: dict[str, tuple[str, Callable[[Columns], np.ndarray]]] = {
        "parameters": ("parameter count", _root(lambda runs: runs["parameters"])),
        "inverse_margin": (r"1 / margin$^2$", _root(lambda runs: runs["margin"] ** -2)),
        "spectral": (r"log $\Pi\|W\|_2^2$", _logarithm("log_spectral", False)),
        "spectral_margin": (r"log $\Pi\|W\|_2^2$ / margin$^2$", _logarithm("log_spectral", True)),
        "frobenius": (r"log $\Pi\|W\|_F^2$", _logarithm("log_frobenius", False)),
        "frobenius_margin": (r"log $\Pi\|W\|_F^2$ / margin$^2$", _logarithm("log_frobenius", True)),
        "stable_ranks": (r"$\Sigma\|W\|_F^2/\|W\|_2^2$", _root(lambda runs: runs["stable_ranks"])),
        "distance": (r"$\|w-w_0\|^2$", _root(lambda runs: runs["distance"])),
        "norm": (r"$\|w\|^2$", _root(lambda runs: runs["norm"])),
        "path": ("path norm", _root(lambda runs: runs["path"])),
        "path_margin": (r"path norm / margin$^2$", _root(lambda runs: runs["path"] / runs["margin"] ** 2)),
        "pac_flatness": (r"PAC-Bayes, $1/\sigma^2$", _root(lambda runs: runs["precision"])),
        "pac_init": (r"PAC-Bayes, $\|w-w_0\|^2$", lambda runs: pac_bayes_bound(runs, "distance")),
        "pac_orig": (r"PAC-Bayes, $\|w\|^2$", lambda runs: pac_bayes_bound(runs, "norm")),
    }
    return {name: Measure(PUBLISHED, words, of) for name, (words, of) in spoken.items()}


def _determinants(group: str, curvature: str, dual: str, tail: str, per_sample: bool) -> dict[str, Measure]:
    """λ₁, trace, Σσ_w², their products and ½Σλ⟨ΔW²⟩, of the columns with these endings."""

    def plain(*names: str) -> Callable[[Columns], np.ndarray]:
        def of(runs: Columns) -> np.ndarray:
            return np.asarray(np.prod([runs[name] ** (2 if name.startswith("size") else 1) for name in names], axis=0))

        return _root(of) if per_sample else of

    top, trace = f"top_eigenvalue{curvature}", f"trace{curvature}"
    size, second = f"size{dual}", f"quadratic{dual}"
    found = {
        "eigenvalue": (r"$\lambda_1$", (top,)),
        "trace": (r"tr $H$", (trace,)),
        "size": (r"$\Sigma\sigma_w^2$", (size,)),
        "eigenvalue_size": (r"$\lambda_1\,\Sigma\sigma_w^2$", (top, size)),
        "trace_size": (r"tr $H\ \Sigma\sigma_w^2$", (trace, size)),
        "quadratic": (r"$\frac{1}{2}\Sigma\lambda\langle\Delta W^2\rangle$", (second,)),
    }
    words = {"": "", "_balanced": ", balanced", "_per_sample": ", $\\sqrt{\\cdot/n}$", "_own": ", training samples"}
    return {
        f"{name}{tail}": Measure(group, said + words[tail], plain(*names))
        for name, (said, names) in found.items()
        if group != TRAIN_ONLY or dual in "".join(names)
    }


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        **_published(),
        **_determinants(CANDIDATE, "", "", "", False),
        **_determinants(BALANCED, "_balanced", "_balanced", "_balanced", False),
        **_determinants(PER_SAMPLE, "", "", "_per_sample", True),
        **_determinants(TRAIN_ONLY, "", "_own", "_own", False),
        "circular": Measure(
            CIRCULAR,
            r"$\Sigma\sigma_g^2\,\Sigma\sigma_w^2$ (circular)",
            lambda runs: np.asarray((runs["sharpness"] * runs["size"]) ** 2),
        ),
        "one_over_n": Measure(CALIBRATION, "$1/n$", lambda runs: 1 / runs["train_size"]),
        "train_loss": Measure(CALIBRATION, "training loss", lambda runs: runs["train_loss"]),
        "noise": Measure(CALIBRATION, "random numbers", lambda runs: runs["noise"]),
        "oracle": Measure(CALIBRATION, "oracle: half of the test set", lambda runs: runs["oracle"]),
    }
)
"""Name → measure; the larger it is, the larger a gap it says."""


def of_group(*groups: str) -> Sequence[str]:
    """The names of the measures of some groups."""
    return [name for name, one in MEASURES.items() if one.group in groups]
