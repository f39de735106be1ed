"""Over-confidence: on CIFAR-10 flatter solutions have the larger gap; does that reverse where logits are tempered?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.runs import Run
from awduality.study.contract import MAIN_PAPER, Setting, Step, Study

_SETTINGS = {
    "batch_size": Setting(int, "Batch size", "B", least=1),
    "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
    "weight_decay": Setting(float, "Weight decay", r"\beta", "of the unsquared norm, in the first epochs", least=0),
}

TRAINING = {
    "hidden_layers": Setting(int, "Hidden layers", least=2),
    "first_width": Setting(int, "Width of the first hidden layer", least=2),
    "target_loss": Setting(float, "Target loss", source="mean training loss in nats at which all runs end", above=0),
    "target_accuracy": Setting(float, "Target accuracy", source="which they must have as well", above=0, most=1),
    "max_steps": Setting(int, "Steps", source="after which a run is given up", least=1),
    "check_every": Setting(int, "Steps between two looks", source="after which a run may end", least=1),
    "weight_decay_epochs": Setting(int, "Epochs of weight decay", source="authors' code", least=0),
}

_SHARED = {
    "train_size": Setting(int, "Training size", "N", least=1),
    "width": Setting(int, "Hidden width", "H", "of all hidden layers but the first", least=2),
    **TRAINING,
}

EXPERIMENT = "sweeps"


def expand(config: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """One factor at a time over its values; the first value of every list is its default."""
    asked = config["overconfidence"]["experiments"][EXPERIMENT]
    defaults = {name: asked[name][0] for name in _SETTINGS}
    changes = [{}, *({name: value} for name in _SETTINGS for value in asked[name][1:])]
    for change, seed in itertools.product(changes, range(asked["seeds"])):
        yield EXPERIMENT, Run({**defaults, **change}, seed)


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard holds the runs that can be trained as one stack."""
    return str(run.settings["batch_size"])


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Samples that there are not."""
    asked = config["overconfidence"]
    size, pool = asked["train_size"], config["data"]["pool"]["count"]
    if size > pool:
        yield f"overconfidence.train_size: got {size}, but data.pool.count is {pool}: lower the one or raise the other"
    if (largest := max(asked["experiments"][EXPERIMENT]["batch_size"])) > size:
        where = f"overconfidence.experiments.{EXPERIMENT}.batch_size"
        yield f"{where}: got {largest}, wanted at most {size}, the train_size"


STUDY = Study(
    paper=MAIN_PAPER,
    about="On CIFAR-10 flatter solutions have the larger gap: is that over-confidence?",
    settings=_SETTINGS,
    shared=_SHARED,
    experiments={EXPERIMENT: "one factor at a time; the first value that it lists is the default"},
    inherits=("data", "layers"),
    steps=(
        Step("experiment", reads=("train_size", "width", *TRAINING, "layers"), data=True, purposes=("/init", "/order")),
        Step("tables", after=("experiment",), each="study", tables=("runs",)),
    ),
    smallest=lambda config: int(config["overconfidence"]["train_size"]),
    expand=expand,
    group=group,
    problems=problems,
)
