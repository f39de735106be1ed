"""The steps of the study of many learners, one after the other as the pipeline calls them."""

import numpy as np
import pytest
import torch

from awduality.duality.solution import SOLUTION_COLUMNS
from awduality.errors import InputError
from awduality.files import read_arrays, read_json
from awduality.files import read_table as rows
from awduality.learners import SETTINGS
from awduality.networks import from_weights
from tests.study_calls import described, shard_step

SETTING = {"algorithm": "dpsgd", "mixing": "ring", "learners": 4, "learning_rate": 0.5, "total_batch": 50}
SETTING |= {"noise": 0.0, "steps": 120}
TRAINING = {"network": {"hidden_layers": 2}, "width": 8, "train_size": 200, "target_loss": 1.0, "root_seed": 1}


def train(folder, split, setting):
    record, shards = folder / "records/train_learners-a.json", {"a": described(setting, (0, 1))}
    shard_step("learners", "train_learners", folder / "runs", shards, TRAINING, split, record=record)
    return rows(folder / "runs/a.csv"), read_arrays(folder / "runs/a.safetensors")


def analyse(folder, split, setting, layers=("fc2",)):
    asked = {"layers": list(layers), "analysed": 200, "directions": 10, "root_seed": 1}
    made = {"record": folder / "records/learner_geometry-a.json", "after": [folder / "records/train_learners-a.json"]}
    shards, before = {"a": described(setting, (0, 1))}, {"train_learners": folder / "runs"}
    out = folder / "geometry"
    shard_step("learners", "learner_geometry", out, shards, asked, split, before, SOLUTION_COLUMNS, **made)
    return rows(out / "a.csv"), read_arrays(out / "a.safetensors")


@pytest.fixture(scope="module")
def made(digits_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learners")
    return *train(folder, digits_file, SETTING), *analyse(folder, digits_file, SETTING, ("fc2", "fc3")), folder


def test_the_table_of_runs_has_their_settings_and_how_they_ended(made):
    table, arrays, *_ = made
    assert [row["seed"] for row in table] == ["0", "1"]
    for row in table:
        assert {name: row[name] for name in SETTING} == {name: str(SETTINGS[name](SETTING[name])) for name in SETTING}
        assert row["ended"] == "converged"
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
    heads = ["run", *SETTINGS, "seed", "ended"]
    assert list(geometry[0]) == [*heads, *(name for name in SOLUTION_COLUMNS if name not in heads)]
    assert [row["ended"] for row in geometry] == ["converged"] * 4
    for row, entry in zip(table, geometry[::2], strict=True):
        assert losses[f"{row['run']}/test_losses"].mean() == pytest.approx(float(row["test_loss"]), rel=1e-5)
        assert float(entry["gap"]) == pytest.approx(float(row["test_loss"]) - float(row["train_loss"]), rel=1e-4)


def test_a_record_has_what_was_asked_and_the_shards_as_parameters_and_the_module_as_command(made):
    *_, folder = made
    record = read_json(folder / "records/learner_geometry-a.json")
    asked = {"layers": ["fc2", "fc3"], "analysed": 200, "directions": 10, "root_seed": 1}
    assert record["parameters"] == {**asked, "shards": {"a": [{"settings": SETTING, "seeds": [0, 1]}]}}
    assert record["script"] == "studies/learners/learner_geometry.py"
    assert record["command"].startswith("python -m studies.learners.learner_geometry --shards ")
    assert {"studies/learners/learner_geometry.py", "src/awduality/duality/solution.py"} <= record["code"].keys()
    assert [entry["path"].rpartition("/")[2] for entry in record["after"]] == ["train_learners-a.json"]


def test_a_run_that_diverges_is_a_row_without_geometry(digits_file, tmp_path):
    setting = {**SETTING, "algorithm": "ssgd", "learning_rate": 1e30}
    table, _ = train(tmp_path, digits_file, setting)
    assert [row["ended"] for row in table] == ["diverged", "diverged"]
    assert analyse(tmp_path, digits_file, setting) == ([], {})


def test_learners_without_a_sample_are_refused(digits_file, tmp_path):
    with pytest.raises(InputError, match="a total batch of 50 cannot be shared by 51 learners"):
        train(tmp_path, digits_file, {**SETTING, "learners": 51})
    assert not list(tmp_path.iterdir())


def test_the_same_setting_gives_the_same_files(digits_file, made, tmp_path):
    train(tmp_path, digits_file, SETTING)
    for name in ("runs/a.csv", "runs/a.safetensors"):
        assert (tmp_path / name).read_bytes() == (made[-1] / name).read_bytes()
