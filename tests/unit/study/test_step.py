"""Steps by hand: a row per run, arrays beside it, a record; and tables from all shards."""

import json

import numpy as np
import pandas as pd
import pytest

from awduality.errors import InputError
from awduality.files import read_arrays, read_table, write_json
from awduality.runs import Run
from awduality.streams import stream_key
from awduality.study import step, tables
from awduality.study.step import Outcome

SHARDS = {"0.1-a-0": [{"settings": {"rate": 0.1, "kind": "a"}, "seeds": [0, 1]}]}
RUNS = [Run({"rate": 0.1, "kind": "a"}, seed) for seed in (0, 1)]


def draw(job):
    """The mean of some random numbers."""
    for run in job.runs:
        if run.seed == 1 and job.asked.get("diverge"):
            yield Outcome(run, "diverged")
        else:
            found = job.stream("noise", run).standard_normal(4)
            yield Outcome(run, numbers={"mean": found.mean()}, arrays={"drawn/all": found})


def perform(folder, shards=SHARDS, work=draw, columns=(), **asked):
    words = ["--shards", json.dumps(shards), "--asked", json.dumps({"root_seed": 1, **asked}), "--out", str(folder)]
    step.perform(work, columns, "odd", "experiment", words)
    return [{name: (folder / f"{name}.csv") for name in shards}, folder]


def test_a_shard_is_a_table_and_a_file_of_arrays_even_if_its_name_holds_dots(tmp_path):
    perform(tmp_path)
    rows = read_table(tmp_path / "0.1-a-0.csv")
    assert list(rows[0]) == ["run", "rate", "kind", "seed", "ended", "mean"]
    assert [(row["run"], row["seed"], row["ended"]) for row in rows] == [(r.id, str(r.seed), "converged") for r in RUNS]
    arrays = read_arrays(tmp_path / "0.1-a-0.safetensors")
    assert float(rows[0]["mean"]) == arrays[f"{RUNS[0].id}/drawn/all"].mean()
    assert list(step.arrays_of(arrays, RUNS[1], "drawn")) == ["all"]


def test_a_stream_is_the_studys_own_and_depends_on_the_seed_alone(tmp_path):
    perform(tmp_path)
    drawn = read_arrays(tmp_path / "0.1-a-0.safetensors")
    for run in RUNS:
        generator = np.random.Generator(np.random.Philox(key=stream_key(1, "odd/noise", run.seed)))
        assert np.array_equal(drawn[f"{run.id}/drawn/all"], generator.standard_normal(4))


def test_a_run_that_diverges_is_a_row_without_numbers(tmp_path):
    perform(tmp_path, diverge=True)
    ended = {row["seed"]: (row["ended"], row["mean"]) for row in read_table(tmp_path / "0.1-a-0.csv")}
    assert ended["1"] == ("diverged", "")
    assert ended["0"][0] == "converged"


def test_a_step_with_no_row_at_all_writes_the_columns_that_it_names(tmp_path):
    perform(tmp_path, work=lambda job: iter(()), columns=["mean"])
    assert (tmp_path / "0.1-a-0.csv").read_text() == "run,rate,kind,seed,ended,mean\n"


def test_several_shards_at_once_give_the_files_of_each_alone(tmp_path):
    other = {"0.2-a-0": [{"settings": {"rate": 0.2, "kind": "a"}, "seeds": [0]}]}
    perform(tmp_path / "both", {**SHARDS, **other})
    for name, shards in (("0.1-a-0", SHARDS), ("0.2-a-0", other)):
        perform(tmp_path / "alone", shards)
        for suffix in ("csv", "safetensors"):
            one, both = (tmp_path / place / f"{name}.{suffix}" for place in ("alone", "both"))
            assert one.read_bytes() == both.read_bytes()


def results(folder):
    perform(folder / "results/test/experiment")
    entries = [
        {"id": r.id, "settings": r.settings, "seed": r.seed, "shard": "0.1-a-0", "experiments": ["main"]} for r in RUNS
    ]
    write_json(folder / "results/test/plan.json", {"runs": entries})
    write_json(folder / "results/test/config.json", {"name": "test"})
    return folder / "results/test"


def test_the_usual_table_has_a_row_per_run_in_the_order_of_the_plan(tmp_path):
    folder = results(tmp_path)
    words = ["--results", str(folder), "--asked", '{"root_seed": 1}', "--before", f"experiment={folder}/experiment"]
    tables.perform(lambda found: {"runs": tables.run_rows(found)}, "odd", "tables", [*words, "--out", str(tmp_path)])
    table = pd.read_csv(tmp_path / "runs.csv")
    assert list(table) == ["config", "run", "experiments", "kind", "rate", "seed", "ended", "mean"]
    assert table["run"].tolist() == [run.id for run in RUNS]
    again = tables.Results(folder, {}, {"experiment": folder / "experiment"})
    assert [float(mean) for mean in again.frame("experiment")["mean"]] == table["mean"].tolist()
    one = again.runs[1]
    assert again.array("experiment", one, "drawn/all").mean() == table["mean"][1]


def test_tables_may_be_made_of_tables(tmp_path):
    (tmp_path / "runs.csv").write_text("run,x\na,1\nb,3\n")

    def work(found, asked):
        return {"sums": ([{"sum": found["runs"]["x"].sum() * asked["times"]}], ["sum"])}

    words = ["--tables", str(tmp_path / "runs.csv"), "--asked", '{"times": 2}', "--out", str(tmp_path)]
    tables.derive(work, "odd", "sums", words)
    assert (tmp_path / "sums.csv").read_text() == "sum\n8\n"


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises((InputError, FileNotFoundError), match=r"0.1-a-0.csv"):
        step.Job("odd", RUNS, {}, before={"experiment": [tmp_path / "0.1-a-0"]}).rows("experiment")
