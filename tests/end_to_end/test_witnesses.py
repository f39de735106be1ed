"""The records of a real run against two other witnesses: Snakemake's own notes, and the files that jobs opened."""

import base64
import json
import os
import shlex
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from awduality.files import read_json
from awduality.provenance import check_whole

pytestmark = pytest.mark.slow

WATCH = """
import sys, runpy
from pathlib import Path
root = Path.cwd()
opened = set()

def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.add(arguments[0])

sys.addaudithook(note)
target, script = Path(sys.argv[1]), sys.argv[2]
try:
    if script == "-m":
        sys.argv = sys.argv[3:]
        sys.path[0] = str(root)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[2:]
        sys.path[0] = str(root / "scripts")
        runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    assert end.code == 0
finally:
    inside = {Path(path).resolve() for path in opened}
    names = [path.relative_to(root).as_posix() for path in inside if path.is_relative_to(root) and path.is_file()]
    target.write_text("\\n".join(sorted(names)))
"""


@pytest.fixture(scope="module")
def records(finished):
    found = [read_json(path) for path in sorted((finished / "results/smoke/records").glob("*.json"))]
    return {record["job"]: record for record in found}


def declared(finished):
    """Record file -> what Snakemake wrote down of the job: rule, inputs, and the outputs of all jobs together."""
    notes, outputs = {}, set()
    for path in (path for path in (finished / ".snakemake/metadata").rglob("*") if path.is_file()):
        name = base64.b64decode(path.name).decode()
        outputs.add(name)
        notes[name] = json.loads(path.read_text())
    return notes, outputs


def test_every_job_left_a_whole_record(finished, records):
    notes, outputs = declared(finished)
    jobs = {name for name in outputs if name.startswith("results/smoke/records/")}
    assert jobs == {f"results/smoke/records/{job}.json" for job in records}
    for record in records.values():
        check_whole(record)


def test_the_outputs_of_all_records_are_those_that_snakemake_declares(finished, records):
    _, outputs = declared(finished)
    written = [entry["path"] for record in records.values() for entry in record["outputs"]]
    assert len(written) == len(set(written))
    assert set(written) == {name for name in outputs if "/records/" not in name}


def test_a_record_names_the_inputs_and_earlier_records_that_snakemake_declares(finished, records):
    notes, _ = declared(finished)
    for job, record in records.items():
        wanted = set(notes[f"results/smoke/records/{job}.json"]["input"])
        wanted -= {path for path in wanted if path.startswith(("src/", "scripts/", "studies/"))}
        named = {entry["path"] for entry in [*record["inputs"], *record["after"]]}
        named = {path for path in named if not path.startswith("sklearn.")}
        if job == "plan":  # config files are known to Snakemake by digest, since a clone gives them new times
            named -= {"config/config.yaml", "config/smoke.yaml", "workflow/schemas/config.schema.yaml"}
        assert named == wanted - ({"figures/smoke/origin.json"} - named), job


def test_a_record_lists_every_file_of_the_project_that_its_job_opened(finished, records, tmp_path):
    """One job of every script, repeated under an audit hook that sees every file that Python opens."""
    tree = Path(shutil.copytree(finished, tmp_path / "tree"))
    (tmp_path / "watch.py").write_text(WATCH)
    seen = set()
    for job, record in records.items():
        if record["script"] in seen:
            continue
        seen.add(record["script"])
        words = shlex.split(record["command"])[1:]
        environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "AWDUALITY_DEVICE": "cpu"}
        command = [sys.executable, "-B", str(tmp_path / "watch.py"), str(tmp_path / "opened"), *words]
        subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True)
        opened = set((tmp_path / "opened").read_text().splitlines())
        known = {entry["path"] for part in ("inputs", "outputs", "after") for entry in record[part]}
        known |= {*record["code"], f"results/smoke/records/{job}.json"}
        strange = {path for path in opened - known if not path.startswith(".git/") and "__pycache__" not in path}
        assert strange == set(), job
    assert len(seen) == 11


def test_records_follow_one_another_in_time(records):
    for record in records.values():
        started, ended = (datetime.fromisoformat(record[key]) for key in ("started", "ended"))
        assert started <= ended
        for entry in record["after"]:
            assert datetime.fromisoformat(records[Path(entry["path"]).stem]["ended"]) <= started


def test_all_jobs_ran_the_commit_of_a_clean_tree(finished, records):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=finished, capture_output=True, text=True, check=True)
    assert {record["git"]["commit"] for record in records.values()} == {head.stdout.strip()}
    assert not any(record["git"]["dirty"] for record in records.values())


def test_training_draws_initial_weights_and_orders_of_its_seeds_only(records):
    for job in ("train-baseline-0", "train-label_noise-1"):
        record = records[job]
        ((name, described),) = record["parameters"]["shards"].items()
        assert f"train-{name}" == job
        seeds = {seed for entry in described for seed in entry["seeds"]}
        drawn = {(entry["purpose"], entry["index"]) for entry in record["streams"] if entry["words"]}
        noisy = any(entry["settings"]["label_noise"] for entry in described)
        assert noisy == (job == "train-label_noise-1")
        noise = {("label_noise", seed) for seed in seeds} if noisy else set()
        assert drawn == {(purpose, seed) for purpose in ("init", "order") for seed in seeds} | noise
