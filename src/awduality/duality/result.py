"""What a decomposition found: every direction, every pair, and the ways to print, compare, tabulate and keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from awduality.curvature.spectrum import above_tolerance
from awduality.errors import InputError
from awduality.files import read_json, write_arrays, write_json
from awduality.values import Value

if TYPE_CHECKING:
    import pandas as pd

_FORMAT = "awduality.Decomposition/1"
_SUFFIXES = (".safetensors", ".json")
_PER_PAIR = ("train_loss", "test_loss", "dual_loss", "dual_norm")
_PER_DIRECTION = ("eigenvalues", "sigma_g", "sigma_w", "mean_g", "mean_w", "c")


@dataclass(frozen=True, eq=False, repr=False)
class Directions(Value):
    """Moments over pairs along each of M directions; arrays are NumPy float64.

    σ_w has the unit of the weights, σ_g is loss per unit of weight.
    """

    sigma_g: np.ndarray  # (M,) sharpness: standard deviation over pairs of g along each direction
    sigma_w: np.ndarray  # (M,) size: the same of the dual-weight change
    mean_g: np.ndarray  # (M,)
    mean_w: np.ndarray  # (M,)
    c: np.ndarray  # (M,) correlation of the two over pairs; 0 where one of them does not vary

    def __repr__(self) -> str:
        return f"{type(self).__name__} along {len(self.sigma_g)} directions: estimate {self.estimate:.4g}"

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
        """Σ_n (contribution + mean term): the mean loss difference of the pairs that were kept."""
        return float(np.sum(self.contribution + self.mean_term))

    def sharp_part(self, directions: int = 10) -> float:
        """The contribution of the directions of largest σ_g (authors' plotting code: the first 10).

        In an eigenbasis directions of the Hessian's null space rank last: the basis there is arbitrary.
        """
        return float(self.contribution[self.by_sharpness[: _number(directions)]].sum())

    def flat_part(self, directions: int = 10) -> float:
        """The contribution of the other ones of these M directions; what ``top`` left out is in the ``remainder``."""
        return float(self.contribution[self.by_sharpness[_number(directions) :]].sum())

    @property
    def by_sharpness(self) -> np.ndarray:
        """(M,) the directions by descending σ_g."""
        return np.argsort(-self.sigma_g, kind="stable")


def _number(directions: int) -> int:
    if isinstance(directions, bool) or not isinstance(directions, Integral) or int(directions) < 0:
        raise InputError(f"the sharp part is that of some directions, or of none: got {directions!r}")
    return int(directions)


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition(Directions):
    """The gap over the eigen-directions of a layer's Hessian, and what the pairs say.

    M directions: all m·n of the layer, or those of largest eigenvalue where ``top`` was given or the layer is too large
    for all. What the others add to the estimate is the ``remainder``, exact; ``size_share`` and ``trace_share`` tell
    how much of the whole lies along the M. Losses are in nats for the cross-entropy, |ΔW| has the unit of the weights.
    """

    layer: str
    weights: int  # of the layer, m·n
    eigenvalues: np.ndarray  # (M,) of the layer's Hessian, descending
    trace: float  # of the layer's Hessian, exact: the sum of all its eigenvalues, of directions left out too
    gap: float  # mean test loss − mean training loss, over all samples
    remainder: float  # what directions left out add to the estimate, their mean terms included; 0 where there are none
    dropped: int  # pairs without a dual: silent training activity, but another output wanted
    train_loss: np.ndarray  # (P,) ℓ(a; W) of each pair that was kept
    test_loss: np.ndarray  # (P,) ℓ(a′; W)
    dual_loss: np.ndarray  # (P,) ℓ(a; W + ΔW): equal to test_loss, since the duality is exact
    dual_norm: np.ndarray  # (P,) |ΔW|
    output_error: float  # largest |(W + ΔW) a − W a′| over pairs, relative to the largest |W a′|
    target_shift: float = 0.0  # with a tolerance of targets: what their difference adds to the mean, ℓ(y′) − ℓ(y)

    def __repr__(self) -> str:
        """A few lines: what was decomposed, and the numbers that one looks at first."""
        directions = f"{len(self.sigma_g)} directions"
        directions += f" ({self.above.sum()} with curvature)" if self.complete else f" of {self.weights:,}"
        pairs = f"{len(self.test_loss)} pairs" + (f" ({self.dropped} more without a dual)" if self.dropped else "")
        means = float(self.mean_term.sum())
        parts = {"sharpest ten": self.sharp_part(), "other directions": self.flat_part(), "means": means}
        if not self.complete:
            parts["directions left out"] = self.remainder
        terms = "; ".join(f"{name} {number:.4g}" for name, number in parts.items())
        sharpness, size = (float(np.linalg.norm(sigma)) for sigma in (self.sigma_g, self.sigma_w))
        top = float(self.eigenvalues[0]) if len(self.eigenvalues) else float("nan")
        return (
            f"Decomposition of layer {self.layer!r}: {directions}, {pairs}\n"
            f"  gap {self.gap:.4g}; estimate {self.estimate:.4g}, of which {terms}\n"
            f"  λ₁ {top:.4g}, trace {self.trace:.4g}; sharpness (Σσ_g²)^½ {sharpness:.4g}, size (Σσ_w²)^½ {size:.4g}"
        )

    def summary(self, sharp_directions: int = 10) -> dict[str, float | int | str]:
        """The numbers that fit in a table's row, by the names that the pipeline's tables have.

        Their meanings are beside ``awduality.duality.summary.COLUMNS``. Where only the top directions are known, those
        that need all of them are left out.

        Args:
            sharp_directions: how many directions make up the sharp part.
        """
        from awduality.duality.summary import known, summary  # which reads this module

        return {"layer": self.layer, **known(self, summary(self, sharp_directions))}

    def to_frame(self) -> pd.DataFrame:
        """A row per direction, by descending sharpness, those of the Hessian's null space last.

        Returns:
            The index ``direction`` is the place by descending eigenvalue, from 0; columns ``eigenvalue``, ``sigma_g``,
            ``sigma_w``, ``mean_g``, ``mean_w``, ``c``, ``contribution``, ``mean_term`` and ``above``, whether the
            direction has curvature.
        """
        import pandas as pd

        columns = {("eigenvalue" if name == "eigenvalues" else name): getattr(self, name) for name in _PER_DIRECTION}
        columns |= {"contribution": self.contribution, "mean_term": self.mean_term, "above": self.above}
        order = self.by_sharpness
        index = pd.Index(order, name="direction")
        return pd.DataFrame({name: values[order] for name, values in columns.items()}, index=index)

    def pairs_to_frame(self) -> pd.DataFrame:
        """A row per pair that was kept: ``train_loss``, ``test_loss``, ``dual_loss`` and ``dual_norm``."""
        import pandas as pd

        return pd.DataFrame({name: getattr(self, name) for name in _PER_PAIR})

    def save(self, path: str | Path) -> None:
        """Write everything to one file, from which ``load`` makes an equal object.

        Args:
            path: its suffix chooses the format: ``.safetensors``, or ``.json`` for eyes and other languages.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        path = _chosen(path)
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: numbers.pop(name) for name in (*_PER_DIRECTION, *_PER_PAIR)}
        content = {"format": _FORMAT, **numbers}
        if path.suffix == ".json":
            write_json(path, content | {name: array.tolist() for name, array in arrays.items()})
        else:
            write_arrays(path, arrays, {"awduality": json.dumps(content, sort_keys=True)})

    @classmethod
    def load(cls, path: str | Path) -> Decomposition:
        """Read what ``save`` has written.

        Raises:
            InputError: there is no such file, or it holds something else.
        """
        path = _chosen(path)
        if not path.is_file():
            raise InputError(f"there is no file {path}: wanted one that Decomposition.save has written")
        try:
            content, arrays = _read(path)
            return cls(**_checked(content, arrays))
        except Exception as error:  # the file can hold anything
            raise InputError(f"{path} is not what Decomposition.save writes: {error}") from error

    @property
    def complete(self) -> bool:
        """Whether the M directions are all of the layer."""
        return len(self.eigenvalues) == self.weights

    @property
    def above(self) -> np.ndarray:
        """(M,) bool: the directions that are not in the null space of the Hessian."""
        return above_tolerance(self.eigenvalues)

    @property
    def size_share(self) -> float:
        """The share of ⟨|ΔW|²⟩ = Σ_n (σ_w² + μ_w²) that lies along the M directions; 1 where these are all."""
        whole = float(np.mean(self.dual_norm**2))
        return float(np.sum(self.sigma_w**2 + self.mean_w**2)) / whole if whole else 1.0

    @property
    def trace_share(self) -> float:
        """The share of the Hessian's trace along the M directions; 1 where these are all.

        Where the others have negative eigenvalues on the whole, as behind smooth activations, it is larger than 1.
        """
        return float(self.eigenvalues.sum()) / self.trace if self.trace else 1.0

    @property
    def by_sharpness(self) -> np.ndarray:
        """(M,) the directions by descending σ_g, those of the null space last."""
        order = super().by_sharpness
        return np.concatenate([order[self.above[order]], order[~self.above[order]]])

    @property
    def estimate(self) -> float:
        """Σ_n (contribution + mean term) (+ remainder): the mean loss difference of the pairs that were kept."""
        return super().estimate + self.remainder


