"""Cause, not correlation: move sharpness and size one at a time, at one training loss, and see what the gap does.

Sharpness is moved by the perturbation ρ of sharpness-aware minimisation, size by the norm at which layers are held.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from awduality.layers import layer_names
from awduality.runs import Run
from awduality.study.contract import MAIN_PAPER, Setting, Step, Study

HIDDEN_LAYERS = 2


def group(run: Run, _experiments: Sequence[str]) -> str:
    """A shard has runs of one batch size, which are trained as stacks."""
    return f"batches-of-{run.settings['batch_size']}"


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Values that are each in range, but not together."""
    asked, pool = config["cause"], config["data"]["pool"]["count"]
    if asked["train_size"] > pool:
        yield f"cause.train_size: got {asked['train_size']}, wanted at most data.pool.count, {pool}"
    known = layer_names(HIDDEN_LAYERS)
    if len(config["layers"]) != 1 or config["layers"][0] not in known:
        yield f"layers: got {config['layers']}, wanted one of {', '.join(known)} alone, whose determinants are compared"


STUDY = Study(
    paper=MAIN_PAPER,
    about="does the gap follow sharpness and size when each is moved by itself, and is it their product?",
    settings={
        "rho": Setting(float, "Perturbation", r"\rho", "of SAM; 0: plain SGD", least=0),
        "norm": Setting(
            float, "Norm of the layers", "c", "held, as a multiple of each layer's initial one; 0: free", least=0
        ),
        "batch_size": Setting(int, "Batch size", "B", least=1),
    },
    shared={
        "width": Setting(int, "Hidden width", "H", "units in each of two hidden layers", least=2),
        "learning_rate": Setting(float, "Learning rate", r"\alpha", above=0),
        "train_size": Setting(int, "Training size", "N", least=1),
        "target_loss": Setting(float, "Target loss", source="on all training samples: where runs end", above=0),
        "check_every": Setting(int, "Steps between two looks at the training loss", least=1),
        "max_steps": Setting(int, "Most steps", least=1),
    },
    experiments={
        "plane": "every perturbation with every norm",
        "batches": "plain SGD, whose sharpness the batch size moves, at every norm",
        "free": "every perturbation, with norms that are free",
    },
    inherits=("data", "layers"),
    steps=(
        Step(
            "experiment",
            reads=(
                *("width", "learning_rate", "train_size", "target_loss", "check_every", "max_steps"),
                *("layers",),
            ),
            data=True,
            purposes=("/init", "/order"),
        ),
        Step("tables", after=("experiment",), each="study", tables=("runs",)),
        Step("determinants", reads=("target_loss",), each="study", of_tables=("runs",), tables=("determinants",)),
    ),
    smallest=lambda config: int(config["cause"]["train_size"]),
    group=group,
    problems=problems,
)
