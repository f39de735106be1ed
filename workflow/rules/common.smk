"""The environment of all jobs, and which configs are asked for; no rules."""

import hashlib
import json
import os
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = next(folder for folder in Path(workflow.basedir, "_").parents if (folder / "src/awduality").is_dir())
SOURCE = ROOT / "src"

# A job's `python` is the interpreter that runs Snakemake, with this package, installed or not, on a cluster too.
if str(SOURCE) not in sys.path[:1]:
    os.environ.update(
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]),
        PYTHONPATH=os.pathsep.join([str(SOURCE), os.getenv("PYTHONPATH", "")]).rstrip(os.pathsep),
    )
    sys.path.insert(0, str(SOURCE))

from awduality.config import resolve_file, resolve_files
from awduality.crate.run import project_files
from awduality.errors import InputError
from awduality.records import without_plumbing
from awduality.study.discovery import DEFAULT, captions, closure, size_files
from awduality.study.jobs import CLAIMS_SCHEMA, Jobs
from awduality.study.terminal import attach

ENVIRONMENT = str(ROOT / "environment.yml")
DEFAULTS = ("config/config.yaml", "workflow/schemas/config.schema.yaml")


def refused(error):
    """Input that cannot be used, as Snakemake says it: without a traceback."""
    return WorkflowError(str(error))


def asked_config():
    """The resolved config of this Snakefile's own study, and the files that it was read from."""
    if "resolved" in config:
        return config["resolved"], config["files"]
    files = [os.path.relpath(path, ROOT) for path in workflow.configfiles]
    overlay = {key: value for key, value in config.items() if key != "size"}
    try:
        if overlay:
            return resolve_files(ROOT, overlay, files)
        return resolve_file(ROOT, size_files(asked_size())[DEFAULT])
    except InputError as error:
        raise refused(error) from None


def asked_size():
    """The size of all studies: quick, or what --config size=… says."""
    return str(config.get("size", "quick"))


def other_configs():
    """Without a config: of every other study, the one of the size that is asked for."""
    if set(config) - {"size"}:
        return {}
    try:
        files = size_files(asked_size())
        found = {name: resolve_file(ROOT, path) for name, path in files.items() if name != DEFAULT}
    except InputError as error:
        raise refused(error) from None
    return {name: {"resolved": resolved, "files": read} for name, (resolved, read) in found.items()}


def data_options(data):
    """What the job that prepares the data is told of the source: options only where they are used."""
    found = ["--source", data["source"], "--permutation-seed", data["permutation_seed"]]
    found += [] if data.get("folder") is None else ["--folder", data["folder"]]
    found += ["--standardised"] * data.get("standardised", False)
    return found + ["--subset-per-seed"] * data.get("subset_per_seed", False)


def came_out(configs):
    """What a person is told at the end of a run of these: verdicts, where the figures are, and what to do next."""
    from awduality.claims.closing import closing, judged_in

    return closing([one for config in configs if (one := judged_in(config))])


def as_json(value):
    """A value as one argument of a command line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def code(*files):
    """The code that runs, as ``file=digest``, but for what only plans or carries numbers about.

    Given to the jobs as a param, not as input files: digests, unlike times, are the same in a fresh clone or after switching
    branches, so that neither makes committed numbers look out of date and asks for the run behind them.
    """
    return digests(code_files(*files))


def code_files(*files):
    """The files of the project that these files run, without the plumbing."""
    return sorted(without_plumbing(dict.fromkeys(path for file in files for path in closure(file))))


def digests(paths):
    """Files as ``file=digest``."""
    return [f"{path}={hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:12]}" for path in paths]


def gpu_request(step):
    """How many GPUs a job of a step takes: one where the machine has one or the user demands it, else no request."""
    wanted = os.getenv("AWDUALITY_DEVICE", "auto")
    usable = shutil.which("nvidia-smi") and "cpu" not in version("torch")
    found = wanted == "cuda" or (wanted == "auto" and usable and step.gpu == "if there")
    return 1 if found and step.gpu != "never" else None
