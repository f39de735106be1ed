"""Jobs executed again: the only way to find a result that was forged and sealed again."""

import csv
import json
import shutil

import pytest

from tests.audit.conftest import ALL, FIGURES, RECORDS, RESULTS, audit_script, audited
from tests.audit.forging import reseal, rewrite

pytestmark = pytest.mark.slow
JOB = "draw-size"


def forge_a_number(path, column):
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    place = rows[0].index(column)
    rows[1][place] = repr(float(rows[1][place]) * 1.5)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def test_the_figures_drawn_again_are_identical(finished):
    found = audited(finished, ["bytes"], again="figures")
    assert found.findings() == []
    assert found.levels["rerun"].done == "10 jobs: 20 outputs IDENTICAL"


ONE_OF_EVERY_SCRIPT = ("plan", "prepare_data", "train-baseline-0", "geometry-baseline-0", "nulls-baseline-0")
ONE_OF_EVERY_SCRIPT += ("figure_numbers", "claims", "draw-size", "origin", "provenance")


@pytest.mark.parametrize("job", ONE_OF_EVERY_SCRIPT)
def test_a_job_of_every_script_can_be_executed_again_from_what_its_record_names_alone(finished, job):
    found = audited(finished, [], again=job)
    assert found.findings() == []
    assert found.levels["rerun"].done.startswith("1 jobs: ")
    assert set(found.levels["rerun"].outcomes.values()) == {"IDENTICAL"}


def test_no_script_is_left_out(finished):
    records = [json.loads(path.read_text()) for path in (finished / RECORDS).glob("*.json")]
    scripts = {record["job"]: record["script"] for record in records if record["job"] != "seal"}  # it makes no file
    assert {scripts[job] for job in ONE_OF_EVERY_SCRIPT} == set(scripts.values())


def test_a_sample_of_jobs_gives_the_same_again(finished):
    done = audit_script(finished, "smoke", "--levels", "bytes", "--rerun", "sample:2")
    assert done.returncode == 0, done.stdout
    assert "2 jobs: " in done.stdout
    assert "1 of 2: " in done.stderr


def test_a_forged_result_that_is_sealed_again_is_found_by_its_job_alone(run):
    forge_a_number(run / RESULTS / "geometry/baseline-0.csv", "flat_part")
    reseal(run)
    assert audited(run, ALL).findings() == []  # nobody can tell by looking
    found = audited(run, ["bytes"], again="geometry-baseline-0")
    assert found.code == 1
    assert found.named() == {f"{RESULTS}/geometry/baseline-0.csv"}
    assert "DIFFERS" in found.text("rerun")
    assert "column flat_part" in found.text("rerun")


def judged_elsewhere(run, **changes):
    """Alter a verdict that was not tested as if claims had been judged on another machine, seal, judge again."""
    rewrite(run / RECORDS / "claims.json", lambda record: record["environment"].update(cpu="another"))
    verdicts = json.loads((run / FIGURES / "claims.json").read_text(encoding="utf-8"))
    row = next(row for row in verdicts if row["verdict"] == "not tested")
    row.update(changes)
    for folder in (FIGURES, RESULTS):
        (run / folder / "claims.json").write_text(json.dumps(verdicts, indent=2, ensure_ascii=False) + "\n")
    reseal(run)
    found = audited(run, ["bytes"], again="claims")
    (finding,) = found.findings("rerun")
    return found, finding, f"{row['id']} {row['layer']}"


def test_a_difference_on_another_machine_is_a_warning_if_the_claims_hold(run):
    found, warning, _ = judged_elsewhere(run, reason="another reason")
    assert found.code == 0
    assert warning.status == "warning"
    assert warning.found.startswith("CLAIMS HOLD: ")
    assert warning.found.endswith("verdicts that changed: none")
    for folder in (FIGURES, RESULTS):
        assert found.levels["rerun"].outcomes[f"{folder}/claims.json"].startswith("CLAIMS HOLD")


def test_a_verdict_that_changes_on_another_machine_is_named(run):
    found, finding, claim = judged_elsewhere(run, verdict="supported")
    assert found.code == 1
    assert finding.found.endswith(f"verdicts that changed: {claim}: supported → not tested")


