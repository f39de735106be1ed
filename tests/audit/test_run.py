"""A finished run passes; whatever is altered in it is found and named, at the level that is there to find it."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from awduality.files import sha256
from tests.audit.conftest import (
    ALL,
    FIGURES,
    RECORDS,
    RESULTS,
    STANDARD,
    audit_script,
    audited,
    copy,
)
from tests.audit.forging import embed, repaint, reseal, rewrite
from tests.conftest import SMOKE, commit, repository, run_snakemake

pytestmark = pytest.mark.slow


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def drop_rows(path, keep):
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    kept = [rows[0], *(row for row in rows[1:] if keep(dict(zip(rows[0], row, strict=True))))]
    assert len(kept) < len(rows)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(kept)


# A clean run


def test_a_clean_run_passes_all_five_levels(finished):
    done = audit_script(finished, "smoke")
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("All well.")
    assert audited(finished, ALL).findings() == []


def test_the_audit_writes_nothing(run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if "__pycache__" not in path.parts}
    assert audit_script(run, "smoke", PYTHONDONTWRITEBYTECODE="1").returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if "__pycache__" not in path.parts}


ALONE = """
import runpy, sys
class Alone:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = (*sys.stdlib_module_names, "awduality", "studies", "org")  # copy.py asks for Jython's org
        assert top in known, name
