"""What runs: networks of the design, trained to one training loss, and everything that may predict their gap.

A run's initial weights, batch order, masks and wrong labels are its own: in the library's streams it goes by the number
that its id is. Runs of a block share the noise of PAC-Bayes flatness alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from awduality.duality.analysis import Analysis
from awduality.duality.nulls import balanced
from awduality.duality.summary import summary
from awduality.layers import weight_names
from awduality.measures.capacity import Weights, margin, path_norm, spectral_product
from awduality.measures.flatness import pac_bayes_flatness, relative_flatness
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from awduality.training.loop import train
from awduality.training.run import Solution, Training
from studies.random_design.study import TRAINING

DUALITY = ("top_eigenvalue", "trace", "sigma_g_norm", "sigma_w_norm", "quadratic")
RIVALS = ("path_norm", "spectral_product", "margin", "pac_bayes", "pac_bayes_relative", "relative_flatness")

COLUMNS = (
    "layer",
    "epochs",
    "steps",
    "train_loss",
    "test_loss",
    "test_error",
    "gap",  # mean test loss − mean training loss, nats
    "estimate",  # of the gap, by the duality
    *DUALITY,  # λ₁, the trace, sharpness (Σσ_g²)^½, size (Σσ_w²)^½, ½ ⟨ΔWᵀ H ΔW⟩; see awduality.duality.summary
    *(f"{name}_balanced" for name in DUALITY),  # of the same function in its balanced form
    "layer_norm",  # |W|, Frobenius
    "weight_norm",  # the same over all layers
    *RIVALS,  # see awduality.measures
)

_DIRECTIONS = 10  # of the sharp part, which is not kept


def own_run(one: Run, width: int) -> Run:
    """A run of the design as the engine knows it: with streams of its own."""
    return Run({**one.settings, "l2": 0.0, "width": width}, int(one.id, 16))


def training_of(asked: Mapping[str, Any]) -> Training:
    """When runs end, from what the step asked."""
    return Training(**{name: asked[name] for name in (*TRAINING, "root_seed")})


def duality_numbers(analysis: Analysis, weights: Weights, layer: str, train_size: int) -> dict[str, float]:
    """The numbers of the duality, of the network as it is and in its balanced form."""
    here = summary(analysis.analyse(weights, layer, train_size).result, _DIRECTIONS)
    other = summary(analysis.analyse(balanced(weights), layer, train_size).result, _DIRECTIONS)
    found = {name: float(here[name]) for name in ("gap", "estimate", *DUALITY)}
    found |= {f"{name}_balanced": float(other[name]) for name in DUALITY}
    norms = {name: float(np.linalg.norm(np.asarray(w, dtype=np.float64))) for name, w in weights.items()}
    return found | {"layer_norm": norms[layer], "weight_norm": float(np.linalg.norm(list(norms.values())))}


def rival_numbers(
    weights: Weights,
    layer: str,
    samples: tuple[np.ndarray, np.ndarray],
    noise_samples: int,
    noise: np.random.Generator,
) -> dict[str, float]:
    """The measures of the literature."""
    some = (samples[0][:noise_samples], samples[1][:noise_samples])
    return {
        "path_norm": path_norm(weights),
        "spectral_product": spectral_product(weights),
        "margin": margin(weights, samples),
        "pac_bayes": pac_bayes_flatness(weights, some, noise),
        "pac_bayes_relative": pac_bayes_flatness(weights, some, noise, relative=True),
        "relative_flatness": relative_flatness(weights, layer, samples),
    }


def ending(solution: Solution) -> dict[str, float]:
    """How a run ended."""
    last = {name: float(values[-1]) for name, values in solution.history.items()}
    found = {"epochs": solution.epochs, "steps": solution.steps, "test_error": 1 - last["test_accuracy"]}
    return {**found, "train_loss": last["train_loss"], "test_loss": last["test_loss"]}


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; one that has not come to the target loss is not measured further."""
    asked, layer = job.asked, job.asked["layers"][0]
    analysis = Analysis(job.split, [layer], ["test_to_train"], _DIRECTIONS, asked["root_seed"], shuffles=0)
    names = weight_names(asked["hidden_layers"], 0)
    engine_runs = [own_run(one, asked["width"]) for one in job.runs]
    solutions = train(engine_runs, job.split, training_of(asked), torch.device("cpu"), job.progress)
    for one, solution in zip(job.runs, solutions, strict=True):
        numbers: dict[str, Any] = {"layer": layer, **ending(solution)}
        if solution.stop_reason == "converged":
            size = one.settings["train_size"]
            weights = dict(zip(names, solution.weights, strict=True))
            numbers |= duality_numbers(analysis, weights, layer, size)
            samples, noise = job.split.train(size), job.stream("noise", one)
            numbers |= rival_numbers(weights, layer, samples, asked["noise_samples"], noise)
        yield Outcome(one, solution.stop_reason, numbers)


if __name__ == "__main__":
    each_run(run, COLUMNS)
