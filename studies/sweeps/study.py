"""The main paper's sweeps: one factor at a time over its values, all others at their defaults.

A *sweep* is one factor over its values; the *baseline*, everything at its default, belongs to every sweep and is
trained once. ``authors' code`` is the demonstration that accompanies the paper; what each factor does to training is in
``awduality.training.schemes`` and ``awduality.data.label_noise``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from awduality.data.counts import noisy_count
from awduality.errors import InputError
from awduality.runs import Run, Settings
from awduality.study.contract import MAIN_PAPER, Drawn, Setting, Step, Study

_PAPER = "Feng, Zhang & Tu (2023), abstract; values from the authors' code"

FACTORS: Mapping[str, Setting] = MappingProxyType(
    {
        "batch_size": Setting(int, "Batch size", "B", _PAPER, least=1),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", _PAPER, above=0),
        "weight_decay": Setting(
            float, "Weight decay", r"\beta", f"{_PAPER}: unsquared norm, first epochs only", least=0
        ),
        "l2": Setting(
            float, r"$L_2$ decay", r"\beta_2", "the usual squared-norm decay; not in the authors' code", least=0
        ),
        "init_scale": Setting(float, "Initial scale", "s", "authors' code only", above=0),
        "dropout": Setting(float, "Dropout rate", "d", _PAPER, least=0),
        "label_noise": Setting(float, "Label noise", r"\rho", _PAPER, least=0),
        "train_size": Setting(int, "Training size", "N", _PAPER, least=1),
        "width": Setting(int, "Hidden width", "H", "hinted at by the authors' plots", least=2),
    }
)

BASELINE = "baseline"
"""The name that stands for "all factors at their defaults" where a factor's name is expected."""

FACTOR_TABLES = ("gap", "directions", "training")
"""The tables of a sweep, ``<factor>-<table>.csv``; its figure is named after the factor."""


def settings_from(values: Mapping[str, Any]) -> Settings:
    """All factors in their canonical order and number type, so that 0 and 0.0 are the same setting."""
    return {name: factor.kind(values[name]) for name, factor in FACTORS.items()}


def expand(
    defaults: Mapping[str, int | float], factor: str, values: Iterable[int | float], seeds: Iterable[int]
) -> Iterator[Run]:
    """The runs of one factor's values, or of the baseline where ``factor`` is ``"baseline"``.

    Raises:
        InputError: an unknown factor.
    """
    if factor not in (BASELINE, *FACTORS):
        raise InputError(f"unknown factor {factor!r}: wanted {BASELINE} or one of {', '.join(FACTORS)}")
    changes: list[dict[str, int | float]] = [{}] if factor == BASELINE else [{factor: value} for value in values]
    for change in changes:
        yield from (Run(settings_from({**defaults, **change}), seed) for seed in seeds)


def sweep_values(config: Mapping[str, Any], factor: str) -> list[int | float]:
    """The values of a sweep in ascending order, the default among them."""
    kind = FACTORS[factor].kind
    return sorted({kind(value) for value in [*config["sweeps"][factor], config["defaults"][factor]]})


def sweeps(config: Mapping[str, Any]) -> dict[str, list[int | float]]:
    """Factor → the values of its sweep."""
    return {factor: sweep_values(config, factor) for factor in config["sweeps"]}


