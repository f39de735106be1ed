"""Four real processes, a learner each: the same weights as the stack, and how it ends when one of them dies."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import psutil
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from awduality.files import read_arrays
from awduality.training.distributed import distributed_settings
from awduality.training.mixing import exchanges
from awduality.training.multilearner import Learners, batches
from awduality.training.population import arrays_of
from tests.conftest import ROOT
from tests.end_to_end.learner_processes import SEED, SHAPES, TRAINING, module

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SETTING = {"algorithm": "dpsgd", "learners": 4, "learning_rate": 0.3, "total_batch": 40, "steps": 100}
MATRIX = [[0.6, 0.4, 0, 0], [0.3, 0.3, 0.4, 0], [0.1, 0, 0.5, 0.4], [0, 0.3, 0.1, 0.6]]
BY_NEIGHBOURS = {
    "ring": {**SETTING, "mixing": "ring"},
    "wide_ring": {**SETTING, "mixing": "wide_ring"},  # of four: the learner opposite counts twice
    "random_ring": {**SETTING, "mixing": "random_ring"},
    "random_pair": {**SETTING, "mixing": "random_pair"},
    "unequal": {**SETTING, "mixing": "random_ring", "total_batch": 10},
    "matrix": {**SETTING, "mixing": MATRIX},
}
BY_THE_MEAN = {
    "full": {**SETTING, "mixing": "full"},
    "ssgd": {**SETTING, "algorithm": "ssgd"},
    "ssgd_star": {**SETTING, "algorithm": "ssgd_star", "noise": 0.1},
}
SCRIPT = {"root_seed": 7, "train_size": 100, "target_loss": 0.0, "width": 12, "hidden_layers": 2}
needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="equal to the bit only with MKL (x86)")


def torchrun(processes, *arguments, options=()):
    """A command that starts so many processes, and the environment for it."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, *options]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "AWDUALITY_DEVICE": "cpu"}
    return {"args": [sys.executable, *map(str, [*launch, *arguments])], "env": environment}


