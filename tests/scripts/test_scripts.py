"""Every script's ``main()``, one after the other as the pipeline calls them, and what each says to bad input."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from awduality.duality import controls, summary
from awduality.duality.temperature import TEMPERED_COLUMNS
from awduality.errors import InputError
from awduality.files import read_arrays, read_json
from awduality.files import read_table as rows
from awduality.study.discovery import figures
from awduality.study.jobs import Jobs
from studies.sweeps.study import settings_from
from tests.conftest import ROOT
from tests.settings import AUTHORS
from tests.study_calls import call, described, shard_step, study_step


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As jobs of the pipeline run: several threads split the sums over a stack otherwise than those over a part."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


DEFAULTS = {**AUTHORS, "batch_size": 20, "train_size": 100, "width": 6}
NETWORK = {"hidden_layers": 2}
TRAINING = {
    "target_loss": 0.5,
    "target_accuracy": 0.5,
    "max_steps": 4000,
    "weight_decay_epochs": 200,
}
CONFIG = {
    "name": "test",
    "seeds": 2,
    "seeds_per_shard": 2,
    "defaults": DEFAULTS,
    "sweeps": {"learning_rate": [0.05, 100.0, 1e30]},
    "data": {"source": "digits"},
}
BASELINE, SWEEP = "baseline-0", "learning_rate-0"
RATES = {BASELINE: [0.1], SWEEP: [0.05, 100.0, 1e30]}
ANALYSIS = {"layers": ["fc2"], "sharp_directions": 10, "shuffles": 3, "pairings": ["test_to_train"], "root_seed": 1}
FIGURES = figures("sweeps", {**CONFIG, "layers": ["fc2", "fc3"]})


def plan(folder):
    paths = ("--config-out", folder / "config.json", "--plan-out", folder / "plan.json")
    call("plan", "--config", json.dumps(CONFIG), *paths)


def prepare(folder, source="digits", pool=400, options=()):
    call(
        "prepare_data",
        *("--source", source, *options, "--permutation-seed", 1),
        *("--pool", json.dumps({"start": 0, "count": pool}), "--test", '{"start": 0, "count": 100}'),
        *(
            "--smallest-train-size",
            100,
            "--split-out",
            folder / "data/digits.safetensors",
            "--card-out",
            folder / "data/digits.json",
        ),
    )


def shard(name, seeds=(0, 1)):
    """A shard that trains some learning rates."""
    return described([settings_from({**DEFAULTS, "learning_rate": rate}) for rate in RATES[name]], seeds)


def train(folder, *names, out=None):
    asked = {"network": NETWORK, "training": TRAINING, "root_seed": 1}
    shards = {name: shard(name) for name in names}
    shard_step("sweeps", "train", out or folder / "runs", shards, asked, folder / "data/digits.safetensors")


def geometry(folder, name):
    split, before = folder / "data/digits.safetensors", {"train": folder / "runs"}
    columns = [*summary.COLUMNS, *summary.NULL_COLUMNS, *TEMPERED_COLUMNS]
    shard_step("sweeps", "geometry", folder / "geometry", {name: shard(name)}, ANALYSIS, split, before, columns)


def nulls(folder):
    split, before = folder / "data/digits.safetensors", {"train": folder / "runs"}
    shards, asked = {BASELINE: shard(BASELINE)}, {**ANALYSIS, "rescalings": 2}
    shard_step("sweeps", "nulls", folder / "nulls", shards, asked, split, before, controls.COLUMNS)


def claims(figures, target):
    call(
        "claims",
        *("--claims", ROOT / "config/claims.yaml", "--schema", ROOT / "workflow/schemas/claims.schema.yaml"),
        *("--study", "sweeps", "--tables", *(figures / f"{name}.csv" for name in ("runs", "null-runs", "samples"))),
        *("--root-seed", 1, "--claims-out", target),
    )
    return target.read_bytes()


def numbers(folder, layer, figures):
    asked, names = {"layers": [layer], "pairings": ["test_to_train"], "root_seed": 1}, ("geometry", "nulls")
    before = {"train": folder / "runs", **{name: folder / name for name in names}}
    study_step("sweeps", "figure_numbers", figures, folder, asked, before)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of a small config in which one learning rate silences the network and one diverges."""
    folder = tmp_path_factory.mktemp("run") / "results"
    call(
        "plan",
        "--config",
        json.dumps(CONFIG),
        "--config-out",
        folder / "config.json",
        "--plan-out",
        folder / "plan.json",
    )
    prepare(folder)
    for name in (BASELINE, SWEEP):
        train(folder, name)
        geometry(folder, name)
    nulls(folder)
    numbers(folder, "fc2", folder.parent / "figures")
    claims(folder.parent / "figures", folder.parent / "figures/claims.json")
    return folder


