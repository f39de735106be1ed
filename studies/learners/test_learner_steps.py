"""The scripts of a study of many learners, one after the other as the pipeline calls them."""

import json
from importlib import import_module

import numpy as np
import pytest
import torch

from awduality.duality.solution import SOLUTION_COLUMNS
from awduality.errors import InputError
from awduality.files import read_arrays
from awduality.files import read_table as rows
from awduality.learners import SETTINGS
from awduality.networks import from_weights

SETTING = {"algorithm": "dpsgd", "mixing": "ring", "learners": 4, "learning_rate": 0.5, "total_batch": 50}
SETTING |= {"noise": 0.0, "steps": 120}
TRAINING = {"hidden_layers": 2, "width": 8, "train_size": 200, "target_loss": 1.0, "root_seed": 1}


def call(script, *arguments):
    import_module(script).main([str(argument) for argument in arguments])


def train(folder, split, setting, seeds=(0, 1), training=None):
    call(
        *("train_learners", "--split", split, "--setting", json.dumps(setting), "--seeds", *seeds),
        *("--training", json.dumps({**TRAINING, **(training or {})})),
        *("--runs-out", folder / "runs.csv", "--solutions-out", folder / "runs.safetensors"),
        *("--record", folder / "records/train_learners-a.json"),
    )
    return rows(folder / "runs.csv"), read_arrays(folder / "runs.safetensors")


def analyse(folder, split, layers=("fc2",)):
    call(
        *("learner_geometry", "--split", split, "--runs", folder / "runs.csv"),
        *("--solutions", folder / "runs.safetensors", "--layers", *layers, "--analysed", 200, "--directions", 10),
        *("--geometry-out", folder / "geometry.csv", "--losses-out", folder / "losses.safetensors"),
        *("--record", folder / "records/learner_geometry-a.json", "--after", folder / "records/train_learners-a.json"),
    )
    return rows(folder / "geometry.csv"), read_arrays(folder / "losses.safetensors")


@pytest.fixture(scope="module")
def made(digits_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learners")
    return *train(folder, digits_file, SETTING), *analyse(folder, digits_file, ("fc2", "fc3")), folder


def test_the_table_of_runs_has_their_settings_and_how_they_ended(made):
    table, arrays, *_ = made
    assert [row["seed"] for row in table] == ["0", "1"]
    for row in table:
        assert {name: row[name] for name in SETTING} == {name: str(SETTINGS[name](SETTING[name])) for name in SETTING}
        assert row["stop_reason"] == "converged"
        history = {name: arrays[f"{row['run']}/history/{name}"] for name in ("step", "train_loss", "test_accuracy")}
        first = int(np.argmax(history["train_loss"] <= 1.0))
        assert (int(row["step"]), float(row["train_loss"])) == (history["step"][first], history["train_loss"][first])
        assert float(row["last_test_error"]) == pytest.approx(1 - np.median(history["test_accuracy"][-10:]))


def test_the_weights_written_are_those_whose_loss_is_in_the_table(made, digits):
    table, arrays, *_ = made
    for row in table:
        model = from_weights({name: arrays[f"{row['run']}/weights/{name}"] for name in ("fc1", "fc2", "fc3")})
        logits = model(torch.from_numpy(digits.train(200)[0])).detach().double()
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(digits.train(200)[1]))
        assert float(row["train_loss"]) == pytest.approx(float(loss), rel=1e-5)


def test_the_geometry_has_a_row_per_run_and_layer_and_the_losses_of_all_test_samples(made, digits):
    table, _, geometry, losses, _ = made
    assert [(row["run"], row["layer"]) for row in geometry] == [(r["run"], fc) for r in table for fc in ("fc2", "fc3")]
    assert list(geometry[0]) == list(SOLUTION_COLUMNS)
    for row, entry in zip(table, geometry[::2], strict=True):
        assert losses[f"{row['run']}/test_losses"].mean() == pytest.approx(float(row["test_loss"]), rel=1e-5)
        assert float(entry["gap"]) == pytest.approx(float(row["test_loss"]) - float(row["train_loss"]), rel=1e-4)


def test_a_run_that_diverges_is_a_row_without_geometry(digits_file, tmp_path):
    table, _ = train(tmp_path, digits_file, {**SETTING, "algorithm": "ssgd", "learning_rate": 1e30})
    assert [row["stop_reason"] for row in table] == ["diverged", "diverged"]
    assert analyse(tmp_path, digits_file) == ([], {})


def test_learners_without_a_sample_are_refused(digits_file, tmp_path):
    with pytest.raises(InputError, match="a total batch of 50 cannot be shared by 51 learners"):
        train(tmp_path, digits_file, {**SETTING, "learners": 51})
    assert not (tmp_path / "runs.csv").exists()


def test_the_same_setting_gives_the_same_files(digits_file, made, tmp_path):
    train(tmp_path, digits_file, SETTING)
    for name in ("runs.csv", "runs.safetensors"):
        assert (tmp_path / name).read_bytes() == (made[-1] / name).read_bytes()
