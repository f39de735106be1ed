"""Flattest interpolators: do those of the smallest trace of the Hessian, whatever units are rescaled to, generalise?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study

ARMS = {
    "flattest": "flattest, by linear programming",
    "worst": "worst within a factor of the flattest, by linear programming",
    "random": "random features, least norm",
    "plain": "gradient descent",
    "flat": "gradient descent with a flatness penalty",
    "poisoned": "gradient descent, wrong labels beside",
    "adversary": "wrong labels beside and a flatness penalty",
}
PROGRAMS = ("flattest", "worst")
TRAINED = ("plain", "flat", "poisoned", "adversary")
_SHARED_BY_ALL = ("arm", "inputs", "dimensions", "samples", "noise", "product")
_OWN = {"worst": ("factor",), "plain": ("scale",), "poisoned": ("scale",), "adversary": ("wrong_weight",)}
"""Arm → the settings that it alone uses."""


def canonical(settings: Settings) -> Settings:
    """What an arm does not use is neutral."""
    used = (*_SHARED_BY_ALL, *_OWN.get(settings["arm"], ()))
    return {
        name: settings[name] if name in used else STUDY.settings[name].kind(STUDY.settings[name].neutral)
        for name in settings
    }


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard has linear programs or trained networks."""
    return "programs" if run.settings["arm"] in PROGRAMS else "networks"


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Arms without what they need."""
    for name, experiment in config["flattest_interpolators"]["experiments"].items():
        where = f"flattest_interpolators.experiments.{name}"
        arms = _listed(experiment["arm"])
        for arm, own in _OWN.items():
            for key in own:
                if arm in arms and key not in experiment:
                    yield f"{where}.{key}: the arm {arm!r} needs it"
        if "worst" in arms and min(_listed(experiment.get("factor", 1.0))) < 1:
            yield f"{where}.factor: got less than 1: nothing is flatter than the flattest"
        if min(_listed(experiment["dimensions"])) < 2:
            yield f"{where}.dimensions: got less than 2, the number of the teacher's units"


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list) else [values]


STUDY = Study(
    paper=Paper(
        "Flatness and Generalization: Learning Multi-Index Models with Homogeneous Neural Networks",
        "Vardhan, Taheri & Mazumdar",
        2026,
        "2606.04429",
    ),
    about="does the flattest of all interpolators generalise, and one that does not stay far from it?",
    settings={
        "arm": Setting(str, "Interpolator", choices=ARMS),
        "inputs": Setting(
            str,
            "Inputs",
            source="variances all one, or from 1 to 0.01, evenly in logarithms",
            choices={"isotropic": "isotropic", "anisotropic": "anisotropic"},
            neutral="isotropic",
        ),
        "dimensions": Setting(int, "Dimensions", "d", least=2),
        "samples": Setting(int, "Training samples", "n", least=1),
        "noise": Setting(float, "Label noise", r"\sigma", "standard deviation", least=0, neutral=0.0),
        "product": Setting(
            float, "Product term", r"\varepsilon", "what the two units of the teacher cannot give", least=0, neutral=0.0
        ),
        "factor": Setting(float, "Factor", r"\rho", "of worst: times the smallest flatness", least=1, neutral=1.0),
        "scale": Setting(float, "Initial scale", "s", "of plain and poisoned", least=0, neutral=0.0),
        "wrong_weight": Setting(
            float, "Weight of a wrong label", source="of adversary, beside 1 of a right one", least=0, neutral=0.0
        ),
    },
    shared={
        "test_size": Setting(int, "Test samples", least=2),
        "directions": Setting(int, "Directions", "K", "of the dictionary for d = 2, before it is refined", least=2),
        "random_directions": Setting(int, "Random directions", source="of the dictionary in more dimensions", least=2),
        "starts": Setting(int, "Starts", source="test inputs from which the worst is sought, both signs", least=1),
        "rounds": Setting(int, "Rounds", source="for which the error is linearised", least=0),
        "hidden": Setting(int, "Hidden width", "H", "of trained networks", least=1),
        "features": Setting(int, "Random features", least=1),
        "steps": Setting(int, "Steps", "T", "of Adam", least=1),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", "of Adam, at first", above=0),
        "penalty": Setting(float, "Flatness penalty", r"\mu", "of flat and adversary, times the trace", least=0),
        "flat_scale": Setting(float, "Initial scale of flat", source="of flat and adversary", above=0),
        "target_loss": Setting(float, "Target loss", source="training loss of an interpolator, at most", above=0),
        "rescalings": Setting(int, "Rescalings", source="of every network, log c uniform within ±log 30", least=1),
        "generalises_below": Setting(
            float, "Generalises below", source="error over variance from which an interpolator counts as bad", above=0
        ),
    },
    cost={"quick": "12 seconds", "full": "4 minutes"},
    steps=(
        Step(
            "experiment",
            reads=(
                *("test_size", "directions", "random_directions", "starts", "rounds", "hidden", "features", "steps"),
                *("learning_rate", "penalty", "flat_scale", "target_loss", "rescalings"),
            ),
            purposes=("data", "search"),
        ),
        Step(
            "tables",
            reads=("generalises_below",),
            after=("experiment",),
            each="study",
            tables=("runs", "circle"),
        ),
    ),
    canonical=canonical,
    group=group,
    problems=problems,
)