def test_what_the_job_does_not_make_differs(run):
    (run / FIGURES / "more.csv").write_text("a\n")
    entry = {"path": f"{FIGURES}/more.csv", "bytes": 2, "sha256": "0" * 64}
    rewrite(run / RECORDS / f"{JOB}.json", lambda record: record["outputs"].append(entry))
    reseal(run)
    found = audited(run, ["bytes"], again=JOB)
    assert "it was not made" in found.text("rerun")
    assert f"{FIGURES}/more.csv" in found.named("rerun")


def test_a_job_whose_code_or_inputs_have_changed_cannot_be_checked(run):
    style = run / "src/awduality/figures/style.py"
    before = style.read_text()
    style.write_text(before + "\n")
    found = audited(run, ["plan"], again=JOB)
    assert found.code == 2
    assert "the code has changed since: src/awduality/figures/style.py" in found.text("rerun")
    style.write_text(before)
    (run / FIGURES / "runs.csv").write_text("config\n")
    found = audited(run, [], again=JOB)
    assert "its input figures/smoke/runs.csv is not what it read" in found.text("rerun")


@pytest.mark.parametrize("words", ["--svg-out /tmp/elsewhere.svg", "--svg-out ../../elsewhere.svg"])
def test_a_command_that_leads_out_of_the_project_is_not_executed(run, words):
    rewrite(run / RECORDS / f"{JOB}.json", lambda record: record.update(command=f"{record['command']} {words}"))
    found = audited(run, [], again=JOB)
    assert found.code == 2
    assert "its command leads out of the project" in found.text("rerun")


def test_a_record_cannot_make_the_audit_run_other_code(run, tmp_path):
    trace = tmp_path / "was-here"
    command = f"python -c \"open('{trace}', 'w')\""
    rewrite(run / RECORDS / f"{JOB}.json", lambda record: record.update(command=command))
    done = audit_script(run, "smoke", "--levels", "bytes", "--rerun", "figures")
    assert done.returncode == 1
    assert not trace.exists()


def test_a_record_cannot_set_other_variables_than_those_that_change_results(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'was-here')!r}, 'w')\n")
    variables = {"PYTHONHOME": "/nowhere", "LD_PRELOAD": "/nowhere.so", "PATH": str(tmp_path)}
    rewrite(run / RECORDS / f"{JOB}.json", lambda record: record["environment"]["variables"].update(variables))
    assert audited(run, [], again=JOB).named("rerun") == set()
    assert not (tmp_path / "was-here").exists()


def test_a_cycle_of_jobs_is_a_finding(run):
    record = json.loads((run / RECORDS / "draw-size.json").read_text())

    def change(plan):
        plan["inputs"].append(record["outputs"][0])
        plan["outputs"].append(record["inputs"][0])

    rewrite(run / RECORDS / "plan.json", change)
    rewrite(run / RECORDS / "draw-size.json", lambda record: record["inputs"].append(record["outputs"][1]))
    found = audited(run, ["chain"], again=JOB)
    assert "a cycle: " in found.text("chain")
    assert found.code == 1


@pytest.mark.parametrize(
    "word", ["", "figure", "sample", "sample:", "sample:0", "sample:-1", "sample:1.5", f"sample:{'9' * 5000}", "seal"]
)
def test_other_words_are_refused(finished, word):
    done = audit_script(finished, "smoke", "--levels", "plan", f"--rerun={word}")
    assert done.returncode == 2
    assert "wanted figures, sample:K with a number K, all, or the name of a job" in done.stderr


def test_a_run_on_a_gpu_is_not_checkable_without_one(run):
    if shutil.which("nvidia-smi"):
        pytest.skip("there is a GPU here")
    rewrite(
        run / RECORDS / "train-baseline-0.json", lambda record: record["environment"]["torch"].update(gpu="NVIDIA H200")
    )
    found = audited(run, [], again="train-baseline-0")
    assert found.code == 2
    assert "it ran on a GPU (NVIDIA H200)" in found.text("rerun")
