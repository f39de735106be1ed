"""A random design: all factors drawn jointly, so that sharpness and size can be told apart, against known measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.data.counts import noisy_count
from awduality.runs import Run
from awduality.study.contract import MAIN_PAPER, Setting, Step, Study
from studies.random_design.draws import LAWS, by_ratio, drawn, one_of

DESIGN = "design"

FIXED = {"top_eigenvalue": 0.5, "sigma_w_norm": 1.75}
"""The powers that were taken from the committed sweeps before any run of the design; see ``claims.yaml``."""

_LIST = "one of the list, each as likely"
_RATIO = "between the two ends, evenly on a logarithmic scale"

_SETTINGS = {
    "batch_size": Setting(int, "Batch size", "B", _LIST, least=1),
    "learning_rate": Setting(float, "Learning rate", r"\alpha", _RATIO, above=0),
    "weight_decay": Setting(float, "Weight decay", r"\beta", f"of the unsquared norm; {_RATIO}", above=0),
    "init_scale": Setting(float, "Initial scale", "s", _RATIO, above=0),
    "dropout": Setting(float, "Dropout rate", "d", "between the two ends, evenly", least=0),
    "label_noise": Setting(float, "Label noise", r"\rho", _LIST, least=0),
    "train_size": Setting(int, "Training size", "N", _LIST, least=1),
}

TRAINING = {
    "hidden_layers": Setting(int, "Hidden layers", least=2),
    "target_loss": Setting(float, "Target loss", source="mean training loss in nats at which all runs end", above=0),
    "target_accuracy": Setting(float, "Target accuracy", source="which they must have as well", above=0, most=1),
    "max_steps": Setting(int, "Steps", source="after which a run is given up", least=1),
    "check_every": Setting(int, "Steps between two looks", source="after which a run may end", least=1),
    "weight_decay_epochs": Setting(int, "Epochs of weight decay", source="authors' code", least=0),
}

_SHARED = {
    "runs_per_block": Setting(int, "Runs per block", source="a block is what shares a seed index", least=1),
    "width": Setting(int, "Hidden width", "H", "fixed, so that a layer has one number of directions", least=2),
    "noise_samples": Setting(
        int, "Samples under noise", source="training samples that PAC-Bayes flatness is measured on, at most", least=1
    ),
    **TRAINING,
}


def expand(config: Mapping[str, Any]) -> Iterator[tuple[str, Run]]:
    """Every run of every block."""
    asked = config["random_design"]
    for name, ranges in asked["experiments"].items():
        for block in range(ranges["seeds"]):
            for place in range(asked["runs_per_block"]):
                yield name, Run(drawn(ranges, config["root_seed"], block, place), block)


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard holds the runs that can be trained as one stack."""
    return "{batch_size}-{train_size}-{label_noise}".format(**run.settings)


def smallest(config: Mapping[str, Any]) -> int:
    """The number of clean training samples of the smallest runs."""
    return int(min(min(ranges["train_size"]) for ranges in config["random_design"]["experiments"].values()))


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Ranges without two ends, and samples that there are not."""
    pool = config["data"]["pool"]["count"]
    for name, ranges in config["random_design"]["experiments"].items():
        where = f"random_design.experiments.{name}"
        for factor, law in LAWS.items():
            ends = ranges[factor]
            if law is not one_of and (len(ends) != 2 or ends[0] >= ends[1]):
                ratio = ", on a logarithmic scale" if law is by_ratio else ""
                yield f"{where}.{factor}: got {ends}, wanted two ends, the smaller first, to draw between{ratio}"
        size, noise = max(ranges["train_size"]), max(ranges["label_noise"])
        if noise >= 1:
            yield f"{where}.label_noise: got {noise}, wanted less than 1"
        elif (needed := size + noisy_count(size, noise)) > pool:
            yield f"{where}: needs up to {needed} training samples, but data.pool.count is {pool}: make it larger"
        if max(ranges["batch_size"]) > min(ranges["train_size"]):
            yield (
                f"{where}.batch_size: got {max(ranges['batch_size'])}, which is larger than the smallest train_size, "
                f"{min(ranges['train_size'])}: lower the one or raise the other"
            )


STUDY = Study(
    paper=MAIN_PAPER,
    settings=_SETTINGS,
    shared=_SHARED,
    about="Are sharpness and size each a determinant of the gap, and better predictors than known measures?",
    experiments={DESIGN: "runs with all factors drawn jointly; what it lists is drawn from, its seeds are the blocks"},
    inherits=("data", "layers"),
    cost={"quick": "20 seconds", "full": "10 minutes"},
    steps=(
        Step("experiment", reads=("width", "noise_samples", *TRAINING, "layers"), data=True, purposes=("noise",)),
        Step("tables", after=("experiment",), each="study", tables=("runs",)),
        Step("predictors", each="study", of_tables=("runs",), tables=("predictors",)),
    ),
    smallest=smallest,
    expand=expand,
    group=group,
    problems=problems,
)
