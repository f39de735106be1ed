"""Does decentralised SGD find flatter solutions by its noise, and must that noise follow the landscape?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import MAIN_PAPER, Setting, Step, Study

ALGORITHMS = {
    "ssgd": "SSGD",
    "ssgd_averaged": "SSGD, averaged",
    "ssgd_star": "SSGD*",
    "ssgd_spread": "SSGD*, DPSGD's strength",
    "ssgd_layers": "SSGD*, its strength per layer",
    "ssgd_signs": "SSGD*, its strength per weight",
    "dpsgd": "DPSGD",
}


def canonical(settings: Settings) -> Settings:
    """Only SSGD* has a σ₀."""
    return settings if settings["algorithm"] == "ssgd_star" else {**settings, "noise": 0.0}


def group(run: Run, _experiments: Sequence[str]) -> str:
    """All arms of a rate are trained side by side."""
    return f"a{run.settings['learning_rate']:g}"


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    asked, pool = config["landscape_noise"], config["data"]["pool"]["count"]
    samples, batch, learners = asked["train_size"], asked["total_batch"], asked["learners"]
    if samples > pool:
        yield f"landscape_noise.train_size: got {samples}, but data.pool.count is {pool}: raise one or lower the other"
    if batch > samples:
        yield f"landscape_noise.total_batch: {batch} is larger than the {samples} training samples"
    if learners > batch:
        yield f"landscape_noise.learners: {learners} learners cannot share a total batch of {batch}"


STUDY = Study(
    paper=MAIN_PAPER,
    about="Does DPSGD find flatter solutions by its noise, and must that noise follow the landscape?",
    settings={
        "algorithm": Setting(
            str,
            "Algorithm",
            source="ssgd: synchronous SGD; ssgd_averaged: its moving average; ssgd_star: gradients at w̄ + ε, "
            "ε ~ N(0, σ₀²); ssgd_spread: ε of DPSGD's strength; ssgd_layers, ssgd_signs: DPSGD's deviations, permuted "
            "within layers or with random signs; dpsgd: decentralised SGD, full averaging",
            choices=ALGORITHMS,
        ),
        "noise": Setting(float, "Noise", r"\sigma_0", "of ssgd_star", least=0, neutral=0.0),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
    },
    shared={
        "width": Setting(int, "Hidden width", "H", "the units in each hidden layer", least=2),
        "train_size": Setting(int, "Training size", "N", "all of them are analysed", least=1),
        "learners": Setting(int, "Learners", "n", least=2),
        "total_batch": Setting(int, "Total batch", "nb", "samples per step over all learners", least=2),
        "average": Setting(
            float, "Average", source="the part that a moving average keeps at every step", least=0, most=0.9999
        ),
        "target_loss": Setting(
            float,
            "Target loss",
            source="of what is analysed, on all training samples: an arm ends at the first check that finds it reached",
            above=0,
        ),
        "steps": Setting(int, "Steps", source="after which an arm ends elsewhere", least=1),
        "check_every": Setting(int, "Steps between checks", least=1),
        "looks": Setting(
            int, "Steps looked at", source="at which the gradient-diversity term is measured", least=1, many=True
        ),
        "directions": Setting(
            int, "Directions", source="of largest eigenvalue, that are computed; sums are exact", least=1
        ),
    },
    experiments={
        "large": "a rate at which all arms reach the target",
        "extreme": "a rate at which synchronous SGD fails",
    },
    inherits=("data", "network", "layers"),
    steps=(
        Step(
            "experiment",
            reads=(
                *("network", "layers", "width", "train_size", "learners", "total_batch", "average"),
                *("target_loss", "steps", "check_every", "looks", "directions"),
            ),
            data=True,
            purposes=("/init", "/order", "noise", "turns"),
        ),
        Step(
            "tables",
            reads=("layers", "target_loss"),
            after=("experiment",),
            each="study",
            tables=("runs", "course", "diversity", "determinants"),
        ),
    ),
    judged=("runs", "diversity"),
    smallest=lambda config: int(config["landscape_noise"]["train_size"]),
    canonical=canonical,
    group=group,
    problems=problems,
)
