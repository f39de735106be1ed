"""The numbers of a study of many learners, against what a hand would make of a small set of results."""

import itertools

import numpy as np
import pandas as pd
import pytest

from awduality.errors import InputError
from awduality.files import read_table, write_arrays, write_json, write_table
from awduality.study.plan import plan
from studies.learners.matched import matched_pairs
from studies.learners.numbers import GEOMETRY, OUTCOME, course_rows, read_study, run_rows, sample_rows
from tests.study_calls import study_step

SAMPLES = 4
COMMON = {"noise": [0.02, 0.1], "steps": 30}
EXPERIMENTS = {
    "large": COMMON
    | {"algorithm": ["ssgd", "dpsgd"], "mixing": ["full"], "learners": [2, 4], "seeds": 3}
    | {"learning_rate": [0.5, 1.0], "total_batch": [40]},
    "extreme": COMMON
    | {"algorithm": ["ssgd", "ssgd_star", "dpsgd"], "mixing": ["ring"], "learners": [4], "seeds": 2}
    | {"learning_rate": [1.0], "total_batch": [40]},
    "small": COMMON
    | {"algorithm": ["dpsgd"], "mixing": ["full"], "learners": [2], "seeds": 1}
    | {"learning_rate": [0.1], "total_batch": [8]},
}
CONFIG = {
    "name": "study",
    "seeds_per_shard": 2,
    "data": {"source": "digits"},
    "learners": {"experiments": EXPERIMENTS},
}


def ended(entry):
    """Some runs of every kind fail, in their own way: SSGD at the larger rate diverges for seed 1."""
    if entry["settings"]["algorithm"] == "ssgd" and entry["settings"]["learning_rate"] == 1 and entry["seed"] == 1:
        return "diverged"
    return "budget" if entry["settings"]["learners"] == 4 and entry["seed"] == 2 else "converged"


def make(folder):
    """A folder of results, every number another."""
    planned = plan(CONFIG)
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "plan.json", planned)
    shards = itertools.groupby(planned["runs"], key=lambda entry: entry["shard"])
    count = itertools.count(1)
    for shard, entries in shards:
        runs, geometry, training, analysed = [], [], {}, {}
        for entry in entries:
            place, stop = next(count), ended(entry)
            row = {"run": entry["id"], **entry["settings"], "seed": entry["seed"], "ended": stop}
            numbers = {name: np.nan if stop == "diverged" else place + 0.1 for name in OUTCOME if name != "step"}
            runs.append(row | {"step": 20} | numbers)
            training[f"{entry['id']}/weights/fc1"] = np.ones((2, 2), np.float32)
            for shift, name in enumerate(("step", "train_loss", "spread", "effective_rate")):
                training[f"{entry['id']}/course/{name}"] = np.array([1.0, 30.0]) * (1 if shift == 0 else place + shift)
            if stop != "diverged":
                rows = [row | {"layer": layer} for layer in ("fc1", "fc2")]
                geometry += [
                    of_layer | {name: 100 * layer + place for name in GEOMETRY if name != "quadratic"} | {"rank": 3}
                    for layer, of_layer in enumerate(rows)
                ]
                analysed[f"{entry['id']}/test_losses"] = np.arange(SAMPLES) * place**2.0
        write_table(folder / f"runs/{shard}.csv", runs)
        write_table(folder / f"geometry/{shard}.csv", geometry, list(geometry[0]) if geometry else ["run", "layer"])
        write_arrays(folder / f"runs/{shard}.safetensors", training)
        write_arrays(folder / f"geometry/{shard}.safetensors", analysed)
    return planned["runs"]


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def results(folder):
    return read_study(folder, "fc2")


def test_every_run_is_a_row_of_every_layer_and_the_layer_shown_comes_first(results):
    rows, count = run_rows(results), len(results.runs)
    assert [row["layer"] for row in rows] == ["fc2"] * count + ["fc1"] * count
    assert [row["run"] for row in rows[:count]] == [row["run"] for row in rows[count:]] == list(results.runs.index)
    assert all(
        first["gap"] == second["gap"] + 100
        for first, second in zip(rows[:count], rows[count:], strict=True)
        if first["gap"]
    )


def test_a_diverged_run_has_a_row_without_geometry(results):
    lost = [row for row in run_rows(results) if row["ended"] == "diverged"]
    assert {row["algorithm"] for row in lost} == {"ssgd"}
    assert all(row["gap"] is None and row["step"] == 20 for row in lost)


