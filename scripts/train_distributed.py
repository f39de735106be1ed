"""Train learners with a process for each, started by torchrun; no step of the pipeline, which trains them as one stack.

`torchrun --standalone --nproc-per-node 4 scripts/train_distributed.py …` for four learners on one machine; on several,
--nnodes, --node-rank and --rdzv-endpoint instead of --standalone. torchrun gives every process one thread, unless
OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import torch
from torch import Tensor

from awduality.commandline import parse, run
from awduality.data.splits import Split, read_split
from awduality.errors import InputError
from awduality.files import write_arrays
from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.training.distributed import distributed_settings, train_learner
from awduality.training.group import TIMEOUT, joined
from awduality.training.multilearner import LearnerTraining, initial_row
from awduality.training.population import arrays_of, population


def training_from(values: dict, split: Split) -> LearnerTraining:
    """What ``--training`` says, as of ``train_learners.py``."""
    network = dict(values)
    try:
        shared = {name: network.pop(name) for name in ("root_seed", "train_size", "target_loss")}
        return LearnerTraining(weight_shapes(split.features, split.classes, **network), **shared)
    except (KeyError, TypeError) as error:
        wanted = "root_seed, train_size, target_loss, width and hidden_layers, may have first_width and convolutions"
        raise InputError(f"--training has {wanted}: got {dict(values)} ({error})") from error


def main(argv: list[str] | None = None) -> None:
    """Write w̄ and, if wanted, the weights of every learner, when all have taken all their steps."""
    parser = argparse.ArgumentParser(prog="scripts/train_distributed.py", description=__doc__)
    parser.add_argument("--split", required=True, type=Path, help="the data, from prepare_data.py")
    parser.add_argument("--setting", required=True, type=json.loads, metavar="JSON", help="algorithm, learners …")
    parser.add_argument("--seed", required=True, type=int, help="seed index")
    parser.add_argument("--training", required=True, type=json.loads, metavar="JSON", help="as of train_learners.py")
    parser.add_argument("--weights-out", required=True, type=Path, help="w̄ by layer (safetensors)")
    parser.add_argument("--learners-out", type=Path, help="<learner>/<layer>; process 0 needs the memory for all")
    parser.add_argument("--every", type=int, default=0, metavar="STEPS", help="how often w̄ is evaluated on the way")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a process waits for another")
    arguments = parse(parser, argv)
    settings, split = distributed_settings(arguments.setting), read_split(arguments.split)
    training = training_from(arguments.training, split)
    networks, initial = population(training.shapes), initial_row(training, arguments.seed)
    with joined(settings["learners"], arguments.timeout) as group:
        logging.info("learner %d of %d on %s", group.rank, group.size, group.device)
        arrays = (*split.train(training.train_size), *split.test)
        x, y, x_test, y_test = (torch.from_numpy(array).to(group.device) for array in arrays)

        def evaluate(step: int, mean: Tensor) -> None:
            (loss, _), (_, accuracy) = (networks.evaluate(mean[None], *s) for s in ((x, y), (x_test, y_test)))
            logging.info("step %d: training loss %.4g, test error %.4g", step, float(loss), 1 - float(accuracy))

        asked = Run(settings, arguments.seed)
        found = train_learner(asked, training.root_seed, networks, initial, (x, y), group, arguments.every, evaluate)
        rows = group.gathered(found.weights) if arguments.learners_out else []
        group.meet()
        if group.rank == 0:
            evaluate(settings["steps"], found.mean)
            logging.info("spread of the learners %.4g", found.spread)
            write_arrays(arguments.weights_out, arrays_of(found.mean, training.shapes))
            if rows:
                of_learner = [arrays_of(row, training.shapes) for row in rows]
                learners = {f"{place}/{name}": a for place, one in enumerate(of_learner) for name, a in one.items()}
                write_arrays(arguments.learners_out, learners)


if __name__ == "__main__":
    run(main)
