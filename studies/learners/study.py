"""Many learners at once: synchronous SGD, the same with isotropic noise, and decentralised SGD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.learners import ALGORITHMS, MIXINGS, SETTINGS, canonical_settings
from awduality.runs import Run
from awduality.study.contract import MAIN_PAPER, Setting, Step, Study
from awduality.study.plan import experiment_runs

_SETTINGS = {
    "algorithm": Setting(
        str,
        "Algorithm",
        source="ssgd: synchronous SGD, the same for every number of learners; ssgd_star: with gradients at w̄ + ε, "
        "ε ~ N(0, σ₀²) constant and isotropic; dpsgd: decentralised SGD",
        choices=ALGORITHMS,
    ),
    "mixing": Setting(
        str,
        "Mixing",
        source="how the learners of dpsgd average their weights: all with all, with one or two neighbours on each side "
        "of a ring, of a ring in random order, or in random pairs; not used by the others",
        choices=MIXINGS,
    ),
    "learners": Setting(int, "Learners", "n", "not used by ssgd", least=1),
    "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
    "total_batch": Setting(int, "Total batch", "nb", "samples per step over all learners", least=1),
    "noise": Setting(
        float, "Noise", r"\sigma_0", "of ssgd_star; none where it is not among the algorithms", above=0, neutral=0.0
    ),
    "steps": Setting(int, "Steps", source="of every run", least=60),
}
assert list(_SETTINGS) == list(SETTINGS)

_SHARED = {
    "width": Setting(int, "Hidden width", "H", "the units in each hidden layer", least=2),
    "train_size": Setting(int, "Training size", "N", "the number of training samples", least=1),
    "target_loss": Setting(
        float,
        "Target loss",
        source="a run has converged when the loss of w̄, the mean over learners, on all training samples is at most "
        "this; solutions are analysed there",
        above=0,
    ),
    "analysed": Setting(
        int,
        "Analysed samples",
        source="of the training samples, those that the Hessian and the pairs are made of",
        least=1,
    ),
    "directions": Setting(
        int,
        "Directions",
        source="of largest eigenvalue, that are computed; sums over all directions are exact",
        least=1,
    ),
}


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard trains one setting, by which it is named."""
    s = run.settings
    parts = [s["algorithm"], s["mixing"], f"n{s['learners']}", f"a{s['learning_rate']:g}", f"b{s['total_batch']}"]
    noise = [f"s{s['noise']:g}"] if s["noise"] else []
    return "-".join([*parts, *noise, f"t{s['steps']}"])


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    asked, pool = config["learners"], config["data"]["pool"]["count"]
    samples = asked["train_size"]
    if samples > pool:
        yield f"learners.train_size: got {samples}, but data.pool.count is {pool}: raise one or lower the other"
    if asked["analysed"] > samples:
        yield f"learners.analysed: got {asked['analysed']}, wanted at most learners.train_size, {samples}"
    for name, experiment in asked["experiments"].items():
        where = f"learners.experiments.{name}"
        if ("ssgd_star" in experiment["algorithm"]) != bool(experiment.get("noise")):
            noise = experiment.get("noise")
            yield f"{where}.noise: got {noise}, wanted values where ssgd_star is trained, and only there"
            continue
        runs = experiment_runs(STUDY, experiment)
        for batch, count in sorted({(run.settings["total_batch"], run.settings["learners"]) for run in runs}):
            if batch > samples:
                yield f"{where}.total_batch: {batch} is larger than the {samples} training samples"
            if count > batch:
                yield f"{where}.learners: {count} learners cannot share a total batch of {batch}: each needs a sample"


STUDY = Study(
    paper=MAIN_PAPER,
    settings=_SETTINGS,
    shared=_SHARED,
    about="Many learners: synchronous and decentralised SGD",
    experiments={
        "large": "rate × batch large",
        "moderate": "between",
        "small": "small",
        "extreme": "so large that SSGD fails, with SSGD*",
        "mild": "not so large, with SSGD*; on MNIST these two are the settings with recorded results",
        "mixings": "ways of mixing",
    },
    inherits=("data", "network", "layers"),
    steps=(
        Step(
            "train_learners",
            reads=("network", "width", "train_size", "target_loss"),
            data=True,
            folder="runs",
            purposes=("/init", "/order"),
            gpu="if there",
        ),
        Step(
            "learner_geometry",
            reads=("layers", "analysed", "directions"),
            after=("train_learners",),
            data=True,
            folder="geometry",
            rows=("layers",),
            of="undiverged",
        ),
        Step(
            "learner_numbers",
            reads=("layers",),
            after=("train_learners", "learner_geometry"),
            each="study",
            tables=("runs", "course", "samples"),
        ),
        Step("determinants", reads=("target_loss",), each="study", of_tables=("runs",), tables=("determinants",)),
        Step("surface", reads=("train_size",), after=("train_learners",), each="study", data=True, tables=("surface",)),
    ),
    page="docs/learners.md",
    cost={"quick": "45 seconds", "full": "40 minutes"},
    judged=("runs", "course", "samples"),
    claims="config/learner-claims.yaml",
    sizes={"quick": "config/digits-learners.yaml", "full": "config/mnist-learners.yaml"},
    smallest=lambda config: int(config["learners"]["analysed"]),
    canonical=canonical_settings,
    group=group,
    problems=problems,
)
