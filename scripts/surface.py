"""Evaluate the loss surface in the plane of two solutions of a study, and the weights that both started from."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from awduality.commandline import parse, recorded, run
from awduality.data.splits import read_split
from awduality.device import choose_device
from awduality.duality.analysis import weights_of
from awduality.figures.learner_numbers import study_labels
from awduality.files import read_arrays, read_json, read_table, write_table
from awduality.learners import SETTINGS
from awduality.training.surface import SAMPLES, Plane, shown_pair, surface

COLUMNS = ("config", "dataset", "samples", *SETTINGS, "seed", "x", "y", "train_loss", "test_error", "point")


@recorded
def main(argv: list[str] | None = None) -> None:
    """Write a row per point of the plane; none where no pair of solutions has converged."""
    parser = argparse.ArgumentParser(prog="scripts/surface.py", description=__doc__)
    parser.add_argument("--results", required=True, type=Path, help="results/<config>")
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--root-seed", required=True, type=int, help="of the initial weights")
    parser.add_argument("--train-size", required=True, type=int, help="training samples of every run")
    parser.add_argument("--surface-out", required=True, type=Path, help="a row per point of the plane (CSV)")
    arguments = parse(parser, argv)
    planned = read_json(arguments.results / "plan.json")["runs"]
    folder = arguments.results / "runs"
    tables = [read_table(folder / f"{shard}.csv") for shard in sorted({entry["shard"] for entry in planned})]
    pair = shown_pair(planned, {row["run"]: row["stop_reason"] for table in tables for row in table})
    rows = []
    if pair is None:
        logging.info("no pair of solutions has converged: there is no surface to show")
    else:
        one, other = (weights_of(read_arrays(folder / f"{entry['shard']}.safetensors"), entry["id"]) for entry in pair)
        shown = {"seed": pair[1]["seed"], **pair[1]["settings"]}
        plane = Plane.through(one, other, arguments.root_seed, shown["seed"])
        found = surface(plane, read_split(arguments.split), arguments.train_size, choose_device(auto="cpu"))
        labels = {**study_labels(arguments.results), "samples": min(arguments.train_size, SAMPLES), **shown}
        rows = [{**labels, **row} for row in found]
    write_table(arguments.surface_out, rows, COLUMNS)


if __name__ == "__main__":
    run(main)
