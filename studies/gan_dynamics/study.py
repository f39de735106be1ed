"""Effective dynamics of generative adversarial networks: particles under one coupling in the place of a generator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study

MODELS = {
    "kernel": "the tangent kernel of a wide generator",
    "particles": "particles",
    "generator": "a generator network",
    "shadow": "particles that start at a generator's outputs",
}
_OF = {
    "kernel": ("activation", "dimension"),
    "particles": ("activation", "coupling", "rate_g", "rate_d", "penalty", "pace", "rule"),
    "generator": ("activation", "dimension", "width", "coupling", "rate_g", "rate_d", "penalty"),
    "shadow": ("activation", "dimension", "width", "coupling", "rate_g", "rate_d", "penalty"),
}
"""Model → the settings that it uses."""

_LEAST_COUPLING = 0.16  # of a generator: latents at right angles are coupled by 1/2π


def canonical(settings: Settings) -> Settings:
    """What a model does not use is neutral."""
    used = ("model", *_OF[settings["model"]])
    return {
        name: settings[name] if name in used else STUDY.settings[name].kind(STUDY.settings[name].neutral)
        for name in settings
    }


def group(run: Run, experiments: Sequence[str]) -> str:
    """A shard is an experiment; generators and their shadows are one."""
    model = str(run.settings["model"])
    return {"particles": experiments[0], "shadow": "generator"}.get(model, model)


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Couplings that no latents of a ReLU generator have, and too few looks."""
    asked = config["gan_dynamics"]
    for name, experiment in asked["experiments"].items():
        couplings = experiment.get("coupling", [])
        couplings = couplings if isinstance(couplings, list) else [couplings]
        models = experiment["model"] if isinstance(experiment["model"], list) else [experiment["model"]]
        if {"generator", "shadow"} & set(models) and any(not _LEAST_COUPLING <= one <= 1 for one in couplings):
            yield (
                f"gan_dynamics.experiments.{name}.coupling: got {couplings}, wanted {_LEAST_COUPLING} to 1 for a "
                "generator, whose latents at right angles are coupled by 1/2π"
            )
    if asked["steps"] < 4 * asked["look_every"]:
        yield (
            f"gan_dynamics.look_every: got {asked['look_every']}, wanted at most a quarter of steps, {asked['steps']}, "
            "since the end is what is seen in the last quarter"
        )


STUDY = Study(
    paper=Paper(
        "Effective dynamics of generative adversarial networks",
        "Durr, Mroueh, Tu & Wang",
        2023,
        "10.1103/PhysRevX.13.041004",
    ),
    about="do particles with one coupling stand for a generator, why do modes collapse, how much penalty is best?",
    settings={
        "model": Setting(str, "Model", choices=MODELS),
        "activation": Setting(
            str,
            "Activation",
            source="of the discriminator, in kernel of the generator",
            choices={"relu": "ReLU", "tanh": "tanh"},
        ),
        "dimension": Setting(int, "Latent dimension", "d", "of kernel, generator and shadow", least=0, neutral=0),
        "width": Setting(int, "Generator's width", "H_G", "of generator and shadow", least=0, neutral=0),
        "coupling": Setting(float, "Coupling", r"\varphi", "g₂/g₁", least=0, most=1, neutral=0.0),
        "rate_g": Setting(float, "Rate of the cloud", "r_G", "of all but kernel", least=0, neutral=0.0),
        "rate_d": Setting(float, "Rate of the discriminator", "r_D", "of all but kernel", least=0, neutral=0.0),
        "penalty": Setting(float, "Gradient penalty", r"\rho", "of all but kernel", least=0, neutral=0.0),
        "pace": Setting(
            int, "Pace", source="of particles: both rates are divided by it, steps multiplied", least=0, neutral=0
        ),
        "rule": Setting(
            str,
            "Rule",
            source="of particles; centre: the step divided by 1 + φ(N − 1), so that the centre of mass keeps one rate",
            choices={"plain": "plain", "centre": "the centre's rate held", "": "not used"},
            neutral="",
        ),
    },
    shared={
        "particles": Setting(int, "Particles", "N", least=2),
        "batch_size": Setting(int, "Batch size", "B", "data points per step", least=1),
        "units": Setting(int, "Units", "H", "of the discriminator", least=1),
        "steps": Setting(int, "Steps", least=4),
        "look_every": Setting(int, "Steps between two looks", least=1),
        "reference": Setting(int, "Reference points", source="data that the energy distance is to", least=2),
        "kernel_width": Setting(int, "Width", "H_G", "of the generator in kernel", least=1),
        "kernel_latents": Setting(int, "Latents", source="in kernel", least=3),
    },
    steps=(
        Step(
            "experiment",
            reads=(
                *("particles", "batch_size", "units", "steps", "look_every", "reference"),
                *("kernel_width", "kernel_latents"),
            ),
            purposes=("data", "start", "discriminator", "reference"),
        ),
        Step(
            "tables",
            after=("experiment",),
            each="study",
            tables=("runs", "clouds", "course", "boundaries", "optima", "interior"),
        ),
    ),
    cost={"quick": "20 seconds", "full": "5 minutes"},
    judged=("runs", "boundaries", "optima", "interior"),
    canonical=canonical,
    group=group,
    problems=problems,
)
