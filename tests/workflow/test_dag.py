"""The DAG of every shipped config, and what Snakemake says to bad input. Nothing is executed here."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from awduality.config import resolve_file
from awduality.files import read_table
from awduality.study.discovery import DEFAULT, size_files, study_names
from awduality.study.jobs import Jobs
from awduality.study.plan import plan
from studies.sweeps.study import sweep_values
from tests.settings import COMMITTED, SHIPPED

SHARED = ["all", "plan", "prepare_data", "claims", "draw", "origin", "provenance", "seal", "total"]
SWEEPS = ["train", "geometry", "nulls", "figure_numbers"]
STUDY = ["train_learners", "learner_geometry", "learner_numbers", "determinants", "surface"]


def jobs(output):
    """Rule -> number of jobs, from Snakemake's table of them."""
    table = output.partition("Job stats:")[2]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


@pytest.mark.parametrize("config", SHIPPED)
def test_every_shipped_config_has_a_complete_dag(tree, snakemake, config):
    output = snakemake(tree, "--dry-run", "--configfile", f"config/{config}.yaml").stdout
    counts = jobs(output)
    steps = STUDY if config.endswith("-learners") else SWEEPS
    assert set(counts) == {*SHARED, *steps}
    assert counts[steps[0]] == counts[steps[1]] > 1


def rule_counts(root, size):
    """Rule → jobs of every study's config of a size; those of the main paper's have no prefix."""
    found = Counter({"all": 1})
    for name, path in size_files(size).items():
        declared = Jobs.of(resolve_file(root, path)[0])
        rules = {job: step.name for step in declared.study.steps for job in declared.jobs_of(step)}
        for job in declared.jobs:
            rule = rules.get(job, "draw" if job.startswith("draw-") else job)
            found[rule if name == DEFAULT else f"{name}_{rule}"] += 1
    return {**found, "total": found.total()}


def test_plain_snakemake_runs_the_quick_size_of_every_study(tree, snakemake, root):
    output = snakemake(tree, "--dry-run", "--printshellcmds").stdout
    assert "--out results/digits/runs " in output
    counts = jobs(output)
    assert counts["train"] == 10
    assert counts == rule_counts(root, "quick")
    for name in study_names():
        assert name == DEFAULT or counts[f"{name}_plan"] == counts[f"{name}_seal"] == 1


def test_the_full_size_of_every_study_is_asked_for_in_a_word(tree, snakemake, root):
    output = snakemake(tree, "--dry-run", "--printshellcmds", "--config", "size=full").stdout
    assert "--out results/mnist/runs " in output
    assert jobs(output) == rule_counts(root, "full")


def test_a_size_that_no_study_has_is_refused(tree, snakemake):
    done = snakemake(tree, "--dry-run", "--config", "size=huge", check=False)
    assert done.returncode != 0
    assert "size: got 'huge', wanted full or quick, as in --config size=full" in done.stdout
    assert "Traceback" not in done.stdout


def test_with_a_config_there_are_the_jobs_of_its_study_alone(tree, snakemake):
    counts = jobs(snakemake(tree, "--dry-run", "--configfile", "config/smoke.yaml").stdout)
    assert not [name for name in counts if name.startswith(tuple(f"{study}_" for study in study_names()))]


def test_the_target_figures_asks_for_every_figure(tree, snakemake):
    output = snakemake(tree, "figures", "--dry-run").stdout
    assert jobs(output)["draw"] == 17


