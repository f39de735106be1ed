"""One real run of the smoke config, and what must hold of it and after it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from awduality.files import read_table
from tests.conftest import SMOKE, commit, copy_tree, run_snakemake
from tests.crates import ALL_PASSED, outcome, validate

pytestmark = pytest.mark.slow
REDRAWN = {"figures", "draw", "claims", "provenance"}


@pytest.fixture
def rerun(finished, tmp_path):
    """A copy of the finished tree, times and Snakemake's memory included."""
    return Path(shutil.copytree(finished, tmp_path / "tree", symlinks=True))


def planned(tree, *arguments):
    """The rules that Snakemake would run, with the number of jobs."""
    output = run_snakemake(tree, *arguments, *SMOKE, "--dry-run").stdout
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


def heed_interrupts():
    """A process that a shell starts in the background ignores SIGINT, and so do its children: undo that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_run_leaves_every_result_and_figure_and_nothing_else(finished):
    made = {str(p.relative_to(finished)) for folder in ("results", "figures") for p in (finished / folder).rglob("*.*")}
    shards = [f"{factor}-{block}" for factor in ("baseline", "batch_size", "label_noise") for block in (0, 1)]
    expected = {"results/smoke/config.json", "results/smoke/plan.json"}
    expected |= {f"results/smoke/data/digits.{suffix}" for suffix in ("json", "safetensors")}
    expected |= {
        f"results/smoke/{kind}/{shard}.{suffix}"
        for kind in ("runs", "geometry")
        for shard in shards
        for suffix in ("csv", "safetensors")
    }
    tables = [f"{factor}-{t}" for factor in ("batch_size", "label_noise") for t in ("gap", "directions", "training")]
    tables += ["runs", "duality-pairs", "null-curves", "null-runs", "samples"]
    expected |= {f"figures/smoke/{table}.csv" for table in tables}
    expected |= {f"results/smoke/nulls/baseline-{block}.{kind}" for block in (0, 1) for kind in ("csv", "safetensors")}
    expected |= {"results/smoke/claims.json", "figures/smoke/claims.json"}
    figures = [
        "batch_size",
        "label_noise",
        "codeterminants",
        "duality",
        "estimate",
        "nulls",
        "predictors",
        "size",
        "summary",
    ]
    figures += ["verdicts"]  # layers are compared where there are several
    expected |= {f"figures/smoke/{figure}.{suffix}" for figure in figures for suffix in ("svg", "png")}
    expected |= {"figures/smoke/origin.json", "figures/smoke/provenance.json"}
    jobs = ["plan", "prepare_data", "figure_numbers", "claims", "origin", "provenance", "seal"]
    jobs += [f"{step}-{shard}" for step in ("train", "geometry") for shard in shards]
    jobs += [f"nulls-baseline-{block}" for block in (0, 1)] + [f"draw-{figure}" for figure in figures]
    expected |= {f"results/smoke/records/{job}.json" for job in jobs}
    assert made == expected


def test_a_second_run_has_nothing_to_do(rerun):
    assert "Nothing to be done" in run_snakemake(rerun, *SMOKE).stdout


def test_every_step_logs_its_own_command_line(finished):
    logs = list((finished / "logs").rglob("*.log"))
    assert len(logs) == 2 + 6 + 6 + 2 + 1 + 1 + 10 + 3
    for log in logs:
        (step,) = {*re.findall(r"python (?:scripts/|-m studies\.sweeps\.)(\w+)", log.read_text())}
        assert step == log.relative_to(finished / "logs/smoke").parts[0].removesuffix(".log")


def test_an_edit_of_the_plotting_code_redraws_and_retrains_nothing(rerun):
    edit(rerun / "src/awduality/figures/style.py", '"font.size": 7', '"font.size": 8')
    assert set(planned(rerun)) == {"all", "draw", "provenance", "seal"}


def test_an_edit_of_the_training_code_retrains(rerun):
    edit(rerun / "src/awduality/training/run.py", "_ACCURACY_EPOCHS = 9", "_ACCURACY_EPOCHS = 8")
    assert planned(rerun)["train"] == 6


def test_an_edit_of_the_geometry_retrains_nothing(rerun):
    edit(rerun / "src/awduality/duality/dual_weights.py", "rank one", "rank 1")
    assert "train" not in planned(rerun)
    assert planned(rerun)["geometry"] == 6


def test_touching_code_without_changing_it_reruns_nothing(rerun):
    for folder in ("src", "studies"):
        for path in (rerun / folder).rglob("*.py"):
            path.touch()
    assert planned(rerun) == {}


def test_a_new_value_trains_its_own_sweep_only(rerun):
    edit(rerun / "config/smoke.yaml", "batch_size: [10, 25]", "batch_size: [10, 25, 50]")
    jobs = planned(rerun)
    assert (jobs["train"], jobs["geometry"]) == (2, 2)


def test_new_seeds_train_their_own_shards_only(rerun):
    edit(rerun / "config/smoke.yaml", "seeds: 2", "seeds: 3")
    jobs = planned(rerun)
    assert (jobs["train"], jobs["geometry"]) == (3, 3)


def test_a_clone_redraws_its_committed_figures_to_the_same_bytes_without_the_run(rerun):
    for folder in ("results", "logs", ".snakemake"):
        shutil.rmtree(rerun / folder)
    figures = [path for suffix in ("svg", "png", "json") for path in rerun.glob(f"figures/smoke/*.{suffix}")]
    before = {path: path.read_bytes() for path in figures}
    for path in figures:
        if path.name != "origin.json":  # what says where the numbers come from is committed with them
            path.unlink()
    assert set(planned(rerun, "figures")) == REDRAWN
    run_snakemake(rerun, "figures", *SMOKE)
    assert {path: path.read_bytes() for path in figures} == before
    records = {path.stem.partition("-")[0] for path in rerun.glob("results/smoke/records/*.json")}
    assert records == {"claims", "draw", "provenance"}


def test_a_clone_whose_files_have_other_times_does_not_repeat_the_run(rerun):
    """Git writes files in the order of their names: figures first, workflow last."""
    for folder in ("results", "logs", ".snakemake"):
        shutil.rmtree(rerun / folder)
    for path in (
        path for folder in ("config", "scripts", "src", "studies", "workflow") for path in (rerun / folder).rglob("*")
    ):
        path.touch()
    assert set(planned(rerun, "figures")) == REDRAWN
    assert set(planned(rerun, "claims")) == {"claims"}


def test_fewer_seeds_leave_no_trace_of_the_others_in_the_figures_and_the_audit_says_what_to_delete(rerun):
    edit(rerun / "config/smoke.yaml", "seeds: 2", "seeds: 1")
    commit(rerun, "Fewer seeds")
    run_snakemake(rerun, *SMOKE)
    runs = {row["run"] for row in read_table(rerun / "results/smoke/runs/baseline-0.csv")}
    assert {row["run"] for row in read_table(rerun / "figures/smoke/null-runs.csv")} == runs
    audit = [sys.executable, "scripts/audit.py", "smoke", "--json", "--levels", "bytes", "chain", "plan", "code"]
    done = subprocess.run(audit, cwd=rerun, capture_output=True, text=True, check=False)
    findings = [finding for level in json.loads(done.stdout)["levels"] for finding in level["findings"]]
    left = {f"results/smoke/records/{job}-1.json" for job in ("train-baseline", "geometry-baseline", "nulls-baseline")}
    assert left <= {finding["file"] for finding in findings}
    for finding in findings:
        for path in re.findall(r"results/smoke/[^, ]+", finding["advice"]):
            (rerun / path).unlink()
    done = subprocess.run(audit, cwd=rerun, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_an_export_of_an_earlier_run_is_said_to_be_one(rerun):
    run_snakemake(rerun, "crate", *SMOKE)
    (rerun / "results/smoke/records/seal.json").unlink()
    run_snakemake(rerun, *SMOKE)
    done = subprocess.run(
        [sys.executable, "scripts/audit.py", "smoke"], cwd=rerun, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "an export of an earlier run" in done.stdout
    assert "snakemake crate makes it anew" in done.stdout


def test_a_clone_redraws_after_an_edit_of_the_plotting_code_without_the_run(rerun):
    for folder in ("results", "logs", ".snakemake"):
        shutil.rmtree(rerun / folder)
    edit(rerun / "src/awduality/figures/style.py", '"font.size": 7', '"font.size": 8')
    assert set(planned(rerun, "figures")) == REDRAWN


def test_the_run_exports_as_a_valid_crate_and_runs_nothing_else_for_it(rerun, tmp_path):
    assert planned(rerun, "crate") == {"crate": 1}
    run_snakemake(rerun, "crate", *SMOKE)
    assert outcome(validate(rerun / "results/smoke/crate.zip", tmp_path / "cache")) == ALL_PASSED
    assert "Nothing to be done" in run_snakemake(rerun, "all", "crate", *SMOKE).stdout


def test_the_unpacked_crate_passes_the_audit_with_pythons_standard_library_alone(rerun, tmp_path):
    run_snakemake(rerun, "crate", *SMOKE)
    shutil.unpack_archive(rerun / "results/smoke/crate.zip", tmp_path / "unpacked")
    bare = [sys.executable, "-I", "-S", "scripts/audit.py"]  # without site-packages
    audit = [*bare, "smoke", "--levels", "bytes", "chain", "plan"]
    done = subprocess.run(audit, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_edited_figure_stops_the_export(rerun):
    edit(rerun / "figures/smoke/duality.svg", "<svg", "<!-- --><svg")
    done = run_snakemake(rerun, "crate", *SMOKE, check=False)
    assert done.returncode != 0
    assert "figures/smoke/duality.svg is not the file that the record of 'draw-duality' names" in done.stdout
    assert not (rerun / "results/smoke/crate.zip").exists()


def test_the_whole_run_again_gives_the_same_bytes(finished, tmp_path):
    tree = copy_tree(tmp_path / "again")
    run_snakemake(tree, *SMOKE)
    for folder in ("results", "figures"):
        for path in (
            path for path in (finished / folder).rglob("*") if path.is_file() and path.parent.name != "records"
        ):
            assert path.read_bytes() == (tree / path.relative_to(finished)).read_bytes(), path


def test_an_interrupted_run_keeps_its_finished_shards_and_resumes_with_the_same_command(tree):
    (tree / "slow.yaml").write_text(
        "name: slow\nseeds: 1\ndefaults: {train_size: 200, width: 8}\n"
        "sweeps: {batch_size: [5], learning_rate: [0.001]}\n"
        "training: {target_loss: 1.0e-09, max_steps: 40000}\n"
    )
    command = ("--configfile", "slow.yaml", "--cores", "1", "results/slow/runs/baseline-0.csv")
    run_snakemake(tree, *command)  # one shard is finished
    first = (tree / "results/slow/runs/baseline-0.csv").stat().st_mtime_ns
    again = ("--configfile", "slow.yaml", "--cores", "2", "figures/slow/batch_size.svg")
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *again],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    )
    deadline = time.monotonic() + 60
    log = tree / "logs/slow/train/learning_rate-0.log"
    while not (log.exists() and "1 runs on cpu" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: Snakemake and its jobs
    assert process.wait(60) != 0
    assert (tree / "results/slow/runs/baseline-0.csv").stat().st_mtime_ns == first
    assert not list((tree / "results").rglob(".*"))
    assert not (tree / "results/slow/runs/learning_rate-0.csv").exists()
    run_snakemake(tree, *again)
    assert (tree / "results/slow/runs/baseline-0.csv").stat().st_mtime_ns == first
    assert (tree / "results/slow/runs/learning_rate-0.csv").exists()
    assert (tree / "figures/slow/batch_size.svg").exists()


def test_a_sweep_with_a_diverging_rate_completes_and_its_figure_says_so(tree):
    (tree / "wild.yaml").write_text(
        "name: wild\nseeds: 2\ndefaults: {train_size: 200, width: 8}\n"
        "sweeps: {learning_rate: [0.1, 10.0, 10000.0, 1.0e+30]}\n"
        "training: {target_loss: 0.1, target_accuracy: 0.9, max_steps: 4000}\n"
    )
    run_snakemake(tree, "--configfile", "wild.yaml")
    picture = (tree / "figures/wild/learning_rate.svg").read_text()
    assert "all dead or diverged" in picture
    assert picture.count("0/2") == 3


def test_a_failing_job_says_why_on_the_terminal_and_in_its_log(tree, tmp_path, monkeypatch):
    folder = tmp_path / "data/MNIST/raw"
    folder.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{name}-ubyte").write_bytes(b"truncated")
    monkeypatch.setenv("AWDUALITY_DATA", str(tmp_path / "data"))
    done = run_snakemake(tree, "--configfile", "config/mnist.yaml", check=False)
    assert done.returncode != 0
    message = "train-images-idx3-ubyte is truncated or not MNIST: got 9 bytes, wanted 47,040,016"
    assert message in done.stdout
    assert message in (tree / "logs/mnist/prepare_data.log").read_text()