def runs(config: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """Sweep and run: the baseline, which is in every sweep, first, then each sweep's other values."""
    seeds, defaults = range(config["seeds"]), config["defaults"]
    for run in expand(defaults, BASELINE, (), seeds):
        yield from ((asking, run) for asking in (BASELINE, *config["sweeps"]))
    for factor, values in sweeps(config).items():
        default = FACTORS[factor].kind(defaults[factor])
        yield from ((factor, run) for run in expand(defaults, factor, [v for v in values if v != default], seeds))


def canonical(config: dict[str, Any]) -> dict[str, Any]:
    """A config in which equal numbers are spelled equally."""
    config["defaults"] = settings_from(config["defaults"])
    config["sweeps"] = {name: [FACTORS[name].kind(v) for v in values] for name, values in config["sweeps"].items()}
    return config


def smallest(config: Mapping[str, Any]) -> int:
    """The number of clean training samples of the smallest runs."""
    return int(min([*config["sweeps"].get("train_size", []), config["defaults"]["train_size"]]))


def drawn(config: Mapping[str, Any], found: Mapping[str, Drawn]) -> Mapping[str, Drawn]:
    """A figure per sweep, and those over all runs; layers are compared where there are several."""
    figures = {
        factor: Drawn("factor", [f"{factor}-{table}.csv" for table in FACTOR_TABLES], [factor])
        for factor in config["sweeps"]
    }
    shown = [name for name in found if name != "factor" and (name != "layers" or len(config["layers"]) > 1)]
    return figures | {name: found[name] for name in shown}


def swept_rows(config: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The tables that have a row per value of a sweep, with the number of its runs."""
    return {
        f"{factor}-gap": [{"value": value, "runs": config["seeds"]} for value in values]
        for factor, values in sweeps(config).items()
    }


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    pool = config["data"]["pool"]["count"]
    settings_of = {"defaults": config["defaults"]}
    for factor in ("batch_size", "label_noise", "train_size"):
        for value in config["sweeps"].get(factor, []):
            settings_of[f"sweeps.{factor} = {value!r}"] = {**config["defaults"], factor: value}
    for where, settings in settings_of.items():
        clean, level = int(settings["train_size"]), float(settings["label_noise"])
        if (needed := clean + noisy_count(clean, level)) > pool:
            yield (
                f"{where}: needs {needed} training samples ({clean} clean, {needed - clean} mislabelled), "
                f"but data.pool.count is {pool}; make the pool larger or the value smaller"
            )
        if level > 0 and needed == clean:
            yield f"{where}: label noise {level} adds no sample to {clean}: they are added by tens; raise either"
        if settings["batch_size"] > clean:
            yield f"{where}: a batch of {settings['batch_size']} is larger than the {clean} training samples"


def group(_run: Run, experiments: Sequence[str]) -> str:
    """A shard trains a factor's values, or the baseline."""
    return experiments[0]


_ANALYSIS = ("layers", "geometry.sharp_directions", "geometry.shuffles", "training.loss?")

STUDY = Study(
    paper=MAIN_PAPER,
    about="Regularization schemes, one factor at a time",
    settings=FACTORS,
    inherits=("data", "network", "layers"),
    keys=("seeds", "train_together", "defaults", "sweeps", "training", "geometry"),
    steps=(
        Step(
            "train",
            reads=("training", "network"),
            data=True,
            together="train_together",
            folder="runs",
            purposes=("/init", "/order"),
            gpu="if there",
        ),
        Step(
            "geometry",
            reads=(*_ANALYSIS, "geometry.pairings"),
            after=("train",),
            data=True,
            rows=("layers", "geometry.pairings"),
            of="undiverged",
            gpu="if demanded",
        ),
        Step(
            "nulls",
            reads=(*_ANALYSIS, "geometry.pairings", "geometry.rescalings"),
            after=("train",),
            data=True,
            only=BASELINE,
            rows=None,
            of="converged",
            gpu="if demanded",
        ),
        Step(
            "figure_numbers",
            reads=("layers", "geometry.pairings"),
            after=("train", "geometry", "nulls"),
            each="study",
        ),
    ),
    page="docs/replication.md",
    cost={"quick": "2 minutes", "full": "16 minutes"},
    judged=("runs", "null-runs", "samples"),
    claims="config/claims.yaml",
    subsets=True,
    sizes={"quick": "config/config.yaml", "full": "config/mnist.yaml"},
    smallest=smallest,
    tidy=canonical,
    expand=runs,
    group=group,
    figures=drawn,
    rows=swept_rows,
    problems=problems,
)
