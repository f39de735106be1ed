"""Generalization measures: is any right on every axis, and are the main paper's two determinants better in company?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study
from studies.generalization_measures.arms import MEASURES, STABILITY

ARMS = {MEASURES: "networks that measures are tried on", STABILITY: "networks from neighbouring samples"}


def canonical(settings: Settings) -> Settings:
    """Measures are tried on networks of the right labels."""
    return settings if settings["arm"] == STABILITY else {**settings, "permuted": 0}


def group(run: Run, _experiments: Sequence[str]) -> str:
    """Networks of one arm and training size."""
    return "{arm}-{train_size}".format(**run.settings)


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list) else [values]


def _sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Experiment, training size and batch size of all networks."""
    for name, asked in config["generalization_measures"]["experiments"].items():
        for size in _listed(asked["train_size"]):
            yield from ((name, size, batch) for batch in _listed(asked["batch_size"]))


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    pool = config["data"]["pool"]["count"]
    for name, size, batch in _sizes(config):
        where = f"generalization_measures.experiments.{name}"
        if size + 1 > pool:
            yield (
                f"{where}.train_size: got {size}, wanted less than data.pool.count, {pool}: a neighbouring sample "
                "has one image of its own; raise one or lower the other"
            )
        if batch > size:
            yield f"{where}.batch_size: got {batch}, which is larger than train_size {size}: lower it"


STUDY = Study(
    paper=Paper(
        "Fantastic generalization measures are nowhere to be found",
        "Gastpar, Nachum, Shafer & Weinberger",
        2023,
        "2309.13658",
    ),
    about="Is any generalization measure right on every axis, and is sharpness times size better than either?",
    experiments=ARMS,
    settings={
        "arm": Setting(str, "Arm", choices=ARMS, source="ours"),
        "train_size": Setting(int, "Training size", "n", least=2),
        "width": Setting(int, "Hidden width", "H", "units in each hidden layer", least=2),
        "hidden_layers": Setting(int, "Hidden layers", least=2),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
        "batch_size": Setting(int, "Batch size", "B", least=1),
        "permuted": Setting(
            int, "Permuted labels", source="1: all training labels are permuted", least=0, most=1, neutral=0
        ),
    },
    shared={
        "target_loss": Setting(float, "Target loss", source="mean training cross-entropy at which runs end", above=0),
        "max_steps": Setting(int, "Steps", source="after which a run is given up", least=1),
        "check_every": Setting(int, "Steps between two looks", source="after which a run may end", least=1),
        "paired": Setting(int, "Test samples paired", source="the first ones, for sizes; at most", least=2),
        "noise_samples": Setting(int, "Samples under noise", source="for PAC-Bayes measures; at most", least=1),
        "trials": Setting(int, "Trials", source="of every field and every number of samples of parities", least=100),
        "fields": Setting(int, "Orders of fields", "q", "primes", least=2, many=True),
        "surpluses": Setting(int, "Samples of parities less their dimension", many=True),
    },
    inherits=("data",),
    cost={"quick": "25 seconds", "full": "4 minutes"},
    steps=(
        Step(
            "experiment",
            reads=("target_loss", "max_steps", "check_every", "paired", "noise_samples"),
            data=True,
            purposes=("/init", "/order"),
        ),
        Step(
            "tables",
            reads=("target_loss",),
            after=("experiment",),
            each="study",
            tables=("runs", "measures", "errors", "seeds", "determinants"),
        ),
        Step(
            "theory",
            reads=("trials", "fields", "surpluses"),
            after=("experiment",),
            each="study",
            tables=("theory",),
        ),
    ),
    judged=("runs", "seeds", "theory"),
    subsets=True,
    smallest=lambda config: min(size for _, size, _ in _sizes(config)),
    canonical=canonical,
    group=group,
    problems=problems,
)