def _chosen(path: str | Path) -> Path:
    """The path, if its suffix says how to write.

    Raises:
        InputError: it does not.
    """
    found = Path(path)
    if found.suffix not in _SUFFIXES:
        raise InputError(f"path: got {str(path)!r}, wanted a name that ends in {' or '.join(_SUFFIXES)}")
    return found


def _read(path: Path) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Numbers and arrays of a file, unchecked."""
    if path.suffix == ".json":
        content = read_json(path)
        return content, content
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        content = json.loads((file.metadata() or {}).get("awduality", "{}"))
        return content, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


def _checked(content: Mapping[str, Any], arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a decomposition.

    Raises:
        ValueError, KeyError, TypeError: something is missing, or not what it should be.
    """
    if content.get("format") != _FORMAT:
        raise ValueError(f"its format is {content.get('format')!r}, wanted {_FORMAT!r}")
    found: dict[str, Any] = {}
    for names in (_PER_DIRECTION, _PER_PAIR):
        found |= {name: np.asarray(arrays[name], dtype=np.float64) for name in names}
        shapes = {name: found[name].shape for name in names}
        if len(set(shapes.values())) != 1 or found[names[0]].ndim != 1:
            raise ValueError(f"arrays of one length were wanted: got {shapes}")
    found |= {name: float(content[name]) for name in ("trace", "gap", "remainder", "output_error", "target_shift")}
    return found | {"layer": str(content["layer"])} | {name: int(content[name]) for name in ("weights", "dropped")}
