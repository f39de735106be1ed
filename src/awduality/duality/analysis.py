"""Many networks decomposed on one split: a row and a few arrays per run, layer and pairing, nulls included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from awduality.curvature.layer_hessian import layer_hessian
from awduality.curvature.spectrum import Spectrum, spectrum
from awduality.data.splits import Split
from awduality.duality.changes import PairChanges, dual_outputs, pair_changes, relative_error
from awduality.duality.decomposition import components, decomposition, moments
from awduality.duality.dual_weights import other_dual
from awduality.duality.nulls import Weights, balanced, null_stream, random_basis, shuffled_scalars
from awduality.duality.pairing import Pairing, Pairs, nearest_pairs
from awduality.duality.result import Decomposition, Directions
from awduality.duality.summary import BALANCED, SPECTRUM, Row, spectrum_numbers, summary
from awduality.duality.temperature import tempered_numbers
from awduality.networks import from_weights
from awduality.probe import LayerProbe, Samples, Seen

KEPT = ("sigma_g", "sigma_w", "mean_g", "mean_w", "c", "train_loss", "test_loss", "dual_loss", "dual_norm")
"""The arrays of a decomposition that are written for every run, layer and pairing."""


@dataclass(frozen=True)
class Opened:
    """One layer of one network, before samples are paired."""

    probe: LayerProbe
    train: Seen
    test: Seen
    basis: Spectrum


@dataclass(frozen=True)
class Analysed:
    """One layer of one network, for one pairing."""

    opened: Opened
    changes: PairChanges
    projected: Tensor  # (P, M) components of every ΔW along every direction
    result: Decomposition


@dataclass(frozen=True)
class Analysis:
    """How networks are decomposed on one split; samples and pairs are prepared once, or once per seed."""

    split: Split
    layers: Sequence[str]
    pairings: Sequence[Pairing]
    sharp_directions: int
    root_seed: int  # of the random numbers of the nulls
    shuffles: int  # draws of shuffled scalars
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    loss: str = "cross_entropy"  # a name of awduality.losses: the one that was minimised
    _samples: dict[int | str, Samples] = field(default_factory=dict)  # by training size, and those to test
    _pairs: dict[tuple[int, Pairing], Pairs] = field(default_factory=dict)
    _bases: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    _seeds: dict[int, Analysis] = field(default_factory=dict)  # where every seed has samples of its own

    def of_seed(self, seed: int) -> Analysis:
        """The same on what runs of this seed index see; see ``Split.of_seed``."""
        if not self.split.per_seed:
            return self
        if seed not in self._seeds:
            split = self.split.of_seed(self.root_seed, seed)
            self._seeds[seed] = replace(self, split=split, _samples={}, _pairs={})
        return self._seeds[seed]

    def network(
        self, run: str, seed: int, weights: Weights, train_size: int
    ) -> tuple[list[Row], dict[str, np.ndarray]]:
        """Analyse every layer of one network.

        Args:
            run: the run's id, the first part of every array's name.
            seed: its seed index.
            weights: layer name -> (outputs, inputs) matrix.
            train_size: the number of clean training samples of the run.

        Returns:
            A row per layer and pairing, and arrays named ``<run>/test_losses`` (of all test samples),
            ``<run>/<layer>/eigenvalues`` and ``<run>/<layer>/<pairing>/<array>``.
        """
        if (here := self.of_seed(seed)) is not self:
            return here.network(run, seed, weights, train_size)
        weight_norm = float(np.sqrt(sum(np.sum(np.square(w, dtype=np.float64)) for w in weights.values())))
        rows, arrays = [], {}
        for layer in self.layers:
            opened = self._open(weights, layer, train_size)
            arrays[f"{run}/test_losses"] = opened.test.losses.cpu().numpy()
            arrays[f"{run}/{layer}/eigenvalues"] = opened.basis.eigenvalues.cpu().numpy()
            for pairing in self.pairings:
                found = self._decomposed(opened, pairing)
                row: Row = {"run": run, "layer": layer, "pairing": pairing, "weight_norm": weight_norm}
                row |= self._summary(found)
                if pairing == self.pairings[0]:
                    row |= self._nulls(seed, found) | self._balanced(weights, layer, train_size)
                rows.append(row)
                arrays |= {f"{run}/{layer}/{pairing}/{name}": getattr(found.result, name) for name in KEPT}
        numbers = self._tempered(weights, train_size)
        return [row | numbers for row in rows], arrays

    def analyse(self, weights: Weights, layer: str, train_size: int) -> Analysed:
        """Decompose one layer for the first pairing."""
        return self._decomposed(self._open(weights, layer, train_size), self.pairings[0])

    def random_basis(self, seed: int, size: int) -> Tensor:
        """The random basis of a seed index for layers of ``size`` weights, (size, size)."""
        if (seed, size) not in self._bases:
            basis = random_basis(size, null_stream(self.root_seed, seed, "random_basis"))
            self._bases[seed, size] = basis.to(self.device)
        return self._bases[seed, size]

    def shuffled(self, seed: int, found: Analysed) -> list[Decomposition]:
        """The decomposition of a run with shuffled scalars, one per draw."""
        generator = null_stream(self.root_seed, seed, "shuffled_scalars")
        draws = shuffled_scalars(found.projected, found.changes.secants, generator, self.shuffles)
        return [replace(found.result, **vars(directions)) for directions in draws]

    def rotated(self, seed: int, found: Analysed) -> Directions:
        """The moments of a run in a random basis."""
        return moments(found.projected @ self.random_basis(seed, found.projected.shape[1]), found.changes.secants)

    def _open(self, weights: Weights, layer: str, train_size: int) -> Opened:
        probe = LayerProbe(from_weights(weights).to(self.device), layer, self.loss)
        train, test = self._see(probe, train_size), self._see(probe, "test")
        return Opened(probe, train, test, spectrum(layer_hessian(probe, train)))

    def _see(self, probe: LayerProbe, part: int | Literal["test"]) -> Seen:
        """The training samples of a training size, or the test samples, in one network."""
        if part not in self._samples:
            self._samples[part] = probe.tensors(self.split.test if part == "test" else self.split.train(part))
        return probe.see(self._samples[part])

    def _decomposed(self, opened: Opened, pairing: Pairing) -> Analysed:
        train_size = len(opened.train)
        if (train_size, pairing) not in self._pairs:
            self._pairs[train_size, pairing] = nearest_pairs(self.split.train(train_size), self.split.test, pairing)
        changes = pair_changes(opened.probe, opened.train, opened.test, self._pairs[train_size, pairing])
        projected = components(changes.dual, opened.basis.eigenvectors)
        return Analysed(opened, changes, projected, decomposition(changes, opened.basis, projected))

    def _summary(self, found: Analysed) -> Row:
        norm = float(torch.linalg.vector_norm(found.opened.probe.weight))
        return {**summary(found.result, self.sharp_directions), "layer_norm": norm}

    def _nulls(self, seed: int, found: Analysed) -> Row:
        sharp = self.sharp_directions
        draws = [spectrum_numbers(drawn, sharp) for drawn in self.shuffled(seed, found)]
        row: Row = {f"{name}_shuffled": float(np.mean([draw[name] for draw in draws])) for name in SPECTRUM}
        rotated = self.rotated(seed, found)
        row |= {
            "sharp_part_random": rotated.sharp_part(sharp),
            "estimate_random": rotated.estimate,
            "basis_error": abs(rotated.estimate - found.result.estimate),
        }
        return row | _other_dual(found)

    def _tempered(self, weights: Weights, train_size: int) -> Row:
        """Of the whole network; nothing where outputs are no logits. Samples have been prepared."""
        if self.loss != "cross_entropy":
            return {}
        model = from_weights(weights).to(self.device)
        return {**tempered_numbers(model, self._samples[train_size], self._samples["test"])}

    def _balanced(self, weights: Weights, layer: str, train_size: int) -> Row:
        row = self._summary(self.analyse(balanced(weights), layer, train_size))
        return {f"{name}_balanced": row[name] for name in BALANCED}


def _other_dual(found: Analysed) -> Row:
    """Sharpness and size under another dual, along the mean activity; nothing where some pair has no such dual."""
    activities, weight = found.changes.activities, found.opened.probe.weight
    dual = other_dual(found.changes.dual, activities, activities.mean(0))
    if not bool(dual.exists.all()):
        return {}
    changes = replace(found.changes, dual=dual)
    along = moments(components(dual, found.opened.basis.eigenvectors), changes.secants)
    above = found.result.above
    output = activities @ weight.T + dual.left  # W a + W Δa
    return {
        "sigma_g_total_other": float(along.sigma_g[above].sum()),
        "sigma_w_total_other": float(along.sigma_w[above].sum()),
        "output_error_other": relative_error(dual_outputs(weight, dual, activities), output, weight, activities),
    }


def weights_of(solutions: Weights, run: str) -> dict[str, np.ndarray]:
    """The weights of one run among the arrays of a shard: layer name -> (outputs, inputs) matrix."""
    prefix = f"{run}/weights/"
    return {name.removeprefix(prefix): array for name, array in solutions.items() if name.startswith(prefix)}
