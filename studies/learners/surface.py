"""Evaluate the loss surface in the plane of two solutions of a study, and the weights that both started from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from awduality.device import choose_device
from awduality.learners import SETTINGS
from awduality.study.tables import Results, Rows, table_step
from awduality.training.surface import SAMPLES, Plane, surface
from studies.learners.matched import MATCHED

COLUMNS = ("config", "dataset", "samples", *SETTINGS, "seed", "x", "y", "train_loss", "test_error", "point")

EXPERIMENT = "large"
"""The experiment whose solutions are shown."""

Entry = Mapping[str, Any]  # of a plan


def shown_pair(planned: Sequence[Entry], stopped: Mapping[str, str]) -> tuple[Entry, Entry] | None:
    """The SSGD and the DPSGD run whose solutions are shown.

    They are of the experiment ``large`` and its lowest seed, with the mixing that the experiment names first and the
    smallest number of learners: among those of which both have converged, the pair of largest rate × total batch; of
    equal products, that of the larger batch.

    Args:
        planned: the runs of the plan.
        stopped: the ``stop_reason`` of every run, by id.

    Returns:
        Two entries of the plan, or nothing if no such pair has converged.
    """
    asked = [run for run in planned if EXPERIMENT in run["experiments"]]
    lowest = min((run["seed"] for run in asked), default=0)
    of = {
        name: [run for run in asked if run["seed"] == lowest and run["settings"]["algorithm"] == name]
        for name in ("ssgd", "dpsgd")
    }
    if not of["dpsgd"]:
        return None
    first = of["dpsgd"][0]["settings"]["mixing"]
    fewest = min(run["settings"]["learners"] for run in of["dpsgd"])
    pairs = [
        (one, other)
        for one in of["ssgd"]
        for other in of["dpsgd"]
        if (other["settings"]["mixing"], other["settings"]["learners"]) == (first, fewest)
        and all(one["settings"][name] == other["settings"][name] for name in MATCHED if name != "seed")
        and stopped[one["id"]] == stopped[other["id"]] == "converged"
    ]
    return max(pairs, key=lambda pair: _noise(pair[1]), default=None)


def _noise(run: Entry) -> tuple[float, int]:
    rate, batch = run["settings"]["learning_rate"], run["settings"]["total_batch"]
    return rate * batch, batch


def run(results: Results) -> dict[str, Rows]:
    """A row per point of the plane; none where no pair of solutions has converged."""
    pair = shown_pair(results.plan, {one.id: one.ended for one in results.runs})
    rows = []
    if pair is None:
        logging.info("no pair of solutions has converged: there is no surface to show")
    else:
        planned = {one.id: one for one in results.runs}
        one, other = (results.arrays("train_learners", planned[entry["id"]], "weights") for entry in pair)
        shown, size = {"seed": pair[1]["seed"], **pair[1]["settings"]}, results.asked["train_size"]
        plane = Plane.through(one, other, results.asked["root_seed"], shown["seed"])
        found = surface(plane, results.split, size, choose_device(auto="cpu"))
        labels = {**results.labels, "samples": min(size, SAMPLES), **shown}
        rows = [{**labels, **row} for row in found]
    return {"surface": (rows, COLUMNS)}


if __name__ == "__main__":
    table_step(run)
