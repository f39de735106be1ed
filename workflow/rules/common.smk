"""The config, the paths, and what the rules ask about them; no rules."""

import ast
import hashlib
import json
import os
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
SOURCE = ROOT / "src"

# A job's `python` is the interpreter that runs Snakemake, with this package, installed or not, on a cluster too.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), os.getenv("PATH", os.defpath)]),
    PYTHONPATH=os.pathsep.join([str(SOURCE), os.getenv("PYTHONPATH", "")]).rstrip(os.pathsep),
)
sys.path.insert(0, str(SOURCE))

from awduality.config import resolve
from awduality.crate.run import project_files
from awduality.errors import InputError
from awduality.factors import BASELINE
from awduality.figures.catalogue import (
    CLAIM_TABLES,
    FACTOR_TABLES,
    LEARNER_FIGURES,
    LEARNER_TABLES,
    OVERVIEW,
    overview,
)
from awduality.learners import shards_of


def resolved_config():
    """The default config with the user's overlay; an error says what is wrong with it."""
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    try:
        return resolve(default, config, schema)
    except InputError as error:
        raise WorkflowError(str(error)) from None


CONFIG = resolved_config()
LEARNERS = CONFIG.get("learners")  # what a study of many learners asks for; else there are sweeps of factors
SHARDS = {shard.name: shard for shard in shards_of(CONFIG)}
RESULTS = Path("results") / CONFIG["name"]
FIGURES = Path("figures") / CONFIG["name"]
LOGS = Path("logs") / CONFIG["name"]
ENVIRONMENT = str(ROOT / "environment.yml")

SPLIT = RESULTS / "data" / f"{CONFIG['data']['source']}.safetensors"
CARD = SPLIT.with_suffix(".json")


def record(job):
    """The record of a job: what it read, ran and wrote."""
    return RESULTS / "records" / f"{job}.json"


def solution_records(wildcards):
    """The records of the jobs that prepared the data and trained a shard."""
    return [
        record(job) for job in ("prepare_data", "train" if CONFIG["train_together"] else f"train-{wildcards.shard}")
    ]


def upstream_records():
    """The records of all jobs before the numbers are gathered."""
    steps = ("train_learners", "learner_geometry") if LEARNERS else ("train", "geometry")
    trained, analysed = ([f"{step}-{shard}" for shard in SHARDS] for step in steps)
    if CONFIG.get("train_together"):
        trained = ["train"]
    nulls = [f"nulls-{shard}" for shard in baseline_shards()]
    return [record(job) for job in ("plan", "prepare_data", *trained, *analysed, *nulls)]


def number_records():
    """The records of the jobs that gather the numbers."""
    return [record(job) for job in (("learner_numbers", "surface") if LEARNERS else ("figure_numbers",))]


def config_files():
    """The files that the config was read from."""
    overlays = [os.path.relpath(path, ROOT) for path in workflow.configfiles]
    return ["config/config.yaml", *overlays, "workflow/schemas/config.schema.yaml"]


def as_json(value):
    """A value as one argument of a command line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def code(script):
    """The code that a script runs, as ``file=digest``.

    Given to the jobs as a param, not as input files: digests, unlike times, are the same in a fresh clone or after switching
    branches, so that neither makes committed numbers look out of date and asks for the run behind them.
    """
    return digests(code_files(script))


def digests(paths):
    """Files as ``file=digest``."""
    return [f"{path}={hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:12]}" for path in paths]


def code_files(script):
    """A script and every local module that it imports, directly or not."""
    found, queue = set(), [ROOT / script]
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue += local_imports(path)
    return [str(path.relative_to(ROOT)) for path in sorted(found)]


def local_imports(path):
    """The files of this package that a file imports, with the ``__init__`` of every package on the way."""
    for node in executed(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [
                node.module or "",
                *(f"{node.module}.{alias.name}" for alias in node.names),
            ]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            for depth in range(1, len(parts) + 1):
                place = SOURCE.joinpath(*parts[:depth])
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())


def executed(node):
    """All nodes of a syntax tree, except those below ``if TYPE_CHECKING``."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from executed(child)


def data_options():
    """The options of the data that the config uses: the user's own images, inputs of mean 0 and deviation 1."""
    folder = CONFIG["data"].get("folder")
    options = [] if folder is None else ["--folder", folder]
    return options + ["--standardised"] * CONFIG["data"].get("standardised", False)


def shard_files(folder, suffix):
    """A file of every shard."""
    return [RESULTS / folder / f"{name}.{suffix}" for name in SHARDS]


def training_outputs():
    """The runs and solutions of every shard."""
    return [*shard_files("runs", "csv"), *shard_files("runs", "safetensors")]


def geometry_outputs():
    """The geometry of every shard."""
    return [*shard_files("geometry", "csv"), *shard_files("geometry", "safetensors")]


def described_shards(wildcards):
    """What a training job trains: its shard, or all shards where a step is one job."""
    names = [wildcards.shard] if "shard" in wildcards.keys() else list(SHARDS)
    shards = [SHARDS[name] for name in names]
    return as_json([{"factor": shard.factor, "values": shard.values, "seeds": shard.seeds} for shard in shards])


def null_outputs():
    """The nulls of the baseline's shards."""
    return [RESULTS / "nulls" / f"{name}.{suffix}" for name in baseline_shards() for suffix in ("csv", "safetensors")]


def baseline_shards():
    """The names of the baseline's shards."""
    return [] if LEARNERS else [name for name, shard in SHARDS.items() if shard.factor == BASELINE]


def smallest_train_size():
    """The number of clean training samples of the smallest runs, or of those that are paired."""
    if LEARNERS:
        return LEARNERS["analysed"]
    sizes = CONFIG["sweeps"].get("train_size", [])
    return min([*sizes, CONFIG["defaults"]["train_size"]])


def figure_names():
    """A figure per sweep, and those over all runs."""
    return list(LEARNER_FIGURES) if LEARNERS else [*CONFIG["sweeps"], *overview(CONFIG["layers"])]


def figure_outputs():
    """Every figure in both formats, with the numbers drawn."""
    pictures = [FIGURES / f"{name}.{suffix}" for name in figure_names() for suffix in ("svg", "png")]
    return [*number_files(), FIGURES / "claims.json", *pictures]


def number_files():
    """The tables that hold the numbers of all figures and claims."""
    judged = LEARNER_TABLES if LEARNERS else CLAIM_TABLES
    tables = {table for figure in figure_names() for table in tables_of(figure)} | set(judged)
    return sorted(FIGURES / table for table in tables if table.endswith(".csv"))


def numbers_of(wildcards):
    """The files that one figure is drawn from."""
    return [FIGURES / table for table in tables_of(wildcards.figure)]


def tables_of(figure):
    """The names of the files behind a figure."""
    if LEARNERS:
        return LEARNER_FIGURES[figure]
    return OVERVIEW.get(figure) or [f"{figure}-{table}.csv" for table in FACTOR_TABLES]


def gpu_request(wildcards):
    """One GPU where the machine has one, so that jobs take turns on it; else no request at all."""
    wanted = os.getenv("AWDUALITY_DEVICE", "auto")
    usable = shutil.which("nvidia-smi") and "cpu" not in version("torch")
    return 1 if wanted == "cuda" or (wanted == "auto" and usable) else None


def gpu_if_demanded(wildcards):
    """One GPU where the user demands it; else the geometry has all cores of the CPU."""
    return 1 if os.getenv("AWDUALITY_DEVICE", "auto") == "cuda" else None