def test_a_job_runs_the_environments_own_python(tree, snakemake):
    (tree / "probe.smk").write_text(
        'include: "workflow/rules/common.smk"\n\nrule where:\n    output: "where.txt"\n'
        "    shell: \"python -c 'import sys, awduality; print(sys.executable, awduality.__file__)' > {output}\"\n"
    )
    environment = {"PATH": os.defpath, "HOME": str(tree)}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "snakemake",
            "-s",
            "probe.smk",
            "--cores",
            "1",
            "--workflow-profile",
            "none",
            "where.txt",
        ],
        cwd=tree,
        env=environment,
        check=True,
        capture_output=True,
    )
    executable, module = (tree / "where.txt").read_text().split()
    assert Path(executable).samefile(sys.executable)
    assert module == str(tree / "src/awduality/__init__.py")


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("name: mine\nseeed: 3", "unknown key 'seeed'; did you mean 'seeds'?"),
        ("name: mine\ndefaults: {learning_rate: -0.1}", "defaults.learning_rate: got -0.1, wanted more than 0"),
        ("name: mine\nsweeps: {momentum: [0.9]}", "sweeps: unknown key 'momentum'"),
        ("name: mine\nsweeps: {train_size: [9000]}", "needs 9000 training samples"),
        ("seeds: 3", "give it a name of its own"),
        (
            "name: mine\nsweeps: {width: [10]}\nlearners: {width: 30}",
            "the config names 2 studies, learners, sweeps: make a config for each",
        ),
        ("name: mine\nlangevine: {experiments: {}}", "unknown key 'langevine'"),
    ],
)
def test_a_config_that_cannot_be_used_is_refused_before_anything_runs(tree, snakemake, overlay, message):
    (tree / "mine.yaml").write_text(overlay)
    done = snakemake(tree, "--dry-run", "--configfile", "mine.yaml", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout


def test_values_on_the_command_line_are_an_overlay_too(tree, snakemake):
    output = snakemake(tree, "--dry-run", "--printshellcmds", "--config", "name=quick", "seeds=1").stdout
    assert "--plan-out results/quick/plan.json" in output


def test_all_shards_may_be_trained_in_one_job_without_another_name(tree, snakemake, root):
    output = snakemake(tree, "--dry-run", "--printshellcmds", "--config", "train_together=True").stdout
    counts = jobs(output)
    assert (counts["train"], counts["geometry"]) == (1, 10)
    (command,) = [shlex.split(line) for line in output.splitlines() if "python -m studies.sweeps.train " in line]
    described = json.loads(command[command.index("--shards") + 1])
    declared = Jobs.of(resolve_file(root, "config/config.yaml")[0])
    assert list(described) == [f"{factor}-0" for factor in ("baseline", *declared.config["sweeps"])]
    assert described == declared.described(declared.shards)


def test_an_overlay_is_laid_over_the_default_without_its_sweeps(tree, snakemake):
    (tree / "mine.yaml").write_text("name: mine\nsweeps: {width: [10, 20]}")
    counts = jobs(snakemake(tree, "--dry-run", "--configfile", "mine.yaml").stdout)
    assert counts["train"] == 2  # the baseline and one sweep
    assert counts["draw"] == 9


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_numbers_are_those_of_the_shipped_config(root, name):
    config, _ = resolve_file(root, f"config/{'config' if name == 'digits' else name}.yaml")
    assert config["name"] == name
    rows = read_table(root / f"figures/{name}/runs.csv")
    assert {row["run"] for row in rows} == {run["id"] for run in plan(config)["runs"]}
    for factor in config.get("sweeps", {}):
        rows = read_table(root / f"figures/{name}/{factor}-gap.csv")
        assert [float(row["value"]) for row in rows] == sweep_values(config, factor)
        assert {int(row["runs"]) for row in rows} == {config["seeds"]}


def test_the_workflow_passes_snakemakes_linter(tree, snakemake):
    assert "your workflow is in a good condition" in snakemake(tree, "--lint").stdout


def test_every_rule_has_a_docstring_a_log_and_a_software_definition(root):
    for path in (root / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert text.startswith('"""'), path
        for block in re.split(r"^ *rule\b", text, flags=re.MULTILINE)[1:]:
            name, body = block.partition(":")[::2]
            assert body.lstrip().startswith('"""'), name
            if "shell:" in body:
                assert "log:" in body, name
                assert "conda:" in body, name
                assert "> {log} 2>&1" in body, name
