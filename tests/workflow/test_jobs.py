"""The jobs of shipped configs: those of the time before studies had a frame, and those that the rules make."""

import json
import re

import pytest

from awduality.config import resolve_file
from awduality.study.discovery import study_of
from awduality.study.jobs import CLAIMS_SCHEMA, Jobs
from tests.conftest import ROOT
from tests.settings import SHIPPED

GOLDEN = json.loads((ROOT / "tests/workflow/golden_jobs.json").read_text())
"""Config → job → the files that it reads and writes, but for code, schema and its own record, from a dry run of all
jobs in the last version that had rules of its own for every kind of config; R/ are its results, F/ its figures."""

SINCE = {
    "learners": {"determinants": [["F/runs.csv"], ["F/determinants.csv"]]},
    "sweeps": {
        "draw-summary": [["F/claims.json", "F/null-curves.csv", "F/runs.csv"], ["F/summary.png", "F/summary.svg"]],
    },
}
"""Study → jobs that it has had since: the common table of determinants, the figure of the test."""

NEW = {name for jobs in SINCE.values() for name in jobs}


def described(config):
    """Job → inputs with records, outputs, as the golden file has them, from the frame."""
    jobs = Jobs.of(config)
    found = {}
    for name, job in jobs.jobs.items():
        inputs = [path for path in job.inputs if path != CLAIMS_SCHEMA] + jobs.records(name)
        found[name] = [sorted(shortened(path, jobs) for path in paths) for paths in (inputs, job.outputs)]
    return found


def shortened(path, jobs):
    return path.replace(f"{jobs.results}/", "R/").replace(f"{jobs.figures}/", "F/")


def as_before(jobs):
    """Jobs without what has come since, and without the config among the inputs of figure numbers."""
    found = {name: [list(inputs), outputs] for name, (inputs, outputs) in jobs.items() if name not in NEW}
    for name in {"figure_numbers"} & found.keys():
        found[name][0].remove("R/config.json")
    for name in NEW & jobs.keys():
        for closing in ("provenance", "seal"):
            found[closing][0].remove(f"R/records/{name}.json")
    return found


def test_every_config_of_that_time_is_still_there():
    assert set(GOLDEN) <= set(SHIPPED)


@pytest.mark.parametrize("name", GOLDEN)
def test_jobs_their_inputs_and_their_outputs_are_those_of_the_time_before_the_frame(name):
    config, _ = resolve_file(ROOT, f"config/{name}.yaml")
    found = described(config)
    assert as_before(found) == GOLDEN[name]
    assert {job: files for job, files in found.items() if job in NEW} == SINCE[study_of(config)]


def test_a_step_is_told_of_an_option_where_the_config_has_it_and_else_not():
    plain, squared = ({**resolve_file(ROOT, "config/smoke.yaml")[0]} for _ in range(2))
    squared["training"] = {**squared["training"], "loss": "mse"}
    for config, wanted in ((plain, {}), (squared, {"loss": "mse"})):
        jobs = Jobs.of(config)
        told_of = jobs.asked(jobs.step("geometry"))
        assert {key: value for key, value in told_of.items() if key == "loss"} == wanted
        assert {"layers", "shuffles", "pairings", "root_seed"} <= told_of.keys()


def told(output):
    """Record → inputs and outputs of its job, as Snakemake's own words of a dry run tell them."""
    found = {}
    for block in re.findall(r"^(?:local)?rule \w+:\n((?:    .+\n)+)", output, re.MULTILINE):
        parts = dict(re.findall(r"^    (input|output): (.+)$", block, re.MULTILINE))
        inputs, outputs = (parts.get(name, "").split(", ") for name in ("input", "output"))
        records = [path for path in outputs if "/records/" in path]
        found |= {record: [[path for path in inputs if path], outputs] for record in records}
    return found


@pytest.mark.parametrize("name", ["smoke", "digits-learners"])
def test_the_rules_make_the_jobs_that_the_frame_declares(tree, snakemake, name):
    """Against what Snakemake says of every job: all files that it is made from, and all that it makes."""
    jobs = Jobs.of(resolve_file(ROOT, f"config/{name}.yaml")[0])
    found = told(snakemake(tree, "--dry-run", "--verbose", "--configfile", f"config/{name}.yaml").stdout)
    assert set(found) == {jobs.record(job) for job in jobs.jobs}
    for job, declared in jobs.jobs.items():
        inputs, outputs = found[jobs.record(job)]
        assert sorted(outputs) == sorted([*declared.outputs, jobs.record(job)])
        made = [path for path in inputs if not path.startswith(("src/", "scripts/", "studies/"))]
        assert sorted(made) == sorted([*declared.inputs, *jobs.records(job)]), job
