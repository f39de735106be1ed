"""The universality lens: is what a learner needs the prior mass near the truth, and is that mass flatness?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study

FUNCTIONS, SGLD, DESCENT, LATE = "functions", "sgld", "descent", "late"

_METHODS = {
    FUNCTIONS: "Bayes mixtures over functions of five bits",
    SGLD: "Langevin dynamics",
    DESCENT: "gradient descent, stopped at the training loss of Langevin dynamics",
    LATE: "gradient descent, stopped late",
}

_FUNCTIONS = {
    "widths": Setting(int, "Hidden widths", "H", "of the prior's networks", least=1, many=True),
    "main_width": Setting(int, "Main width", source="of the networks whose mass is taken apart", least=1),
    "draws": Setting(int, "Draws", source="networks that a prior is counted from", least=1000),
    "teachers": Setting(int, "Teachers", source="functions that a seed has to learn, at most one of an orbit", least=3),
    "least_count": Setting(int, "Least count", source="draws that had a function of the orbit of a teacher", least=1),
    "noise": Setting(float, "Label noise", r"\epsilon", above=0, most=0.4),
    "times": Setting(int, "Samples", "t", "after which regret is taken", least=1, most=200, many=True),
    "starts": Setting(int, "Starts", source="of the ascent, for every teacher", least=1),
    "ascent_steps": Setting(int, "Steps of the ascent", least=1),
    "matched_loss": Setting(float, "Matched loss", source="mean over the inputs, nats", above=0),
}

_CLASSIFIERS = {
    "hidden": Setting(int, "Hidden widths of the classifiers", least=2, many=True),
    "train_size": Setting(int, "Training size", "N", least=1),
    "step_size": Setting(float, "Step size", r"\eta", "of Langevin dynamics", above=0),
    "chain_steps": Setting(int, "Steps of a chain", least=2),
    "members": Setting(int, "Members", "M", "of an ensemble: samples of a chain, or descents; a power of two", least=1),
    "descent_rate": Setting(float, "Rate of the descents", above=0),
    "descent_steps": Setting(int, "Steps of the descents", source="at most", least=1),
}


def canonical(settings: Settings) -> Settings:
    """Only chains, and descents that stop where chains do, have a temperature."""
    used = settings["method"] in (SGLD, DESCENT)
    return {**settings, "temperature": settings["temperature"] if used else 0.0}


def group(run: Run, _experiments: Sequence[str]) -> str:
    """Two shards: functions, and classifiers, whose chains are one stack."""
    return FUNCTIONS if run.settings["method"] == FUNCTIONS else "classifiers"


def problems(config: Mapping[str, Any]) -> Sequence[str]:
    """Values that are each in range, but not together."""
    asked, pool = config["universality_lens"], config["data"]["pool"]["count"]
    found = []
    if asked["train_size"] > pool:
        found.append(f"universality_lens.train_size: got {asked['train_size']}, but data.pool.count is {pool}")
    if asked["main_width"] not in asked["widths"]:
        found.append(f"universality_lens.main_width: got {asked['main_width']}, wanted one of widths {asked['widths']}")
    members = asked["members"]
    if members & (members - 1) or members > asked["chain_steps"] // 2:
        found.append(
            f"universality_lens.members: got {members}, wanted a power of two, at most half of chain_steps, "
            f"{asked['chain_steps'] // 2}"
        )
    found += [
        f"universality_lens.experiments.{name}.temperature: wanted more than 0 for {experiment['method']}"
        for name, experiment in asked["experiments"].items()
        if {SGLD, DESCENT} & set(_listed(experiment["method"])) and min(_listed(experiment.get("temperature", 0))) <= 0
    ]
    return found


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list) else [values]


STUDY = Study(
    paper=Paper(
        "The Universality Lens: Why Even Highly Over-Parametrized Models Learn Well",
        "Feder, Urbanke & Fogel",
        2025,
        "2506.07661",
    ),
    about="is the prior mass of models near the truth what learning costs, and is that mass flatness?",
    settings={
        "method": Setting(str, "Method", choices=_METHODS),
        "temperature": Setting(float, "Temperature", "T", "of the posterior that chains sample", least=0, neutral=0.0),
    },
    shared={**_FUNCTIONS, **_CLASSIFIERS},
    inherits=("data",),
    steps=(
        Step("experiment", reads=(*_FUNCTIONS, *_CLASSIFIERS), data=True),
        Step(
            "tables",
            reads=("widths", "times"),
            after=("experiment",),
            each="study",
            tables=("runs", "regret", "volume", "ensembles", "determinants"),
        ),
    ),
    judged=("runs", "regret", "volume", "ensembles"),
    cost={"quick": "20 seconds", "full": "3 minutes"},
    smallest=lambda config: int(config["universality_lens"]["train_size"]),
    canonical=canonical,
    group=group,
    problems=problems,
)