def test_the_plan_names_the_runs_that_the_tables_hold(results):
    planned = {run["id"] for run in read_json(results / "plan.json")["runs"]}
    found = {row["run"] for shard in (BASELINE, SWEEP) for row in rows(results / f"runs/{shard}.csv")}
    assert planned == found
    assert read_json(results / "config.json") == CONFIG


def test_several_shards_in_one_job_give_the_same_files_as_one_job_each(results, tmp_path):
    train(results, BASELINE, SWEEP, out=tmp_path)
    for name, suffix in itertools.product((BASELINE, SWEEP), ("csv", "safetensors")):
        path = tmp_path / f"{name}.{suffix}"
        assert path.read_bytes() == (results / "runs" / path.name).read_bytes(), path


def test_every_shard_has_its_two_files_named_after_it_and_there_are_no_others(results, tmp_path):
    train(results, BASELINE, SWEEP, out=tmp_path)
    wanted = {f"{name}.{suffix}" for name in (BASELINE, SWEEP) for suffix in ("csv", "safetensors")}
    assert {path.name for path in tmp_path.iterdir()} == wanted


def test_every_table_of_a_step_has_run_settings_seed_and_end_before_its_numbers(results):
    for step, names in {"runs": (BASELINE, SWEEP), "geometry": (BASELINE, SWEEP), "nulls": (BASELINE,)}.items():
        for name in names:
            table = rows(results / f"{step}/{name}.csv")
            assert list(table[0])[: len(DEFAULTS) + 3] == ["run", *settings_from(DEFAULTS), "seed", "ended"]


def test_a_diverged_run_is_a_row_without_geometry(results):
    reasons = {row["run"]: row["ended"] for row in rows(results / f"runs/{SWEEP}.csv")}
    assert sorted(reasons.values()) == ["budget", "budget", "converged", "converged", "diverged", "diverged"]
    analysed = {row["run"] for row in rows(results / f"geometry/{SWEEP}.csv")}
    assert analysed == {run for run, reason in reasons.items() if reason != "diverged"}


def test_the_table_of_runs_agrees_with_the_history(results):
    arrays = read_arrays(results / f"runs/{BASELINE}.safetensors")
    for row in rows(results / f"runs/{BASELINE}.csv"):
        history = arrays[f"{row['run']}/history/train_loss"]
        assert len(history) == int(row["epochs"])
        assert history[-1] == float(row["train_loss"])
        assert arrays[f"{row['run']}/weights/fc2"].shape == (6, 6)


def test_the_gap_in_the_geometry_is_that_of_training(results):
    runs = {row["run"]: row for row in rows(results / f"runs/{BASELINE}.csv")}
    for row in rows(results / f"geometry/{BASELINE}.csv"):
        gap = float(runs[row["run"]]["test_loss"]) - float(runs[row["run"]]["train_loss"])
        assert float(row["gap"]) == pytest.approx(gap, rel=1e-5)


def test_the_numbers_of_a_figure_mark_what_diverged_or_died(results):
    table = pd.read_csv(results.parent / "figures/learning_rate-gap.csv")
    assert table["value"].tolist() == [0.05, 0.1, 100.0, 1e30]
    assert table["diverged"].tolist() == [0, 0, 0, 2]
    assert table["dead"].tolist() == [0, 0, 2, 0]
    assert table["shown"].fillna("").tolist() == ["converged", "converged", "", ""]
    assert table["gap_mean"].isna().tolist() == [False, False, True, True]


