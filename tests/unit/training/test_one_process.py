"""One process: a single learner, settings, and what cannot be started. Several: ``end_to_end/test_distributed.py``."""

import json
import socket
from importlib import import_module

import numpy as np
import pytest
import torch
import torch.distributed as dist

from awduality.errors import InputError
from awduality.files import read_arrays
from awduality.networks import weight_shapes
from awduality.runs import Run
from awduality.streams import stream
from awduality.training.distributed import distributed_settings, train_learner
from awduality.training.group import joined
from awduality.training.multilearner import Learners, LearnerTraining, initial_row
from awduality.training.population import arrays_of, population

SHAPES = weight_shapes(64, 10, 12, 2)
TRAINING = LearnerTraining(SHAPES, root_seed=7, train_size=100, target_loss=0.0)
SETTING = {"algorithm": "dpsgd", "learners": 1, "learning_rate": 0.3, "total_batch": 40, "steps": 30}
SCRIPT = {"root_seed": 7, "train_size": 100, "target_loss": 0.0, "width": 12, "hidden_layers": 2}
ALGORITHMS = [
    {"algorithm": "ssgd"},
    {"algorithm": "ssgd_star", "noise": 0.1},
    {"mixing": "full"},
    {"mixing": "ring"},
    {"mixing": "random_pair"},
    {"mixing": [[1.0]]},
]


