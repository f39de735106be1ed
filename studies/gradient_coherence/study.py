"""Coherent gradients: do examples that pull the same way explain what networks learn, and what they memorise?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run, Settings
from awduality.study.contract import Paper, Setting, Step, Study
from studies.gradient_coherence.tasks import COHERENCE, MEMORISATION

WINSORISED = ("mean", "normed")  # the methods that look at c

_SETTINGS = {
    "task": Setting(
        str,
        "Task",
        source="what a run is followed for: the coherence of its gradients, until every training example is learned or "
        "the steps are over; or what it memorises in exactly so many steps",
        choices={COHERENCE: "coherence", MEMORISATION: "memorisation"},
    ),
    "method": Setting(
        str,
        "Method",
        source="how a step is made of minibatches: their mean gradient, winsorised at c; the plain mean with the "
        "length that winsorising at c would have given it; plain steps, stopped where a validation set is classified "
        "best; the median of three successive minibatches, one update per three, or one per minibatch; their mean",
        choices={
            "mean": "mean gradient",
            "normed": "plain steps of winsorised length",
            "early": "stopped early",
            "m3": "median of 3",
            "rm3": "rolling median of 3",
            "mean3": "mean of 3",
        },
    ),
    "per_cent": Setting(
        float, "Winsorising", "c", "per cent of a minibatch clipped on either side; 0: nothing", least=0
    ),
    "permuted": Setting(float, "Permuted labels", "p", "share of the training labels", least=0, most=1),
    "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
    "batch_size": Setting(int, "Batch size", "B", least=1),
    "train_size": Setting(int, "Training size", "N", least=1),
    "steps": Setting(int, "Steps", "T", "updates, at most", least=1),
}

_SHARED = {
    "width": Setting(int, "Hidden width", "H", "units in each hidden layer", least=1),
    "hidden_layers": Setting(int, "Hidden layers", least=1),
    "record_every": Setting(int, "Steps between two records", source="after the first hundred steps", least=1),
    "matched_losses": Setting(
        float, "Matched training losses", source="where the coherence of runs is compared", above=0, many=True
    ),
    "target_loss": Setting(
        float, "Target loss", source="on the clean examples, where sharpness and size are compared", above=0
    ),
    "validation": Setting(int, "Validation examples", source="for the step of best accuracy", least=1),
}


def canonical(settings: Settings) -> Settings:
    """Only winsorising and its control look at c."""
    return {**settings, "per_cent": settings["per_cent"] if settings["method"] in WINSORISED else 0.0}


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard has all arms of a task, which are trained as stacks."""
    return str(run.settings["task"])


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    asked, pool = config["gradient_coherence"], config["data"]["pool"]["count"]
    for name, experiment in asked["experiments"].items():
        where = f"gradient_coherence.experiments.{name}"
        for size in _listed(experiment["train_size"]):
            if size + asked["validation"] > pool:
                yield (
                    f"{where}.train_size: got {size}, which with {asked['validation']} validation examples is more "
                    f"than data.pool.count, {pool}: raise one or lower the other"
                )
            yield from (
                f"{where}.batch_size: got {batch}, which does not divide train_size {size}: choose one that does"
                for batch in _listed(experiment["batch_size"])
                if size % batch
            )
        for share in _listed(experiment.get("per_cent", 0.0)):
            if share >= 50:
                yield f"{where}.per_cent: got {share}, wanted less than 50: more would clip every example"


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, list) else [values]


STUDY = Study(
    paper=Paper("On the generalization mystery in deep learning", "Chatterjee & Zielinski", 2022, "2203.10036"),
    settings=_SETTINGS,
    shared=_SHARED,
    about="are the gradients of real examples aligned, and does a robust mean of gradients keep from memorising?",
    inherits=("data", "layers"),
    cost={"quick": "12 seconds", "full": "4 minutes"},
    steps=(
        Step(
            "experiment",
            reads=("width", "hidden_layers", "record_every", "matched_losses", "target_loss", "validation", "layers"),
            data=True,
            purposes=("init", "order", "labels"),
        ),
        Step(
            "tables",
            reads=("matched_losses",),
            after=("experiment",),
            each="study",
            tables=("runs", "matched", "course", "toy"),
        ),
        Step("determinants", reads=("target_loss",), each="study", of_tables=("runs",), tables=("determinants",)),
    ),
    judged=("runs", "matched", "toy"),
    canonical=canonical,
    group=group,
    problems=problems,
)