def test_means_in_the_figures_are_those_of_the_tables(results):
    table = pd.read_csv(results.parent / "figures/learning_rate-gap.csv").set_index("value")
    gaps = [float(row["gap"]) for row in rows(results / f"geometry/{BASELINE}.csv")]
    assert table.loc[0.1, "gap_mean"] == pytest.approx(np.mean(gaps))


def draw(results, figure, target):
    drawn = FIGURES[figure]
    paths = [results.parent / "figures" / table for table in drawn.tables]
    words = ("--words", *drawn.words) if drawn.words else ()
    options = ("--study", "sweeps", "--function", drawn.function, *words)
    call("draw", figure, *options, "--numbers", *paths, "--svg-out", target / "f.svg", "--png-out", target / "f.png")
    return (target / "f.svg").read_bytes(), (target / "f.png").read_bytes()


def test_there_is_a_figure_of_the_sweep_and_one_of_every_kind_over_all_runs():
    overview = {"codeterminants", "duality", "estimate", "layers", "nulls", "predictors", "size", "summary", "verdicts"}
    assert {name: drawn.function for name, drawn in FIGURES.items()} == {
        "learning_rate": "factor",
        **{name: name for name in overview},
    }


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_drawn_in_both_formats_and_to_the_same_bytes_again(results, figure, tmp_path):
    svg, png = draw(results, figure, tmp_path / "one")
    assert svg.startswith(b"<?xml")
    assert png.startswith(b"\x89PNG")
    assert (svg, png) == draw(results, figure, tmp_path / "two")


def test_judging_the_claims_again_gives_the_same_bytes(results, tmp_path):
    committed = (results.parent / "figures/claims.json").read_bytes()
    assert claims(results.parent / "figures", tmp_path / "claims.json") == committed


def test_claims_without_runs_in_the_config_are_not_tested_and_identities_hold(results):
    found = {row["id"]: row for row in read_json(results.parent / "figures/claims.json")}
    untested = ("multi-learner", "dropout/gap", "pair-direction", "factors")  # one pairing, one sweep
    assert {found[name]["verdict"] for name in untested} == {"not tested"}
    assert all(found[name]["reason"] for name in untested)
    assert {row["verdict"] for row in found.values() if row["identity"]} == {"supported"}
    assert found["learning_rate/gap"]["excluded"] == 4  # two that died and two that diverged


def test_the_figure_of_a_sweep_marks_values_that_diverged(results, tmp_path):
    svg, _ = draw(results, "learning_rate", tmp_path)
    assert b"all dead or diverged" in svg
    assert b"0/2" in svg


def test_overview_figures_say_so_when_no_run_has_a_geometry(results, tmp_path):
    header = (results.parent / "figures/runs.csv").read_text().splitlines()[0]
    (tmp_path / "runs.csv").write_text(header + "\n")
    call(
        "draw",
        "size",
        "--numbers",
        tmp_path / "runs.csv",
        "--svg-out",
        tmp_path / "f.svg",
        "--png-out",
        tmp_path / "f.png",
    )
    assert "no run has a geometry" in (tmp_path / "f.svg").read_text()


def test_a_class_without_partners_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match="cannot be paired: raise data.test.count or the smallest train_size"):
        call(
            "prepare_data",
            *("--source", "digits", "--permutation-seed", 1, "--smallest-train-size", 100),
            *("--pool", '{"start": 0, "count": 400}', "--test", '{"start": 0, "count": 5}'),
            *("--split-out", tmp_path / "s.safetensors", "--card-out", tmp_path / "c.json"),
        )


def test_more_samples_than_the_dataset_has_are_refused(tmp_path):
    with pytest.raises(InputError, match="this dataset has 1297"):
        prepare(tmp_path, pool=2000)


@pytest.mark.mnist
def test_mnist_is_read_from_the_data_root(tmp_path, mnist_root, monkeypatch):
    monkeypatch.setenv("AWDUALITY_DATA", str(mnist_root))
    prepare(tmp_path, source="mnist")
    assert read_arrays(tmp_path / "data/digits.safetensors")["pool_pixels"].shape == (400, 784)