@pytest.fixture
def started(monkeypatch):
    """As if torchrun had started this process as one of so many."""

    def start(processes=1):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        given = {"RANK": 0, "WORLD_SIZE": processes, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": processes}
        for name, value in {**given, "MASTER_ADDR": "localhost", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("AWDUALITY_DEVICE", "cpu")

    return start


def in_a_stack(split, values):
    learners = Learners(distributed_settings(values), [3], TRAINING, torch.device("cpu"))
    x, y = (torch.from_numpy(array) for array in split.train(100))
    for _ in range(values["steps"]):
        learners.step(x, y)
    return learners


@pytest.mark.parametrize("changes", ALGORITHMS, ids=str)
def test_a_single_process_is_a_stack_of_one_learner_to_the_bit(digits, started, changes):
    started()
    values, watched = {**SETTING, **changes}, []
    x, y = (torch.from_numpy(array) for array in digits.train(100))
    with joined(1, timeout=30) as group:
        networks, initial = population(SHAPES), initial_row(TRAINING, 3)
        run, begun_from = Run(distributed_settings(values), 3), initial.clone()
        found = train_learner(run, 7, networks, initial, (x, y), group, 10, lambda *at: watched.append(at))
        assert [torch.equal(row, found.weights) for row in group.gathered(found.weights)] == [True]
    assert torch.equal(found.weights, in_a_stack(digits, values).weights[0, 0])
    assert torch.equal(found.mean, found.weights)
    assert found.spread == 0
    assert torch.equal(initial, begun_from)
    assert [step for step, _ in watched] == [10, 20, 30]
    assert torch.equal(watched[-1][1], found.mean)
    assert not torch.equal(watched[0][1], found.mean)
    assert not dist.is_initialized()
    assert (torch.tensor([1e-40]) * 0.5).item() > 0  # arithmetic is as it was


def test_noise_drawn_learner_by_learner_is_that_drawn_at_once():
    together = stream(7, "perturbation", 3).standard_normal((5, 1_001), dtype=np.float32)
    generator = stream(7, "perturbation", 3)
    one_by_one = [generator.standard_normal(1_001, dtype=np.float32) for _ in range(5)]
    assert np.array_equal(together, one_by_one)


def call_script(split_file, folder, values=SETTING, training=SCRIPT, options=()):
    files = ["--split", str(split_file), "--weights-out", str(folder / "out/w.safetensors")]
    what = ["--setting", json.dumps(values), "--training", json.dumps(training), "--seed", "3"]
    import_module("train_distributed").main([*files, *what, *options])


def test_the_script_with_a_single_process_writes_the_weights_by_layer(digits_file, digits, started, tmp_path):
    started()
    call_script(digits_file, tmp_path)
    found = read_arrays(tmp_path / "out/w.safetensors")
    expected = arrays_of(in_a_stack(digits, SETTING).weights[0, 0], SHAPES)
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["w.safetensors"]


def assert_refused(split_file, folder, message, **arguments):
    with pytest.raises(InputError, match=message):
        call_script(split_file, folder, **arguments)
    assert not dist.is_initialized()
    assert not (folder / "out").exists()


def test_without_torchrun_it_says_how_to_start(digits_file, tmp_path, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    values = {**SETTING, "learners": 4}
    assert_refused(digits_file, tmp_path, "`torchrun --standalone --nproc-per-node 4`", values=values)


def test_another_number_of_processes_than_learners_is_refused_before_any_waits(digits_file, started, tmp_path):
    started(processes=3)
    message = "the settings have 4 learners, but torchrun has started 3 processes: give it --nproc-per-node 4"
    assert_refused(digits_file, tmp_path, message, values={**SETTING, "learners": 4})


def test_processes_that_would_share_a_gpu_are_refused_and_take_the_cpu_if_nobody_asks_for_gpus(
    digits_file, started, tmp_path, monkeypatch
):
    started(processes=3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("AWDUALITY_DEVICE", "cuda")
    message = "AWDUALITY_DEVICE is cuda, but 3 processes would share 2 GPUs: start at most 2"
    assert_refused(digits_file, tmp_path, message, values={**SETTING, "learners": 3})
    started(processes=1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("AWDUALITY_DEVICE", "auto")
    with joined(1) as group:
        assert group.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixing": "star"}, "unknown mixing 'star'"),
        ({"mixing": [[0.5]]}, "row 0 sums to 0.5, wanted 1"),
        ({"mixing": [[1.0, 0.0], [1.0]]}, "a setting of learners is not of its type"),
        ({"learning_rate": "fast"}, "a setting of learners is not of its type: could not convert string to float"),
        ({"total_batch": None}, "a setting of learners is not of its type"),
        ({"algorithm": "sgd"}, "unknown algorithm 'sgd': wanted one of ssgd, ssgd_star, dpsgd"),
        ({"steps": 0}, "at least one step: got 0"),
        ({"momentum": 0.9}, "missing or unknown: momentum"),
        ({"total_batch": 101}, "a total batch of 101 is larger than the 100 training samples"),
        ({"total_batch": 0}, "a total batch of 0 cannot be shared by 1 learners"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used_are_refused(digits_file, started, tmp_path, changes, message):
    started()
    assert_refused(digits_file, tmp_path, message, values={**SETTING, **changes})


def test_a_setting_that_is_missing_is_named(digits_file, tmp_path):
    values = {name: value for name, value in SETTING.items() if name != "steps"}
    assert_refused(digits_file, tmp_path, "missing or unknown: steps", values=values)


@pytest.mark.parametrize(("name", "message"), [("root_seed", "'root_seed'"), ("width", "'width'")])
def test_what_all_runs_share_must_be_complete(digits_file, tmp_path, name, message):
    training = {key: value for key, value in SCRIPT.items() if key != name}
    assert_refused(digits_file, tmp_path, f"--training has root_seed, train_size.*{message}", training=training)


def test_nobody_waits_for_no_time(digits_file, started, tmp_path):
    started()
    assert_refused(digits_file, tmp_path, "a time greater than zero: got 0 seconds", options=("--timeout", "0"))


def test_settings_keep_the_number_of_learners_of_ssgd_and_leave_out_what_it_does_not_use():
    found = distributed_settings({**SETTING, "algorithm": "ssgd", "learners": 4, "mixing": "ring", "noise": 0.5})
    assert found == {**SETTING, "algorithm": "ssgd", "learners": 4, "mixing": "full", "noise": 0.0}
