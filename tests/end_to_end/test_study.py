"""A study of many learners through the whole pipeline: every algorithm, tables, verdicts, figures and the audit."""

import json
import subprocess
import sys

import pytest
import yaml

from awduality.files import read_table
from awduality.study.discovery import drawing_functions
from tests.conftest import commit, repository, run_snakemake

pytestmark = [pytest.mark.slow]

SHARED = {"learning_rate": [0.5], "total_batch": [50], "steps": 200, "seeds": 3}
CONFIG = {
    "name": "study",
    "seeds_per_shard": 2,
    "data": {"pool": {"start": 0, "count": 400}, "test": {"start": 0, "count": 100}},
    "learners": {
        "width": 8,
        "train_size": 300,
        "target_loss": 1.5,
        "analysed": 200,
        "directions": 5,
        "experiments": {
            "large": {
                "algorithm": ["ssgd", "dpsgd"],
                "mixing": ["random_ring"],
                "learners": [3],
                "noise": [],
                **SHARED,
            },
            "extreme": {"algorithm": ["ssgd", "ssgd_star"], "mixing": ["full"], "learners": [2], "noise": [0.1]}
            | {**SHARED, "learning_rate": [0.5, 1e30]},
        },
    },
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = repository(tmp_path_factory.mktemp("study") / "tree")
    (tree / "config/study.yaml").write_text(yaml.safe_dump(CONFIG))
    commit(tree, "A study")
    run_snakemake(tree, "--configfile", "config/study.yaml")
    return tree


def audited(tree):
    command = [sys.executable, "scripts/audit.py", "study", "--json"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_every_run_is_a_row_with_the_experiments_that_asked_for_it(tree):
    rows = read_table(tree / "figures/study/runs.csv")
    assert len({row["run"] for row in rows}) == len(rows) == 5 * 3
    shared = [row for row in rows if row["algorithm"] == "ssgd" and float(row["learning_rate"]) == 0.5]
    assert all(set(row["experiments"].split()) == {"large", "extreme"} for row in shared)
    diverged = [row for row in rows if float(row["learning_rate"]) == 1e30]
    assert {(row["ended"], row["gap"]) for row in diverged} == {("diverged", "")}


def test_every_figure_and_verdict_is_there(tree):
    for figure in drawing_functions("learners"):
        assert (tree / f"figures/study/{figure}.png").stat().st_size > 5_000
    verdicts = {row["id"]: row["verdict"] for row in json.loads((tree / "figures/study/claims.json").read_text())}
    assert verdicts["large/trace"] != "not tested"
    assert verdicts["small/trace"] == verdicts["mild/test-error"] == "not tested"


def test_a_second_run_has_nothing_to_do(tree):
    assert "Nothing to be done" in run_snakemake(tree, "--configfile", "config/study.yaml").stdout


def test_the_run_passes_its_audit_and_an_edited_number_does_not(tree):
    audit = audited(tree)
    assert audit.returncode == 0, audit.stdout
    path = tree / "results/study/runs/dpsgd-random_ring-n3-a0.5-b50-t200-0.csv"
    before = path.read_text()
    path.write_text(before.replace("converged", "budget", 1))
    found = audited(tree)
    path.write_text(before)
    assert found.returncode == 1
    assert path.name in found.stdout


def test_a_seed_that_is_dropped_everywhere_is_missed_by_the_audit_of_the_plan(tree):
    path = tree / "results/study/runs/ssgd-full-n1-a0.5-b50-t200-1.csv"
    before = path.read_text()
    path.write_text(before.splitlines(keepends=True)[0])
    found = audited(tree)
    path.write_text(before)
    assert "a row for every run that the config declares" in found.stdout


def test_a_figure_is_traced_back_to_training_and_data(tree):
    command = [sys.executable, "scripts/audit.py", "trace", "plane", "--config", "study"]
    traced = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False).stdout
    for words in (
        "drawn by draw-plane",
        "learner_numbers by learner_numbers",
        "learner_geometry by learner_geometry-",
        "train_learners by",
        "seeds 0",
    ):
        assert words in traced
