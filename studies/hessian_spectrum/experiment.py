"""Trains the networks of one shard and measures the Hessian of each whole network.

A run's numbers come from its own seed's streams, and from partners of its own seed where it starts at one or a path
leads to one: so it gives the same alone as in its shard.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from awduality.curvature.lanczos import top_eigenpairs
from awduality.curvature.network_hessian import NetworkHessian
from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from studies.hessian_spectrum import basins
from studies.hessian_spectrum.data import FEATURES, Samples, clusters, images
from studies.hessian_spectrum.solutions import measured
from studies.hessian_spectrum.spectra import (
    Numbers,
    density_summary,
    exact,
    near_zero,
    network,
    overlap,
    rank_excess,
    span_of_class_means,
    summary,
)
from studies.hessian_spectrum.stack import Course, Layers, descend, epochs, he_init, one_hot, stacked

RATE, FAST = 0.1, 0.5
TOLERANCE = 3e-3  # of the gradient's norm, on clusters
SMALL = 10  # samples of a small batch
IMAGE_BATCH = 25  # of networks of different width
LOOK = 4  # steps of small batches between two looks at the full training loss
MOST_EXACT = 3_400  # parameters of a network whose whole spectrum is computed …
LEAST_PRODUCTS = 2_700  # … and of one whose spectrum is taken from products; between them both
MOST_FACTORS = 1_200  # parameters of a network whose Gauss–Newton part is diagonalised too

ARMS = ("large", "fast", "small", "reordered", "other", "small_after", "large_after", "copy")
LEVELLED = ("large", "fast", "small")  # arms that are measured at every level
PARTNERS = {"small": "large", "reordered": "small", "other": "small", "copy": "small"}
PARTNERS |= {"small_after": "large", "large_after": "large"}
"""Arm → the arm of the same seed that a path leads to, and that some start from."""

PATH = ("distance", "barrier", "bent_barrier", "top_eigenvalue", "end_loss", "steps")


def run(job: Job) -> Iterator[Outcome]:
    """A row per run, of clusters, of images, or of one arm of the comparison of batches."""
    parts = {"clusters": on_clusters, "images": on_images}
    for name, work in parts.items():
        chosen = [one for one in job.runs if one.settings["arm"] == name]
        for _, same in itertools.groupby(sorted(chosen, key=_shape), key=_shape):
            yield from work(job, list(same))
    chosen = [one for one in job.runs if one.settings["arm"] in ARMS]
    for _, same in itertools.groupby(sorted(chosen, key=_shape), key=_shape):
        yield from on_batches(job, list(same))


def _shape(one: Run) -> tuple[int, int]:
    return int(one.settings["width"]), int(one.settings["classes"])


def widths(features: int, one: Run, classes: int) -> list[int]:
    """From the inputs to the outputs."""
    return [features, one.settings["width"], one.settings["width"], classes]


def _columns(samples: Sequence[Samples]) -> np.ndarray:
    return np.stack([np.ascontiguousarray(inputs.T) for inputs, _ in samples])


def on_clusters(job: Job, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Spectra at the start, after training, and after training on permuted labels of the same points."""
    classes = int(runs[0].settings["classes"])
    count = int(job.asked["cluster_samples"])
    data = [clusters(classes, one.settings["deviation"], count, job.stream("clusters", one)) for one in runs]
    shuffled = [job.stream("labels", one).permutation(labels) for one, (_, labels) in zip(runs, data, strict=True)]
    starts = [he_init(widths(FEATURES, one, classes), True, job.stream("init", one)) for one in runs]
    targets = [one_hot(labels, classes) for labels in (*(labels for _, labels in data), *shuffled)]
    courses = descend(
        stacked(starts * 2),
        _columns(data * 2),
        np.stack(targets),
        [RATE] * (2 * len(runs)),
        int(job.asked["cluster_steps"]),
        tolerance=TOLERANCE,
    )
    for place, (one, (inputs, labels), start) in enumerate(zip(runs, data, starts, strict=True)):
        real, null = courses[place], courses[place + len(runs)]
        if "diverged" in (real.ended, null.ended):
            yield Outcome(one, ended="diverged")
            continue
        states = {
            "init": (start, labels),
            "trained": (real.weights, labels),
            "permuted": (null.weights, shuffled[place]),
        }
        numbers: dict[str, float] = {}
        arrays: dict[str, np.ndarray] = {}
        for state, (layers, targets_of) in states.items():
            operator = NetworkHessian(network(layers), (inputs, targets_of))
            values, vectors = exact(operator, classes)
            numbers |= {f"{name}_{state}": value for name, value in summary(values, classes).items()}
            arrays[f"eigenvalues_{state}"] = values
            if state == "trained":
                numbers |= gauss_newton_numbers(operator, classes)
                groups = [labels, job.stream("groups", one).permutation(labels)]
                means, null_means = span_of_class_means(operator, groups, classes)
                numbers["overlap"], numbers["overlap_null"] = (overlap(vectors, b) for b in (means, null_means))
                numbers["means_dimension"], numbers["parameters"] = means.shape[1], operator.shape[0]
        numbers["overlap_gain"] = numbers["overlap"] - numbers["overlap_null"]
        numbers |= {"loss": real.loss, "loss_permuted": null.loss, "steps": real.steps, "gradient": real.gradient}
        yield Outcome(one, real.ended, numbers, arrays)
        job.progress(1)