sys.meta_path.insert(0, Alone())
sys.argv = ["scripts/audit.py", "smoke", "--levels", "bytes", "chain", "plan", "code"]
runpy.run_path("scripts/audit.py", run_name="__main__")
"""


def test_the_first_four_levels_need_nothing_but_the_standard_library(finished):
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE], cwd=finished, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_nothing_is_installed_the_fifth_level_is_not_checked(finished):
    done = audit_script(finished, "smoke", python=("-I", "-S"))
    assert done.returncode == 2
    assert "No module named" in done.stdout
    assert "not checked: streams, config, data, verdicts" in done.stdout


# Files


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_repainted_figure_is_found_although_it_kept_its_id(run, suffix):
    repaint(run / FIGURES / f"size.{suffix}")
    found = audited(run)
    assert found.code == 1
    assert found.named("bytes") == {f"{FIGURES}/size.{suffix}"}
    assert "it carries its own id, so it was repainted" in found.text("bytes").replace("\n" + " " * 16, " ")


def test_a_figure_of_another_name_in_its_place_is_found_and_its_name_told(run):
    shutil.copyfile(run / FIGURES / "size.png", run / FIGURES / "nulls.png")
    found = audited(run)
    assert found.named("bytes") == {f"{FIGURES}/nulls.png"}
    assert "it carries the id of the figure smoke/size" in found.text("bytes")


def test_a_figure_of_another_run_in_its_place_is_found(run):
    embed(run / FIGURES / "size.svg", "0" * 64, {"runs.csv": "1" * 64})
    found = audited(run)
    assert found.named("bytes") == {f"{FIGURES}/size.svg"}
    assert "of no figure known here" in found.text("bytes")


@pytest.mark.parametrize("table", [f"{FIGURES}/runs.csv", f"{RESULTS}/geometry/baseline-0.csv"])
def test_an_edited_number_is_found_although_the_files_time_is_kept(run, table):
    times = (run / table).stat()
    rows = (run / table).read_text().splitlines()
    digit = next(place for place in range(len(rows[1]) - 1, 0, -1) if rows[1][place] in "0123456789")
    rows[1] = rows[1][:digit] + str((int(rows[1][digit]) + 1) % 10) + rows[1][digit + 1 :]
    (run / table).write_text("\n".join(rows) + "\n")
    os.utime(run / table, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (run / table).stat().st_size == times.st_size
    found = audited(run)
    assert found.code == 1
    assert found.named("bytes") == {table}


def test_a_flipped_byte_of_the_data_is_found(run):
    flip(run / RESULTS / "data/digits.safetensors")
    found = audited(run, ALL)
    assert found.named("bytes") == {f"{RESULTS}/data/digits.safetensors"}
    assert f"{RESULTS}/data/digits.safetensors" in found.named("science")


def without_a_seed(run):
    """Take one seed of the sweep of batch sizes out of every table of results and figures."""
    gone = {
        row["run"]
        for row in csv.DictReader((run / RESULTS / "runs/batch_size-1.csv").open(newline="", encoding="utf-8"))
    }
    altered = [f"{RESULTS}/runs/batch_size-1.csv", f"{RESULTS}/geometry/batch_size-1.csv", f"{FIGURES}/runs.csv"]
    for path in altered:
        drop_rows(run / path, lambda row: row["run"] not in gone)
    return altered


def test_a_dropped_seed_is_found_by_bytes_and_plan(run):
    altered = without_a_seed(run)
    found = audited(run)
    assert found.named("bytes") == set(altered)
    assert found.named("plan") == set(altered)


def test_a_dropped_seed_is_found_by_the_plan_alone_when_everything_is_sealed_again(run):
    altered = without_a_seed(run)
    reseal(run)
    found = audited(run)
    assert found.code == 1
    assert found.named("bytes", "chain", "code") == set()
    assert found.named("plan") == set(altered)
    assert "(seed 1)" in found.text("plan")


def test_a_run_that_counts_twice_is_found_by_the_plan_when_everything_is_sealed_again(run):
    path = run / FIGURES / "runs.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    reseal(run)
    assert audited(run).named() == {f"{FIGURES}/runs.csv"}


@pytest.mark.parametrize(
    "extra", [f"{FIGURES}/more.png", f"{RESULTS}/runs/.hidden", f"{RECORDS}/old/plan.json", f"{RESULTS}/a/b/c.csv"]
)
def test_an_extra_file_is_found(run, extra):
    (run / extra).parent.mkdir(parents=True, exist_ok=True)
    (run / extra).write_text("{}")
    assert audited(run).named("bytes") == {extra}


@pytest.mark.parametrize("gone", [f"{FIGURES}/size.png", f"{RESULTS}/config.json", f"{RESULTS}/runs/baseline-0.csv"])
def test_a_missing_output_is_found(run, gone):
    (run / gone).unlink()
    found = audited(run, ALL)
    assert found.code == 1
    assert gone in found.named("bytes")


def test_a_link_in_the_place_of_a_file_is_found_although_the_bytes_are_the_same(run):
    path = run / FIGURES / "runs.csv"
    path.rename(run / "elsewhere.csv")
    path.symlink_to(run / "elsewhere.csv")
    assert audited(run).named("bytes") == {f"{FIGURES}/runs.csv"}


def test_a_linked_folder_is_found(run, tmp_path):
    (run / RESULTS / "more").symlink_to(tmp_path)
    assert audited(run).named("bytes") == {f"{RESULTS}/more"}


@pytest.mark.parametrize("path", [f"{FIGURES}/runs.csv", f"{RECORDS}/plan.json", f"{RECORDS}/seal.json"])
def test_a_folder_in_the_place_of_a_file_is_found(run, path):
    (run / path).unlink()
    (run / path).mkdir()
    found = audited(run, ALL)
    assert found.code == 1
    assert path in found.named("bytes")


def test_a_very_large_file_is_found_without_reading_it_into_memory(run):
    with (run / FIGURES / "size.png").open("r+b") as stream:
        stream.truncate(2**30)
    with (run / RECORDS / "plan.json").open("r+b") as stream:
        stream.truncate(2**30)
    assert {f"{FIGURES}/size.png", f"{RECORDS}/plan.json"} <= audited(run).named("bytes")


def test_a_file_whose_name_would_forge_a_line_is_shown_escaped(run):
    (run / FIGURES / "a\nAll well.\x1b[2K").write_text("")
    (run / FIGURES / os.fsdecode(b"\xff.csv")).write_text("")
    done = audit_script(run, "smoke", "--levels", "bytes", PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert f"failed: {FIGURES}/a\\nAll well.\\x1b[2K" in done.stdout
    assert "\nAll well." not in done.stdout


# Records


def test_a_missing_record_is_found(run):
    (run / RECORDS / "geometry-baseline-0.json").unlink()
    found = audited(run)
    assert f"{RECORDS}/geometry-baseline-0.json" in found.named("chain")
    assert f"{RECORDS}/geometry-baseline-0.json" in found.named("plan")
    assert f"{RESULTS}/geometry/baseline-0.csv" in found.named("bytes")


def test_a_missing_seal_is_found(run):
    (run / RECORDS / "seal.json").unlink()
    assert audited(run).named("bytes") == {f"{RECORDS}/seal.json"}


def test_a_forged_record_is_found_although_its_digest_is_right(run):
    rewrite(run / RECORDS / "train-baseline-0.json", lambda record: record["environment"].update(python="3.99.0"))
    found = audited(run)
    assert found.named("bytes") == set()
    assert found.named("chain") == {f"{RECORDS}/train-baseline-0.json"}


def legitimise(run, path):
    """A record in which a job claims to have written a file."""
    shutil.copyfile(run / RECORDS / "draw-size.json", run / RECORDS / "draw-more.json")
    entry = {"path": path, "bytes": (run / path).stat().st_size, "sha256": sha256(run / path)}

    def change(record):
        record.update(job="draw-more", outputs=[entry])
        record["command"] = record["command"].replace("draw-size", "draw-more")

    rewrite(run / RECORDS / "draw-more.json", change)


def test_a_record_that_the_seal_does_not_name_cannot_legitimise_a_file(run):
    (run / FIGURES / "more.csv").write_text("a,b\n1,2\n")
    legitimise(run, f"{FIGURES}/more.csv")
    found = audited(run)
    assert found.named("bytes", "chain") >= {f"{RECORDS}/draw-more.json"}


def test_a_sealed_record_of_a_job_that_the_config_does_not_ask_for_is_found_by_the_plan(run):
    shutil.copyfile(run / FIGURES / "size.svg", run / FIGURES / "more.svg")
    legitimise(run, f"{FIGURES}/more.svg")

    def name_it(record):
        record["after"].append({"path": f"{RECORDS}/draw-more.json", "sha256": "0" * 64})
        record["command"] += f" {RECORDS}/draw-more.json"

    rewrite(run / RECORDS / "seal.json", name_it)
    reseal(run)
    found = audited(run)
    assert found.named("bytes", "chain", "code") == set()
    assert found.named("plan") == {f"{RECORDS}/draw-more.json"}


@pytest.mark.parametrize("job", ["seal", "crate"])
def test_what_comes_with_or_after_the_seal_cannot_legitimise_a_file(run, job):
    (run / FIGURES / "more.csv").write_text("a,b\n1,2\n")
    if job == "crate":
        shutil.copyfile(run / RECORDS / "seal.json", run / RECORDS / "crate.json")
    entry = {"path": f"{FIGURES}/more.csv", "bytes": 8, "sha256": sha256(run / FIGURES / "more.csv")}
    rewrite(run / RECORDS / f"{job}.json", lambda record: record.update(job=job, outputs=[entry]))
    assert f"{RECORDS}/{job}.json" in audited(run).named("bytes")


def test_verdicts_edited_in_both_places_and_sealed_again_are_found_by_science(run):
    verdicts = json.loads((run / FIGURES / "claims.json").read_text(encoding="utf-8"))
    edited = next(row for row in verdicts if row["verdict"] != "supported")
    edited["verdict"] = "supported"
    for folder in (FIGURES, RESULTS):
        (run / folder / "claims.json").write_text(json.dumps(verdicts, indent=2, ensure_ascii=False) + "\n")
    reseal(run)
    found = audited(run, ALL)
    assert found.named(*STANDARD) == set()
    assert found.named("science") == {f"{FIGURES}/claims.json: {edited['id']} {edited['layer']}"}


def test_verdicts_edited_among_the_results_alone_and_sealed_again_are_found_by_science(run):
    edit(run / RESULTS / "claims.json", "not tested", "supported")
    reseal(run)
    found = audited(run, ALL)
    assert found.named(*STANDARD) == set()
    assert found.named("science") == {f"{RESULTS}/claims.json"}


def test_an_altered_stream_key_that_is_sealed_again_is_found_by_science(run):
    rewrite(run / RECORDS / "train-baseline-0.json", lambda record: record["streams"][0].update(key="0" * 32))
    reseal(run)
    found = audited(run, ALL)
    assert found.named(*STANDARD) == set()
    assert found.named("science") == {f"{RECORDS}/train-baseline-0.json"}


def test_two_purposes_with_one_stream_key_are_found_by_the_plan(run):
    def change(record):
        record["streams"][1]["key"] = record["streams"][0]["key"]

    rewrite(run / RECORDS / "train-baseline-0.json", change)
    reseal(run)
    assert any(name.startswith("random stream ") for name in audited(run).named("plan"))


def test_another_config_that_is_sealed_again_is_found_by_the_plan(run):
    edit(run / RESULTS / "config.json", '"root_seed": 1', '"root_seed": 2')
    reseal(run)
    assert f"{RECORDS}/train-baseline-0.json" in audited(run).named("plan")


def _set(*keys, value):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


DAMAGED = {
    "no JSON": lambda path: path.write_text("{"),
    "empty": lambda path: path.write_text(""),
    "a list": lambda path: path.write_text("[]"),
    "a number": lambda path: path.write_text("1"),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "deeply nested": lambda path: path.write_text("[" * 100_000),
    "a byte order mark": lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
    "other line ends": lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n")),
    "indented": lambda path: path.write_text(json.dumps(json.loads(path.read_text()), indent=1, sort_keys=True)),
    "a key twice": lambda path: path.write_text(path.read_text().replace('"job":', '"job":"other","job":', 1)),
    "not a number": lambda path: path.write_text(path.read_text().replace('"exit_status":0', '"exit_status":NaN')),
    "parameters not a number": lambda path: path.write_text(
        path.read_text().replace('"parameters":{', '"parameters":{"a":NaN')
    ),
    "half a character": lambda path: path.write_text(path.read_text().replace("awduality", "\\ud800", 1)),
    "no fields": lambda path: path.write_text("{}"),
    "a field too few": lambda path: rewrite(path, lambda record: record.pop("git")),
    "a field too many": lambda path: rewrite(path, lambda record: record.update(more=1)),
    "commit a number": lambda path: rewrite(path, _set("git", "commit", value=5)),
    "commit without a state": lambda path: rewrite(path, _set("git", "dirty", value=None)),
    "dirty without a difference": lambda path: rewrite(path, _set("git", "dirty", value=True)),
    "torch without a build": lambda path: rewrite(path, _set("environment", "torch", value={})),
    "packages of lists": lambda path: rewrite(path, _set("environment", "packages", value={"numpy": [1]})),
    "libraries of text": lambda path: rewrite(path, _set("environment", "libraries", value=["a"])),
    "variables of numbers": lambda path: rewrite(path, _set("environment", "variables", value={"A": 1})),
    "code of numbers": lambda path: rewrite(path, _set("code", value={"a": 1})),
    "no code": lambda path: rewrite(path, _set("code", value={})),
    "outputs of text": lambda path: rewrite(path, _set("outputs", value=["a"])),
    "streams of nothing": lambda path: rewrite(path, _set("streams", value=[{}])),
    "parameters a list": lambda path: rewrite(path, _set("parameters", value=[])),
    "parameters too deep": lambda path: rewrite(path, _set("parameters", "a", value=json.loads("[" * 90 + "]" * 90))),
    "exit status true": lambda path: rewrite(path, _set("exit_status", value=True)),
    "exit status 1": lambda path: rewrite(path, _set("exit_status", value=1)),
    "another format": lambda path: rewrite(path, _set("format", value="awduality-record/2")),
    "another job": lambda path: rewrite(path, _set("job", value="plan")),
    "another script": lambda path: rewrite(path, _set("script", value="scripts/plan.py")),
    "no command": lambda path: rewrite(path, _set("command", value="python '")),
    "a command without end": lambda path: rewrite(path, lambda record: record.update(command=record["command"] + " '")),
    "a foreign command": lambda path: rewrite(path, _set("command", value="python -c 'print(1)'")),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("job", ["train-batch_size-0", "seal"])
def test_a_damaged_record_is_named_and_no_traceback(run, damage, job):
    DAMAGED[damage](run / RECORDS / f"{job}.json")
    found = audited(run, ALL)
    assert found.code == 1
    assert f"{RECORDS}/{job}.json" in found.named(*STANDARD)


def test_a_record_that_is_a_pipe_does_not_stop_the_audit(run):
    (run / RECORDS / "plan.json").unlink()
    os.mkfifo(run / RECORDS / "plan.json")
    assert f"{RECORDS}/plan.json" in audited(run).named("bytes")


OUTSIDE = ["../run/README", "/etc/hostname", "results/smoke/../../secret", "./config/smoke.yaml", "config//smoke.yaml"]
OUTSIDE += ["", ".", "config/smoke.yaml/", "$AWDUALITY_DATA/../secret", "a\nb", "a\0b", "\u202e"]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("field", ["inputs", "outputs", "after", "code"])
def test_a_record_cannot_lead_out_of_the_project_even_if_it_is_sealed(run, path, field):
    def change(record):
        if field == "code":
            record["code"][path] = "0" * 64
        else:
            entry = {"path": path, "bytes": 0, "sha256": "0" * 64}
            record[field].append({key: entry[key] for key in entry if field != "after" or key != "bytes"})

    rewrite(run / RECORDS / "draw-size.json", change)
    assert f"{RECORDS}/draw-size.json" in audited(run, ["bytes"]).named()


@pytest.mark.parametrize("path", ["README.md", "src/awduality/study/plan.py", "figures/digits/size.png", "(outside)/a"])
def test_an_output_outside_the_configs_folders_is_found_even_if_it_is_sealed(run, path):
    entry = {"path": path, "bytes": 0, "sha256": "0" * 64}
    rewrite(run / RECORDS / "claims.json", lambda record: record["outputs"].append(entry))
    assert f"{RECORDS}/claims.json" in audited(run).named("bytes")


def test_a_path_that_is_listed_twice_with_other_digests_is_found_even_if_it_is_sealed(run):
    def twice(record):
        record["outputs"].append({**record["outputs"][0], "sha256": "0" * 64})

    rewrite(run / RECORDS / "draw-size.json", twice)
    assert f"{FIGURES}/size.png" in audited(run).named("bytes") & audited(run).named("chain")


@pytest.mark.parametrize("direction", ["inputs", "outputs"])
def test_a_wrong_size_is_found_even_if_it_is_sealed(run, direction):
    job = "geometry-baseline-0"
    reseal(run)
    rewrite(run / RECORDS / f"{job}.json", lambda record: record[direction][0].update(bytes=7))
    assert f"{RECORDS}/{job}.json" in {
        finding.file for finding in audited(run).findings() if "7" in finding.found.split()
    }


# Config, code, environment


def test_a_config_edited_after_the_run_is_found(run):
    edit(run / "config/smoke.yaml", "batch_size: [10, 25]", "batch_size: [10, 25, 50]")
    found = audited(run, ALL)
    assert found.named("code") == {"config/smoke.yaml"}
    assert "config/smoke.yaml" in found.named("science")


def test_code_edited_after_the_run_is_found(run):
    edit(run / "src/awduality/losses.py", '"""', '""" ')
    assert audited(run).named("code") == {"src/awduality/losses.py"}


def test_code_that_nobody_ran_may_change(run):
    edit(run / "src/awduality/audit/lookup.py", '"""', '""" ')
    assert audited(run).code == 0


def test_a_config_file_with_a_space_in_its_name_that_was_deleted_is_found(run):
    entry = {"path": "config/my own.yaml", "bytes": 1, "sha256": "0" * 64}
    rewrite(run / RECORDS / "plan.json", lambda record: record["inputs"].append(entry))
    assert "config/my own.yaml" in audited(run).named("code")


def test_other_packages_than_the_pins_are_a_warning(run):
    edit(run / "constraints.txt", "numpy==", "numpy==9")
    found = audited(run)
    assert found.code == 0
    assert [(finding.status, finding.file) for finding in found.findings()] == [("warning", "package numpy")]


def test_a_run_with_uncommitted_code_could_not_be_checked(run):
    digest = sha256(run / "src/awduality/losses.py")
    edit(run / "src/awduality/losses.py", '"""', '""" ')

    def dirty(record):
        if record["code"].get("src/awduality/losses.py") == digest:
            record["code"]["src/awduality/losses.py"] = sha256(run / "src/awduality/losses.py")
        record["git"].update(dirty=True, diff_sha256="0" * 64)

    for path in (run / RECORDS).glob("*.json"):
        rewrite(path, dirty)
    reseal(run)
    found = audited(run)
    assert found.code == 2
    assert "uncommitted changes in src/awduality/losses.py" in found.text("code")


def test_outside_a_repository_the_code_could_not_be_checked(run):
    shutil.rmtree(run / ".git")
    found = audited(run)
    assert found.code == 2
    assert {finding.status for finding in found.findings()} == {"not checked"}


def test_a_commit_that_is_not_here_could_not_be_checked(run):
    rewrite(run / RECORDS / "seal.json", lambda record: record["git"].update(commit="0" * 40))
    found = audited(run)
    assert found.code == 2
    assert "as seal ran them" in found.text("code")


# The command line


def test_levels_can_be_chosen(run):
    flip(run / FIGURES / "size.png")
    assert audit_script(run, "smoke", "--levels", "plan", "code").returncode == 0
    assert audit_script(run, "smoke", "--levels", "bytes").returncode == 1
    assert "invalid choice" in audit_script(run, "smoke", "--levels", "byte").stderr


def test_the_json_says_the_same_as_the_text(run):
    flip(run / FIGURES / "size.png")
    done = audit_script(run, "smoke", "--levels", "bytes", "chain", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == said["exit_code"] == 1
    assert [(level["name"], level["status"]) for level in said["levels"]] == [("bytes", "failed"), ("chain", "ok")]
    (finding,) = said["levels"][0]["findings"]
    assert finding["file"] == f"{FIGURES}/size.png"
    assert set(finding) == {"status", "file", "expected", "found", "advice"}


def test_the_seal_that_was_noted_down_is_known_again_and_no_other(run):
    seal = sha256(run / RECORDS / "seal.json")
    assert audited(run, seal=seal).code == 0
    assert audited(run).closing[-1].strip() == seal
    assert audited(run, seal=seal.upper()).code == 0
    assert audited(run, seal="0" * 64).named("bytes") == {f"{RECORDS}/seal.json"}
    rewrite(run / RECORDS / "seal.json", lambda record: record.update(ended="2030-01-01T00:00:00.000+00:00"))
    assert audited(run).code == 0  # nothing else knows when the seal was made
    assert audited(run, seal=seal).named("bytes") == {f"{RECORDS}/seal.json"}


@pytest.mark.parametrize("config", ["unknown", "../smoke", "smoke/", "", "."])
def test_an_unknown_config_is_said_to_be_unknown(run, config):
    done = audit_script(run, "check", config)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_run_without_results_says_what_to_do(run):
    shutil.rmtree(run / RESULTS)
    (run / RESULTS).mkdir()
    done = audit_script(run, "smoke")
    assert done.returncode == 2
    assert "run Snakemake for this config first" in done.stderr


def test_a_clone_that_only_drew_its_figures_again_is_told_to_check_what_is_committed(run):
    for path in (run / RECORDS).glob("*.json"):
        if path.stem.partition("-")[0] not in ("draw", "claims", "provenance"):
            path.unlink()
    done = audit_script(run, "smoke")
    assert done.returncode == 2
    assert "the run is not here" in done.stderr
    assert "--committed" in done.stderr


def test_of_an_incomplete_run_only_the_missing_jobs_are_named_and_no_file_is_called_superfluous(run):
    for job in ("seal", "figure_numbers", "origin"):
        (run / RECORDS / f"{job}.json").unlink()
    found = audited(run, ["bytes"])
    assert found.named() == {f"{RECORDS}/seal.json"}


def test_a_config_that_was_never_committed_is_not_called_a_forgery(tmp_path):
    tree = repository(tmp_path / "tree")
    text = (tree / "config/smoke.yaml").read_text().replace("name: smoke", "name: mine").replace("seeds: 2", "seeds: 1")
    (tree / "config/mine.yaml").write_text(text.replace("  label_noise: [0.0, 0.1]\n", ""))
    run_snakemake(tree, "--configfile", "config/mine.yaml")
    done = audit_script(tree, "mine")
    assert done.returncode == 2, done.stdout
    assert "files that were never committed: config/mine.yaml" in done.stdout


def test_one_project_is_audited_by_the_code_of_another(run, root):
    (run / "scripts/audit.py").write_text("print('All well.')")
    honest = [sys.executable, str(root / "scripts/audit.py"), "smoke", "--root", str(run)]
    done = subprocess.run([*honest, "--levels", *STANDARD], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (run / FIGURES / "runs.csv").write_text("altered")
    done = subprocess.run(honest, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{FIGURES}/runs.csv" in done.stdout


# Runs that are clean, too


def test_a_run_whose_config_was_partly_given_on_the_command_line_is_clean(tmp_path):
    tree = repository(tmp_path / "tree")
    run_snakemake(tree, *SMOKE, "--config", "train_together=True", "name=together", "seeds=1")
    done = audit_script(tree, "together")
    assert done.returncode == 0, done.stdout
    assert 'name: "together"' in done.stdout  # a warning says what the config files do not


def test_a_run_is_clean_after_its_figures_were_drawn_again_with_other_committed_code(finished, tmp_path):
    tree = Path(shutil.copytree(finished, tmp_path / "tree", symlinks=True))
    edit(tree / "src/awduality/figures/style.py", '"font.size": 7', '"font.size": 8')
    assert audited(tree).code == 1
    commit(tree, "Larger letters")
    run_snakemake(tree, *SMOKE)
    assert audited(tree, ALL).findings() == []
    run_snakemake(tree, *SMOKE)
    assert audited(tree, ALL).findings() == []


def test_a_copy_of_a_run_is_as_clean_as_the_run(finished, tmp_path):
    assert audited(copy(finished, tmp_path / "copy"), ALL).findings() == []