def test_a_run_names_all_experiments_that_ask_for_it(results):
    asked = {row["run"]: row["experiments"] for row in run_rows(results)}
    shared = results.runs[
        (results.runs["algorithm"] == "ssgd") & (results.runs["learning_rate"] == 1) & (results.runs["seed"] < 2)
    ]
    assert {asked[run] for run in shared.index} == {"large extreme"}


def test_settings_keep_their_kinds_and_ids_of_digits_alone_stay_text(folder):
    row = run_rows(read_study(folder, "fc2"))[0]
    assert (row["learners"], row["learning_rate"], row["config"], row["pairing"]) == (1, 0.5, "study", "test_to_train")
    assert isinstance(row["learners"], int)
    plan_text, digits = (folder / "plan.json").read_text(), "000000000012"
    run = row["run"]
    (folder / "plan.json").write_text(plan_text.replace(run, digits))
    for path in [*folder.glob("*/*.csv")]:
        path.write_text(path.read_text().replace(run, digits))
    for path in [*folder.glob("*/*.safetensors")]:
        path.write_bytes(path.read_bytes().replace(run.encode(), digits.encode()))
    assert run_rows(read_study(folder, "fc2"))[0]["run"] == digits


def test_samples_are_means_over_matched_pairs_as_a_plain_loop_finds_them(results):
    rows = sample_rows(results)
    assert len(rows) == SAMPLES
    for name in ("large", "extreme"):
        differences = []
        runs = [(run, entry) for run, entry in results.runs.iterrows() if name in entry["experiments"].split()]
        for (one, a), (other, b) in itertools.product(runs, runs):
            same = all(a[key] == b[key] for key in ("learning_rate", "total_batch", "seed"))
            both = a["ended"] == b["ended"] == "converged"
            if (a["algorithm"], b["algorithm"]) == ("dpsgd", "ssgd") and same and both:
                differences.append(results.arrays[f"{one}/test_losses"] - results.arrays[f"{other}/test_losses"])
        assert len(differences) == {"large": 8, "extreme": 1}[name]
        assert [row[name] for row in rows] == pytest.approx(np.mean(differences, axis=0), rel=1e-6)


def test_an_experiment_without_a_pair_has_no_samples(results):
    assert "small" not in sample_rows(results)[0]
    results.runs.loc[results.runs["algorithm"] == "ssgd", "ended"] = "budget"
    assert sample_rows(results) == []


def test_a_pair_agrees_in_rate_batch_steps_and_seed():
    base = {"learning_rate": 1.0, "total_batch": 8, "steps": 5, "seed": 0, "ended": "converged"}
    runs = [base | {"run": "s", "algorithm": "ssgd"}]
    runs += [base | {"run": f"not {name}", "algorithm": "dpsgd", name: 7} for name in list(base)[:4]]
    runs += [base | {"run": "failed", "algorithm": "dpsgd", "ended": "budget"}]
    runs += [base | {"run": "other", "algorithm": "ssgd_star"}, base | {"run": "d", "algorithm": "dpsgd"}]
    pairs = matched_pairs(pd.DataFrame(runs))
    assert list(zip(pairs["run"], pairs["run_ssgd"], strict=True)) == [("d", "s")]


def test_the_course_of_every_run_is_told_step_by_step(results):
    rows = course_rows(results)
    assert len(rows) == 2 * len(results.runs)
    assert rows[1] == {"run": results.runs.index[0], "step": 30, "train_loss": 60, "spread": 90, "effective_rate": 120}


def test_a_layer_that_was_not_analysed_is_refused(folder):
    with pytest.raises(InputError, match="'fc9': there is fc1, fc2"):
        read_study(folder, "fc9")


def test_the_script_writes_the_same_bytes_twice_and_headers_where_there_is_nothing(folder, tmp_path):
    def write(name):
        out = tmp_path / name
        before = {"train_learners": folder / "runs", "learner_geometry": folder / "geometry"}
        study_step("learners", "learner_numbers", out, folder, {"layers": ["fc2"], "root_seed": 1}, before)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    assert write("a") == write("b")
    assert list(read_table(tmp_path / "a/samples.csv")[0]) == ["sample", *EXPERIMENTS]
    for path in folder.glob("*/*.csv"):
        path.write_text(path.read_text().replace("converged", "diverged").replace("budget", "diverged"))
    for path in folder.glob("geometry/*"):
        write_table(path, [], ["run", "layer"]) if path.suffix == ".csv" else write_arrays(path, {})
    empty = write("c")
    assert empty["samples.csv"].decode() == "sample,large,extreme,small\n"
    assert empty["runs.csv"].splitlines()[0] == (tmp_path / "a/runs.csv").read_bytes().splitlines()[0]
    assert {row["gap"] for row in read_table(tmp_path / "c/runs.csv")} == {""}