@pytest.fixture(scope="module")
def trained(digits_file, tmp_path_factory):
    """What four processes made of every case."""
    folder = tmp_path_factory.mktemp("distributed")
    cases = {**BY_NEIGHBOURS, **BY_THE_MEAN, "module": BY_NEIGHBOURS["ring"]}
    worker = ROOT / "tests/end_to_end/learner_processes.py"
    done = subprocess.run(
        **torchrun(4, worker, digits_file, folder, json.dumps(cases)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name: read_arrays(folder / f"{name}.safetensors") for name in cases}


def in_a_stack(split, setting):
    """All learners in this process, after all steps."""
    learners = Learners(distributed_settings(setting), [SEED], TRAINING, torch.device("cpu"))
    x, y = (torch.from_numpy(array) for array in split.train(TRAINING.train_size))
    for _ in range(setting["steps"]):
        learners.step(x, y)
    return learners


def distance(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@needs_mkl
@pytest.mark.parametrize("name", BY_NEIGHBOURS)
def test_processes_that_take_their_neighbours_weights_equal_the_stack_to_the_bit(trained, digits, name):
    stacked = in_a_stack(digits, BY_NEIGHBOURS[name])
    assert np.array_equal(trained[name]["rows"], stacked.weights[0].numpy())
    assert distance(trained[name]["mean"], stacked.mean[0].numpy()) < 1e-6
    assert trained[name]["spread"][0] == pytest.approx(stacked.spread.item(), rel=1e-5)
    assert stacked.spread.item() > 1e-3


@pytest.mark.parametrize("name", BY_THE_MEAN)
def test_processes_that_take_the_mean_of_all_equal_the_stack_within_rounding(trained, digits, name):
    stacked = in_a_stack(digits, BY_THE_MEAN[name])
    assert distance(trained[name]["rows"], stacked.weights[0].numpy()) < 1e-5
    assert distance(trained[name]["mean"], stacked.mean[0].numpy()) < 1e-5
    assert trained[name]["spread"][0] == pytest.approx(stacked.spread.item(), rel=1e-3, abs=1e-10)


@pytest.mark.parametrize("name", ["ssgd", "ssgd_star"])
def test_processes_of_synchronous_sgd_hold_the_same_weights_to_the_bit(trained, name):
    assert (trained[name]["rows"] == trained[name]["rows"][0]).all()


def test_any_module_is_trained_from_the_weights_of_process_0(trained, digits):
    setting, model = BY_NEIGHBOURS["ring"], module(0)
    weights = [nn.utils.parameters_to_vector(model.parameters()).detach()] * 4
    x, y = (torch.from_numpy(array) for array in digits.train(100))
    orders, t = batches(100, 40, 7, SEED), next(exchanges("ring", 4, 7, SEED)).matrix
    for _ in range(setting["steps"]):
        gradients = []
        for row, part in zip(weights, np.split(next(orders), 4), strict=True):
            nn.utils.vector_to_parameters(row, model.parameters())
            model.zero_grad()
            cross_entropy(model(x[part]), y[part]).backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        mixed = [sum(t[j, i] * weights[i] for i in range(4)) for j in range(4)]
        weights = [row - setting["learning_rate"] * g for row, g in zip(mixed, gradients, strict=True)]
    assert distance(trained["module"]["rows"], torch.stack(weights).numpy()) < 1e-5


def script(split, folder, setting, *options):
    """The arguments of the script."""
    out = ("--weights-out", folder / "w.safetensors", "--learners-out", folder / "learners.safetensors")
    what = ("--setting", json.dumps(setting), "--seed", SEED, "--training", json.dumps(SCRIPT))
    return (ROOT / "scripts/train_distributed.py", "--split", split, *what, *out, *options)


@needs_mkl
def test_the_script_writes_the_weights_by_layer_and_logs_evaluations_once(digits_file, digits, tmp_path):
    command = torchrun(4, *script(digits_file, tmp_path, BY_NEIGHBOURS["ring"], "--every", 50))
    done = subprocess.run(**command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    stacked = in_a_stack(digits, BY_NEIGHBOURS["ring"])
    rows = [arrays_of(row, SHAPES) for row in stacked.weights[0]]
    expected = {f"{learner}/{name}": array for learner, row in enumerate(rows) for name, array in row.items()}
    found = read_arrays(tmp_path / "learners.safetensors")
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    mean = read_arrays(tmp_path / "w.safetensors")
    for name, array in arrays_of(stacked.mean[0], SHAPES).items():
        assert mean[name] == pytest.approx(array, abs=1e-6)
    x, y = (torch.from_numpy(array) for array in digits.train(100))
    assert done.stderr.count("step 50: training loss ") == 1
    assert f"step 100: training loss {stacked.evaluate(x, y)[0].item():.4g}, test error" in done.stderr
    assert f"spread of the learners {stacked.spread.item():.4g}" in done.stderr


@contextmanager
def training_for_long(digits_file, folder, *options):
    """Four processes in the middle of a run, their log so far, and the process that has started them."""
    setting, log = {**BY_NEIGHBOURS["ring"], "steps": 10**7}, folder / "log"
    waiting = ("--monitor-interval", 3)  # torchrun looks after its processes so seldom that they can say what happened
    command = torchrun(4, *script(digits_file, folder, setting, "--every", 100, *options), options=waiting)
    with log.open("w") as stream, subprocess.Popen(**command, stdout=stream, stderr=stream) as agent:
        processes = []
        try:
            until(lambda: "step 100:" in log.read_text() or agent.poll() is not None)
            processes = psutil.Process(agent.pid).children()
            assert len(processes) == 4, log.read_text()
            yield agent, processes, log
        finally:
            for process in processes:
                with_pid_gone(process)
            agent.kill()


def with_pid_gone(process):
    """Kill a process that may have ended."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def until(condition, patience=120):
    """Wait for something."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


MESSAGE = "waited for another that has ended, or has not answered for {} seconds"


def test_a_learner_that_is_killed_ends_all_others_and_nothing_is_written(digits_file, tmp_path):
    with training_for_long(digits_file, tmp_path) as (agent, processes, log):
        processes[1].send_signal(signal.SIGKILL)
        assert agent.wait(60) != 0
        said = log.read_text()
        assert f"error: learner 0 of 4 {MESSAGE.format(600)}" in said
        assert "Nothing was written; start all again." in said
        assert "Signal 9 (SIGKILL) received" in said  # torchrun names the one that it was
        assert not psutil.pid_exists(processes[0].pid)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_learner_that_does_not_answer_ends_all_others_after_the_timeout(digits_file, tmp_path):
    with training_for_long(digits_file, tmp_path, "--timeout", 3) as (agent, processes, log):
        processes[1].send_signal(signal.SIGSTOP)
        until(lambda: MESSAGE.format(3) in log.read_text())
        processes[1].send_signal(signal.SIGKILL)  # torchrun would wait half a minute for it
        assert agent.wait(60) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
