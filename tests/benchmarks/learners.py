"""What is timed of learners: a stack in one process, and a process per learner, which torchrun starts from here."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.training.distributed import distributed_settings, train_learner
from awduality.training.group import joined
from awduality.training.multilearner import Learners, LearnerTraining, Samples, initial_row
from awduality.training.population import population
from tests.benchmarks.timing import REPEATS, seconds
from tests.benchmarks.work import ROOT

LEARNERS = 4
TRAINING = LearnerTraining(weight_shapes(784, 10, 50, 2), root_seed=1, train_size=4_000, target_loss=0.0)


@dataclass(frozen=True)
class Cost:
    """Seconds per step."""

    elapsed: float
    busy: float  # of cores, all processes together: what other work on the machine hardly changes


def setting(total_batch: int) -> dict[str, Any]:
    """Decentralised SGD on a ring."""
    steps = max(50, 40_000 // total_batch)
    words = {"algorithm": "dpsgd", "mixing": "ring", "learners": LEARNERS, "learning_rate": 0.01}
    return distributed_settings({**words, "total_batch": total_batch, "steps": steps})


def samples() -> Samples:
    """Random images of MNIST's size: the time of a step does not depend on what they show."""
    generator = np.random.default_rng(0)
    images = generator.random((TRAINING.train_size, 784), dtype=np.float32)
    return torch.from_numpy(images), torch.from_numpy(generator.integers(10, size=TRAINING.train_size))


def stacked(total_batch: int, seeds: int) -> Cost:
    """What a step of all learners of so many runs costs."""
    asked, (x, y) = setting(total_batch), samples()
    learners = Learners(asked, range(seeds), TRAINING, torch.device("cpu"))

    def steps() -> None:
        for _ in range(asked["steps"]):
            learners.step(x, y)

    return _cost(steps, asked["steps"])


def processes(total_batch: int) -> Cost:
    """What a step of one run costs with a process per learner."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(LEARNERS)]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "tests.benchmarks.learners", str(total_batch)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "AWDUALITY_DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Cost(*json.loads(done.stdout))


def _cost(steps: Callable[[], object], count: int) -> Cost:
    """The median cost of one of so many steps, after some that do not count."""
    steps()
    taken = []
    for _ in range(REPEATS):
        busy = time.process_time()
        taken.append((seconds(steps), time.process_time() - busy))
    return Cost(*(statistics.median(values) / count for values in zip(*taken, strict=True)))


def main(total_batch: int) -> None:
    """Train one learner together with the others; process 0 prints what a step costs all of them."""
    asked, train = setting(total_batch), samples()
    networks, initial = population(TRAINING.shapes), initial_row(TRAINING, 0)
    with joined(LEARNERS) as group:

        def steps() -> None:
            group.meet()
            train_learner(Run(asked, 0), TRAINING.root_seed, networks, initial, train, group)

        cost = _cost(steps, asked["steps"])
        busy = LEARNERS * float(group.mean(torch.tensor(cost.busy, dtype=torch.float64)))
        if group.rank == 0:
            print(json.dumps([cost.elapsed, busy]))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))
