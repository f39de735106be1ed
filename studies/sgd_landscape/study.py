"""SGD's noise as a landscape of its own: does noise in the sharp directions make it prefer flat places?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study

MODELS = {"langevin": "Langevin dynamics on a ring", "shift": "a loss shifted at random", "net": "a network"}
NOISES = {
    "both": "along the valley and across it",
    "along": "along the valley only",
    "time": "until the curvature has halved",
    "lost": "until walkers are lost",
    "none": "none",
    "minibatch": "minibatch",
    "gaussian": "Gaussian, covariance of the minibatch",
    "shift": "through the Hessian",
    "isotropic": "isotropic",
}
_OF = {
    "langevin": ("noise", "kappa"),
    "shift": ("noise", "learning_rate", "strength"),
    "net": ("noise", "learning_rate", "batch_size", "ends"),
}
"""Model → the settings that it uses."""


def canonical(settings: Settings) -> Settings:
    """What a model does not use is neutral; without noise there is no batch."""
    used = ("model", *_OF[settings["model"]])
    found = {
        name: settings[name] if name in used else STUDY.settings[name].kind(STUDY.settings[name].neutral)
        for name in settings
    }
    return {**found, "batch_size": 0} if found["noise"] == "none" else found


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard is a model; networks with noise through the Hessian, whose steps are long, apart, as is each bound."""
    settings = run.settings
    if settings["model"] != "net":
        return f"{settings['model']}-{settings['noise']}"
    if settings["ends"] == "bound":
        return f"bound-{settings['learning_rate']}"
    return f"net-{settings['noise'] if settings['noise'] in ('shift', 'gaussian') else 'others'}"


def problems(config: Mapping[str, Any]) -> Sequence[str]:
    """Samples that there are not, and noises that a model does not have."""
    asked, pool = config["sgd_landscape"], config["data"]["pool"]["count"]
    found = []
    if asked["train_size"] > pool:
        found.append(f"sgd_landscape.train_size: got {asked['train_size']}, but data.pool.count is {pool}")
    known = {"langevin": ("both", "along"), "shift": ("time", "lost")}
    for name, experiment in asked["experiments"].items():
        model = experiment["model"]
        model = model[0] if isinstance(model, list) else model
        noises = experiment["noise"] if isinstance(experiment["noise"], list) else [experiment["noise"]]
        possible = known.get(model, ("none", "minibatch", "gaussian", "shift", "isotropic"))
        found += [
            f"sgd_landscape.experiments.{name}.noise: got {noise!r}, wanted one of {', '.join(possible)} for {model}"
            for noise in noises
            if noise not in possible
        ]
    return found


STUDY = Study(
    paper=Paper(
        "Stochastic gradient descent introduces an effective landscape-dependent regularization "
        "favoring flat solutions",
        "Yang, Tang & Tu",
        2023,
        "2206.01246",
    ),
    about="does noise in the sharp directions make SGD prefer flat places?",
    settings={
        "model": Setting(str, "Model", choices=MODELS),
        "noise": Setting(str, "Noise", choices=NOISES),
        "kappa": Setting(
            float, "Anisotropy", r"\kappa", "of langevin: noise across ÷ noise along", above=0, neutral=1.0
        ),
        "learning_rate": Setting(float, "Learning rate", r"\eta", "of shift and net", least=0, neutral=0.0),
        "strength": Setting(
            float,
            "Strength",
            r"\sigma",
            "of shift: σ itself for noise time, σ/σ_c for noise lost",
            least=0,
            neutral=0.0,
        ),
        "batch_size": Setting(
            int, "Batch size", "B", "of net: that of the minibatch, or of as strong a noise", least=0, neutral=0
        ),
        "ends": Setting(
            str,
            "Ends",
            source="of net: target: at the compared loss; bound: after steps, to see who fails",
            choices={"target": "at the compared loss", "bound": "after a number of steps", "": "not used"},
            neutral="",
        ),
    },
    shared={
        "noise_across": Setting(float, "Noise across the valley", r"\Delta", "of langevin", above=0),
        "time_step": Setting(float, "Time step", "dt", "of langevin", above=0),
        "ring_walkers": Setting(int, "Walkers on the ring", source="of a seed, of langevin", least=1),
        "ring_steps": Setting(int, "Steps on the ring", source="after the burn-in", least=1),
        "walkers": Setting(int, "Walkers", source="of a seed, of shift", least=1),
        "most_steps": Setting(int, "Most steps", source="of shift, until the curvature has halved", least=1),
        "lost_steps": Setting(int, "Steps of walkers that may be lost", least=1),
        "train_size": Setting(int, "Training size", "N", "of net", least=1),
        "hidden": Setting(int, "Hidden widths", source="of net, of both hidden layers", least=2, many=True),
        "noisy_loss": Setting(float, "Loss with noise", source="at which the noise ends", above=0),
        "target_loss": Setting(float, "Target loss", source="at which solutions are compared", above=0),
        "budget": Setting(int, "Budget", source="steps with noise, and as many without", least=1),
        "bound_steps": Setting(
            int, "Steps of the bound", source="within which the loss must come below bound_loss", least=1
        ),
        "bound_loss": Setting(float, "Loss of the bound", above=0),
    },
    inherits=("data",),
    steps=(
        Step(
            "experiment",
            reads=(
                *("noise_across", "time_step", "ring_walkers", "ring_steps", "walkers", "most_steps", "lost_steps"),
                *("train_size", "hidden", "noisy_loss", "target_loss", "budget", "bound_steps", "bound_loss"),
            ),
            data=True,
            purposes=("noise",),
        ),
        Step(
            "tables",
            reads=("target_loss",),
            after=("experiment",),
            each="study",
            tables=("runs", "density", "bounds", "course", "determinants"),
        ),
    ),
    judged=("runs", "bounds"),
    smallest=lambda config: int(config["sgd_landscape"]["train_size"]),
    cost={"quick": "10 seconds", "full": "6 minutes"},
    canonical=canonical,
    group=group,
    problems=problems,
)
