"""Steps of any study, run in the test's own process as jobs of the pipeline run them."""

import json
from functools import partial
from importlib import import_module

from awduality.commandline import recorded
from awduality.data.sources import load
from awduality.data.splits import split_arrays
from awduality.files import write_arrays
from awduality.study import step as frame


def prepared(config, folder):
    """The split of a config, from the embedded digits."""
    data = config["data"]
    assert data["source"] == "digits", "quick sizes need no download"
    path = folder / "digits.safetensors"
    standardised = bool(data.get("standardised"))
    dataset = load("digits", folder)
    write_arrays(path, split_arrays(dataset, data["permutation_seed"], data["pool"], data["test"], standardised))
    return path


def described(runs):
    """Runs as a command line says them."""
    return [{"settings": run.settings, "seeds": [run.seed]} for run in runs]


def shard_files(jobs, step, shards, split, folder):
    """Run the first step of a study for some runs; the files of the first shard."""
    module = import_module(f"studies.{jobs.name}.{step.name}")
    words = ["--shards", json.dumps({name: described(runs) for name, runs in shards.items()})]
    words += ["--asked", json.dumps(jobs.asked(step)), "--out", str(folder)]
    words += ["--split", str(split)] if split else []
    words += ["--record", str(folder / "record.json")]
    columns = getattr(module, "COLUMNS", ())
    recorded(partial(frame.perform, module.run, columns, jobs.name, step.name))(words)
    (first, *_) = shards
    return [folder / f"{first}.{suffix}" for suffix in ("csv", "safetensors")]
