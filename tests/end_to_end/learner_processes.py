"""What every process of a test does: train one learner of each case, one case after the other. Started by torchrun.

    torchrun … learner_processes.py SPLIT FOLDER CASES

Process 0 writes, per case, the weights of all learners, w̄ and the spread.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from awduality.data.splits import read_split
from awduality.files import write_arrays
from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.training.distributed import distributed_settings, train_learner
from awduality.training.group import joined
from awduality.training.multilearner import LearnerTraining, initial_row
from awduality.training.population import OneByOne, population

SHAPES = weight_shapes(64, 10, 12, 2)
TRAINING = LearnerTraining(SHAPES, root_seed=7, train_size=100, target_loss=0.0)
SEED = 3


def module(seed):
    """A network that the stack does not know: biases, tanh."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 9), nn.Tanh(), nn.Linear(9, 10))


def main(split_file, folder, cases):
    split = read_split(Path(split_file))
    train = tuple(torch.from_numpy(array) for array in split.train(TRAINING.train_size))
    with joined(4, timeout=60) as group:
        for name, values in json.loads(cases).items():
            networks, initial = population(SHAPES), initial_row(TRAINING, SEED)
            if name == "module":
                model = module(group.rank)  # all start from that of process 0
                networks, initial = OneByOne(model), nn.utils.parameters_to_vector(model.parameters())
            run = Run(distributed_settings(values), SEED)
            found = train_learner(run, TRAINING.root_seed, networks, initial, train, group)
            rows = group.gathered(found.weights)
            group.meet()
            if group.rank == 0:
                arrays = {"rows": torch.stack(rows).numpy(), "mean": found.mean.numpy()}
                write_arrays(Path(folder) / f"{name}.safetensors", {**arrays, "spread": np.array([found.spread])})


if __name__ == "__main__":
    main(*sys.argv[1:])