@pytest.fixture
def own_images(tmp_path, rng, monkeypatch):
    """A data root with a folder of 600 grey images, 3×3 pixels, in two classes."""
    monkeypatch.setenv("AWDUALITY_DATA", str(tmp_path / "root"))
    for part, kind in itertools.product(("train", "test"), ("cat", "dog")):
        folder = tmp_path / "root/my images" / part / kind
        folder.mkdir(parents=True)
        for number in range(250 if part == "train" else 50):
            Image.fromarray(rng.integers(0, 256, (3, 3), dtype=np.uint8)).save(folder / f"{number:03}.png")


@pytest.mark.usefixtures("own_images")
def test_ones_own_images_are_prepared_and_recorded_as_the_config_asks_for_them(tmp_path):
    record = tmp_path / "results/records/prepare_data.json"
    prepare(tmp_path, "image_folder", options=("--folder", "my images", "--record", record))
    arrays, card = (read_arrays(tmp_path / "data/digits.safetensors"), read_json(tmp_path / "data/digits.json"))
    assert arrays["pool_pixels"].shape == (400, 9)
    assert (card["title"], card["image_shape"]) == ("my images", [1, 3, 3])
    written = read_json(record)
    assert [entry["path"] for entry in written["inputs"]] == ["image_folder (listing)"]
    data = {"source": "image_folder", "folder": "my images", "permutation_seed": 1}
    parts = {"pool": {"start": 0, "count": 400}, "test": {"start": 0, "count": 100}}
    config = {**yaml.safe_load((ROOT / "config/config.yaml").read_text()), "data": {**data, **parts}}
    config["defaults"] = {**config["defaults"], "train_size": 100}
    config["sweeps"] = {"width": [30]}
    given = {name: value for name, value in written["parameters"].items() if value is not None}
    assert given == Jobs.of(config).jobs["prepare_data"].parameters


def test_without_images_of_ones_own_the_recorded_folder_is_that_of_the_default_config(tmp_path):
    record = tmp_path / "results/records/prepare_data.json"
    prepare(tmp_path, options=("--record", record))
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert read_json(record)["parameters"]["folder"] is default["data"].get("folder") is None


def test_cifar10_that_is_not_the_official_one_ends_in_a_message(tmp_path, monkeypatch):
    monkeypatch.setenv("AWDUALITY_DATA", str(tmp_path))
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name in names:
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(b"something else")
    with pytest.raises(InputError, match="data_batch_1 is not the official CIFAR-10 file, and was not opened"):
        prepare(tmp_path / "results", "cifar10")
    assert not (tmp_path / "results").exists()


def test_a_layer_without_geometry_is_refused_with_those_that_have_one(results, tmp_path):
    with pytest.raises(InputError, match=r"no geometry for layer 'fc1' .* \['fc2'\]"):
        numbers(results, "fc1", tmp_path)


def in_a_process(root, *arguments, folder=None):
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=folder or root, env=environment, capture_output=True, text=True, check=False)


def test_bad_input_ends_a_script_with_a_message_and_no_traceback(root, tmp_path):
    done = in_a_process(
        root,
        *("scripts/prepare_data.py", "--source", "imagenet", "--permutation-seed", "1", "--pool", "{}", "--test", "{}"),
        *("--smallest-train-size", "10"),
        *("--split-out", tmp_path / "s", "--card-out", tmp_path / "c"),
    )
    assert done.returncode == 2
    assert "error: unknown data source 'imagenet'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_logs_the_command_that_repeats_it(root, tmp_path):
    paths = ("--config-out", tmp_path / "c", "--plan-out", tmp_path / "p")
    done = in_a_process(root, "scripts/plan.py", "--config", json.dumps(CONFIG), *paths)
    assert done.returncode == 0, done.stderr
    assert f"python scripts/plan.py --config '{json.dumps(CONFIG)}' --config-out {tmp_path}/c" in done.stderr


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no user ids on this platform")
def test_a_read_only_folder_is_an_error_that_names_it(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir(mode=0o555)
    privileged = os.geteuid() == 0
    if privileged:  # root may write anywhere: step down for the call
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="cannot write .*results.*: Permission denied"):
            plan(folder)
    finally:
        if privileged:
            os.seteuid(0)
