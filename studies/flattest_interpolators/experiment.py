"""What runs: one interpolator of one task, by linear programming or by training, its flatness and its test error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from awduality.runs import Run
from awduality.study.step import Job, Outcome, each_run
from studies.flattest_interpolators.data import Task, draw
from studies.flattest_interpolators.flatness import (
    Network,
    balanced_trace,
    costs,
    free_flatness,
    idle,
    path_norm,
    raw_trace,
    squared_norm,
)
from studies.flattest_interpolators.programs import Program, best_in_cones, dictionary, refined, worst
from studies.flattest_interpolators.study import PROGRAMS
from studies.flattest_interpolators.training import Recipe, adam, finished, initial, random_features

COLUMNS = (
    "train_loss",  # (1/2n) Σ (f − y)²
    "test_error",  # mean squared error against the noise-free target, over its variance
    "free",  # S*, the trace that rescaling cannot lower
    "teacher_free",  # S* of the teacher on the same samples
    "raw",  # the trace as it stands
    "raw_low",  # its smallest and largest over the rescalings
    "raw_high",
    "balanced",  # the trace where the two weight vectors of every unit have one norm
    "path_norm",
    "squared_norm",
    "idle",  # units active on no training sample
    "function_change",  # largest |Δf| on test inputs over the rescalings, over the largest |f|
    "free_change",  # largest |Δ log S*| over the rescalings
    "least",  # S* of the flattest, of programs
    "uncertified",  # 1 − what the dual proves of S*, over S*; in two dimensions only
)
ANGLES = 360  # at which the function on the circle is stored
_LOG_RANGE = np.log(30.0)  # of rescalings


def measured(network: Network, task: Task, rescalings: int, generator: np.random.Generator) -> dict[str, float]:
    """Everything of a network that is given by its weights, before and after rescaling its units at random."""
    outputs, free = network(task.x_test), free_flatness(network, task.x)
    alive = Network(network.w[network.a != 0], network.a[network.a != 0])
    others = [
        alive.rescaled(np.exp(generator.uniform(-_LOG_RANGE, _LOG_RANGE, len(alive.a)))) for _ in range(rescalings)
    ]
    traces = [raw_trace(other, task.x) for other in others]
    moved = [np.abs(other(task.x_test) - outputs).max() for other in others]
    return {
        "train_loss": float(np.mean((network(task.x) - task.y) ** 2) / 2),
        "test_error": task.error(outputs),
        "free": free,
        "teacher_free": free_flatness(task.teacher, task.x),
        "raw": raw_trace(network, task.x),
        "raw_low": min(traces),
        "raw_high": max(traces),
        "balanced": balanced_trace(network, task.x),
        "path_norm": path_norm(network),
        "squared_norm": squared_norm(network),
        "idle": idle(network, task.x),
        "function_change": float(max(moved) / np.abs(outputs).max()),
        "free_change": max(abs(float(np.log(free_flatness(other, task.x) / free))) for other in others),
    }


def interpolator(
    one: Run, asked: Mapping[str, Any], task: Task, generator: np.random.Generator
) -> tuple[Network, dict[str, float]]:
    """The network of a run, and what is known of it beside its weights."""
    settings, d = one.settings, task.x.shape[1]
    arm = settings["arm"]
    if arm in PROGRAMS:
        return programmed(arm, settings["factor"], asked, task, generator)
    if arm == "random":
        return random_features(generator, task.x, task.y, asked["features"]), {}
    penalised = arm in ("flat", "adversary")
    wrong = {"poisoned": 1.0, "adversary": settings["wrong_weight"]}.get(arm, 0.0)
    start = initial(generator, asked["hidden"], d, asked["flat_scale"] if penalised else settings["scale"])
    recipe = Recipe(asked["steps"], asked["learning_rate"], asked["penalty"] if penalised else 0.0, wrong)
    network = adam(start, (task.x, task.y), (task.x_wrong, task.y_wrong), recipe)
    return finished(network, task.x, task.y, asked["target_loss"]), {}


def programmed(
    arm: str, factor: float, asked: Mapping[str, Any], task: Task, generator: np.random.Generator
) -> tuple[Network, dict[str, float]]:
    """The flattest interpolator of the dictionary, or the worst that is found within a factor of it.

    In two dimensions the dictionary is refined until the dual certifies it; in more it is what was drawn, with the
    teacher's directions.
    """
    d = task.x.shape[1]
    count = asked["directions"] if d == 2 else asked["random_directions"]
    directions = dictionary(d, count, generator, task.teacher.w)
    directions = directions[costs(directions, task.x) > 0]
    known = {}
    if d == 2:
        directions = refined(directions, task.x, task.y)
    program = Program.of(directions, task.x, task.y)
    a, dual = program.flattest()
    least = float(np.abs(a) @ program.cost)
    if d == 2:
        known = {"uncertified": max(0.0, 1 - float(dual @ task.y) / best_in_cones(dual, task.x)[1].max() / least)}
    if arm == "worst":
        places = generator.choice(len(task.x_test), asked["starts"], replace=False)
        outside = np.maximum(task.x_test @ directions.T, 0)
        a = worst(program, outside, task.y_test, factor * least, places, asked["rounds"])[0]
    used = np.abs(a) > 0
    return Network(directions[used], a[used]), {**known, "least": least}


def on_the_circle(network: Network, task: Task) -> dict[str, np.ndarray]:
    """The function of the angle, that of the teacher, and where the samples lie: outputs for inputs of length one."""
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    lengths = np.linalg.norm(task.x, axis=1)
    return {
        "angle": angles,
        "output": network(points),
        "target": task.teacher(points),
        "sample_angle": np.arctan2(task.x[:, 1], task.x[:, 0]) % (2 * np.pi),
        "sample_label": task.y / lengths,
    }


def run(job: Job) -> Iterator[Outcome]:
    """A row per run; one whose training loss is above the target has ended over budget."""
    asked = job.asked
    for one in job.runs:
        s = one.settings
        size = asked["test_size"]
        task = draw(job.stream("data", one), s["inputs"], s["dimensions"], s["samples"], s["noise"], s["product"], size)
        generator = job.stream("search", one)
        network, known = interpolator(one, asked, task, generator)
        numbers = {**measured(network, task, asked["rescalings"], generator), **known}
        circle = on_the_circle(network, task) if s["arm"] == "flattest" and s["dimensions"] == 2 else {}
        job.progress(1)
        yield Outcome(one, "converged" if numbers["train_loss"] <= asked["target_loss"] else "budget", numbers, circle)


if __name__ == "__main__":
    each_run(run, COLUMNS)