def gauss_newton_numbers(operator: NetworkHessian, classes: int) -> dict[str, float]:
    """The share of nearly zero eigenvalues of the Gauss–Newton part, if it is small enough, and its rank's excess."""
    if operator.shape[0] > MOST_FACTORS:
        return dict.fromkeys(("zeros_factors", "rank_excess"), float("nan"))
    values = np.linalg.eigvalsh(operator.gauss_newton().numpy())
    return {"zeros_factors": near_zero(values), "rank_excess": rank_excess(operator, classes)}


def on_images(job: Job, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Spectra of networks of one width at the start and at one training loss: exact, or from products, or both."""
    (inputs, labels), _ = images(job.split, int(job.asked["samples"]))
    classes = job.split.classes
    starts = [he_init(widths(inputs.shape[1], one, classes), True, job.stream("init", one)) for one in runs]
    courses = descend(
        stacked(starts),
        _columns([(inputs, labels)]),
        one_hot(labels, classes)[None],
        [RATE] * len(runs),
        int(job.asked["max_steps"]),
        levels=[float(job.asked["target_loss"])],
        batches=[epochs(len(inputs), IMAGE_BATCH, job.stream("order", one)) for one in runs],
        every=LOOK,
    )
    for one, start, course in zip(runs, starts, courses, strict=True):
        if course.ended == "diverged":
            yield Outcome(one, ended="diverged")
            continue
        numbers: dict[str, float] = {}
        arrays: dict[str, np.ndarray] = {}
        for state, layers in {"init": start, "trained": course.weights}.items():
            operator = NetworkHessian(network(layers), (inputs, labels))
            size = operator.shape[0]
            blank = dict.fromkeys(("zeros", "outliers", "trace"), float("nan"))
            found: Numbers = {}
            if size >= LEAST_PRODUCTS:
                found, values = density_summary(operator, classes, job.stream(f"quadrature_{state}", one))
                blank = {name: found[name] for name in blank}
                found |= {name: float("nan") for name in found if name.startswith("zeros")}  # too coarse to be compared
            if size <= MOST_EXACT:
                values, _ = exact(operator)
                found = summary(values, classes)
            numbers |= {f"{name}_{state}": value for name, value in found.items()}
            numbers |= {f"{name}_{state}_by_products": value for name, value in blank.items()}
            arrays[f"eigenvalues_{state}"] = values
            arrays |= {"exact": np.array(size <= MOST_EXACT), "classes": np.array(classes)}
            if state == "trained":
                numbers |= gauss_newton_numbers(operator, classes)
                numbers["parameters"] = size
        numbers["zeros_gain"] = numbers["zeros_trained"] - numbers["zeros_init"]
        numbers |= {"loss": course.loss, "steps": course.steps}
        yield Outcome(one, course.ended, numbers, arrays)
        job.progress(1)


def on_batches(job: Job, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Each arm at the levels of the training loss that it passes, and its path to its partner."""
    train, test = images(job.split, int(job.asked["samples"]))
    classes, levels = job.split.classes, [float(level) for level in job.asked["levels"]]
    inputs, targets = _columns([train]), one_hot(train[1], classes)[None]
    courses = trained(job, runs, inputs, targets, widths(train[0].shape[1], runs[0], classes))
    for one in runs:
        arm, course = str(one.settings["arm"]), courses[one.settings["arm"], one.seed]
        numbers: dict[str, float] = dict.fromkeys(PATH, float("nan"))
        arrays: dict[str, np.ndarray] = {}
        at = [level for level in levels if level in course.levels] if arm in LEVELLED else []
        rows = [measured(course.levels[level][2], train, test, classes) for level in at]
        if rows:
            arrays |= {f"levels/{name}": np.array([row[name] for row in rows]) for name in rows[0]}
            arrays["levels/level"] = np.array(at)
            arrays["levels/step"] = np.array([course.levels[level][0] for level in at])
        if course.ended != "diverged":
            numbers |= {"end_loss": course.loss, "steps": course.steps}
            end = NetworkHessian(network(course.weights), train)
            numbers["top_eigenvalue"] = (
                rows[-1]["top_eigenvalue"] if rows else float(top_eigenpairs(end, 1).eigenvalues[0])
            )
        partner = courses.get((PARTNERS.get(arm, ""), one.seed))
        if partner is not None and {course.ended, partner.ended} == {"converged"}:
            found, losses = path(partner.weights, course.weights, inputs, targets, int(job.asked["bending"]))
            numbers |= found
            arrays |= losses
        yield Outcome(one, course.ended, numbers, arrays)
        job.progress(1)


def path(
    first: Layers, last: Layers, inputs: np.ndarray, targets: np.ndarray, steps: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Distance and barriers of the segment and of the bent path between two solutions, and the losses along both."""
    corners = {"segment": basins.midpoint(first, last), "bent": basins.bent(first, last, inputs, targets, steps)}
    losses = {name: basins.path_losses(first, corner, last, inputs, targets) for name, corner in corners.items()}
    return {
        "distance": basins.distance(first, last),
        "barrier": basins.barrier(losses["segment"]),
        "bent_barrier": basins.barrier(losses["bent"]),
    }, {f"path/{name}": along for name, along in losses.items()}


def trained(
    job: Job, runs: Sequence[Run], inputs: np.ndarray, targets: np.ndarray, shape: Sequence[int]
) -> Mapping[tuple[str, int], Course]:
    """Arm and seed → course, of these runs and of all that they start from or are compared with."""
    seeds = {one.seed: one for one in runs}
    needed = {(str(one.settings["arm"]), one.seed) for one in runs}
    for _ in range(2):  # small is compared with large, and others with small
        needed |= {(PARTNERS[arm], seed) for arm, seed in needed if arm in PARTNERS}
    levels, most = [float(level) for level in job.asked["levels"]], int(job.asked["max_steps"])
    longer, samples = int(job.asked["continued"]), inputs.shape[2]

    def start(arm: str, seed: int) -> Layers:
        return he_init(shape, False, job.stream("other_init" if arm == "other" else "init", seeds[seed]))

    def order(arm: str, seed: int) -> Iterator[np.ndarray]:
        purpose = arm if arm in ("reordered", "small_after") else "order"
        return epochs(samples, SMALL, job.stream(purpose, seeds[seed]))

    found: dict[tuple[str, int], Course] = {}

    def train(arms: Sequence[str], small: bool, after: bool = False) -> None:
        chosen = sorted(key for key in needed if key[0] in arms and (not after or found["large", key[1]].weights))
        if not chosen:
            return
        courses = descend(
            stacked([found["large", seed].weights if after else start(arm, seed) for arm, seed in chosen]),
            inputs,
            targets,
            [FAST if arm == "fast" else RATE for arm, _ in chosen],
            longer if after else most,
            levels=() if after else levels,
            batches=[order(*key) for key in chosen] if small else (),
            every=LOOK,
        )
        for key, course in zip(chosen, courses, strict=True):
            if after and course.ended == "budget":  # it was to go on for so long
                course.ended = found["large", key[1]].ended
            found[key] = course

    train(("large", "fast"), small=False)
    train(("small", "reordered", "other"), small=True)
    train(("small_after",), small=True, after=True)
    train(("large_after",), small=False, after=True)
    for arm, seed in needed:
        if arm == "copy":
            source = found["small", seed]
            layers = basins.permuted(source.weights, job.stream("copy", seeds[seed]))
            found[arm, seed] = Course(source.ended, source.steps, source.loss, weights=layers)
    return found


if __name__ == "__main__":
    each_run(run)
