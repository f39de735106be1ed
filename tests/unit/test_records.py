"""Records: what they say of a step, in which form, and what they keep to themselves."""

import argparse
import hashlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awduality.commandline import parse, recorded
from awduality.environment import VARIABLES, environment, git_state
from awduality.errors import InputError
from awduality.files import read_json, read_text, write_text
from awduality.ledger import current
from awduality.provenance import background, check_whole, numerics_class, origin, provenance
from awduality.records import PLUMBING, canonical, digest_of, figure_digest, file_name
from awduality.streams import stream

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def step(argv=None):
    """A step as scripts write them: reads a file, draws numbers, writes a file."""
    parser = argparse.ArgumentParser(prog="scripts/step.py")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--target", type=Path)
    parser.add_argument("--level", type=float)
    parser.add_argument("--names", nargs="+", default=["a"])
    arguments = parse(parser, argv)
    stream(1, "init", 0).random(5)
    stream(1, "init", 0).random(7)
    stream(1, "order", 3).random(2)
    write_text(arguments.target, read_text(arguments.source).upper())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with one script, one input and the record of an earlier step."""
    for path, text in (("scripts/step.py", "pass\n"), ("in.txt", "abc"), ("records/before.json", "{}")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AWDUALITY_DATA", raising=False)
    return tmp_path


OPTIONS = ("--source", "in.txt", "--target", "out.txt", "--level", "0.5")


def record_of(project, *options):
    recorded(step)([*OPTIONS, *options, "--record", "records/step.json", "--after", "records/before.json"])
    return read_json(project / "records/step.json")


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_record_says_what_was_read_and_written_with_digests(project):
    record = record_of(project)
    assert record["inputs"] == [{"path": "in.txt", "bytes": 3, "sha256": sha(project / "in.txt")}]
    assert record["outputs"] == [{"path": "out.txt", "bytes": 3, "sha256": sha(project / "out.txt")}]
    assert record["after"] == [{"path": "records/before.json", "sha256": sha(project / "records/before.json")}]
    assert record["job"] == "step"


def test_a_record_says_what_ran_with_which_parameters(project):
    record = record_of(project)
    assert record["parameters"] == {"level": 0.5, "names": ["a"]}
    assert record["command"].startswith("python scripts/step.py --source in.txt --target out.txt --level 0.5")
    assert record["code"]["scripts/step.py"] == sha(project / "scripts/step.py")
    package = {path for path in record["code"] if path.startswith("src/awduality/")}
    assert {"src/awduality/records.py", "src/awduality/streams.py"} <= package


def test_a_record_counts_every_stream_once_with_the_furthest_draw(project):
    drawn = [(e["purpose"], e["index"], e["opened"], e["words"]) for e in record_of(project)["streams"]]
    assert drawn == [("init", 0, 2, 7), ("order", 3, 1, 2)]


def test_a_record_is_canonical_and_closes_with_its_own_digest(project):
    record = record_of(project)
    text = (project / "records/step.json").read_text()
    assert text == canonical(record) + "\n"
    check_whole(record)
    content = {key: value for key, value in record.items() if key != "digest"}
    assert record["digest"] == hashlib.sha256(canonical(content).encode()).hexdigest()


def test_a_record_that_was_changed_is_refused(project):
    record = record_of(project)
    with pytest.raises(InputError, match="the record of 'step' was changed after it was written"):
        check_whole({**record, "started": "2020-01-01T00:00:00+00:00"})


def test_the_same_step_leaves_the_same_record_but_for_times(project):
    one, two = (record_of(project) for _ in range(2))
    moments = ("started", "ended", "digest")
    assert {k: v for k, v in one.items() if k not in moments} == {k: v for k, v in two.items() if k not in moments}


def test_a_step_that_fails_leaves_no_record(project):
    (project / "in.txt").unlink()
    with pytest.raises(FileNotFoundError):
        record_of(project)
    assert not (project / "records/step.json").exists()


def test_a_step_without_a_record_asked_for_leaves_none(project):
    recorded(step)(list(OPTIONS))
    assert (project / "out.txt").read_text() == "ABC"
    assert [path.name for path in (project / "records").iterdir()] == ["before.json"]


def test_outside_a_step_nothing_is_noted(project):
    assert current() is None
    read_text(project / "in.txt")
    stream(1, "init", 0)
    assert current() is None


def test_a_record_names_no_host_user_home_or_other_variable(project, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "swordfish")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    record = record_of(project, "--names", str(project / "in.txt"), "/somewhere/else/x.txt")
    text = canonical({**record, "parameters": {}})
    assert record["environment"]["variables"]["OMP_NUM_THREADS"] == "3"
    assert set(record["environment"]["variables"]) <= set(VARIABLES)
    for private in ("swordfish", str(project), os.uname().nodename, str(Path.home())):
        assert private not in text
    assert "--names in.txt '(outside)/x.txt'" in record["command"]


def test_a_path_that_leads_out_of_the_project_tells_no_folder(project):
    record = record_of(project, "--names", "../../home/alice/mine.yaml")
    assert "alice" not in canonical({**record, "parameters": {}})
    assert "(outside)/mine.yaml" in record["command"]


def test_code_and_commit_are_those_at_the_beginning_of_a_step(project, monkeypatch):
    before = sha(project / "scripts/step.py")

    def edited_meanwhile(argv):
        step(argv)
        (project / "scripts/step.py").write_text("edited while the step ran\n")

    recorded(edited_meanwhile)([*OPTIONS, "--record", "records/step.json"])
    assert read_json(project / "records/step.json")["code"]["scripts/step.py"] == before


def test_a_folder_that_is_a_link_to_another_disk_keeps_its_name(project, tmp_path_factory):
    (project / "results").symlink_to(tmp_path_factory.mktemp("disk"), target_is_directory=True)
    recorded(step)(["--source", "in.txt", "--target", "results/out.txt", "--record", "results/step.json"])
    assert [entry["path"] for entry in read_json(project / "results/step.json")["outputs"]] == ["results/out.txt"]


@pytest.mark.parametrize("root", ["..", "", "."])
def test_a_data_root_around_the_project_takes_no_file_from_it(project, monkeypatch, root):
    monkeypatch.setenv("AWDUALITY_DATA", root)
    assert file_name(project / "results/a.csv", project) == "results/a.csv"


def test_files_are_named_within_the_project_then_the_data_root_then_by_name_alone(
    project, monkeypatch, tmp_path_factory
):
    data = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("AWDUALITY_DATA", str(data))
    assert file_name(project / "a/b.csv", project) == "a/b.csv"
    assert file_name(data / "MNIST/raw/x", project) == "$AWDUALITY_DATA/MNIST/raw/x"
    assert file_name(data.parent / "mine.yaml", project) == "(outside)/mine.yaml"
    assert file_name("sklearn.datasets.load_digits (pixels)", project) == "sklearn.datasets.load_digits (pixels)"
    monkeypatch.delenv("AWDUALITY_DATA")
    assert file_name(project / "data/MNIST/raw/x", project) == "$AWDUALITY_DATA/MNIST/raw/x"


@given(VALUES)
def test_canonical_json_reads_back_to_the_same_value_and_the_same_bytes(value):
    assert canonical(json.loads(canonical(value))) == canonical(value)


def test_the_packages_are_those_that_the_standard_library_finds(root):
    """Against the slower way, in a process that has loaded what a training job loads."""
    check = (
        "import json, sys\n"
        "import torch, sklearn, yaml, pandas, matplotlib, seaborn, PIL, statsmodels.api\n"
        "from importlib.metadata import packages_distributions, version\n"
        "from awduality.environment import imported_packages\n"
        "loaded = {n: getattr(m, '__file__', '') or '' for n, m in sys.modules.items() if '.' not in n}\n"
        "here = {n for n, file in loaded.items() if 'site-packages' in file}\n"
        "slow = {d for n in here for d in packages_distributions().get(n, [])}\n"
        "print(json.dumps([dict(imported_packages()), {d: version(d) for d in slow}]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, "-c", check], env=environment, capture_output=True, text=True, check=True)
    quick, slow = json.loads(done.stdout)
    normal = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in slow.items()}
    normal.pop("awduality", None)
    assert quick == normal
    assert {"torch", "scikit-learn", "pyyaml", "pillow", "python-dateutil"} <= set(quick)


def test_the_environment_names_build_threads_and_instruction_set():
    found = environment()
    assert found["torch"]["build"] == importlib.metadata.version("torch")
    assert found["torch"]["threads"] == 1
    assert found["torch"]["gpu"] is None or isinstance(found["torch"]["gpu"], str)
    assert any(library["kernels"] for library in found["libraries"])


def git(folder, *arguments):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_state_of_the_repository_is_clean_dirty_or_unknown(project):
    assert git_state(project) == {"commit": None, "dirty": None, "diff_sha256": None}
    git(project, "init")
    git(project, "add", ".")
    git(project, "commit", "-m", "all")
    clean = git_state(project)
    assert re.fullmatch("[0-9a-f]{40}", clean["commit"])
    assert (clean["dirty"], clean["diff_sha256"]) == (False, None)
    (project / "figures").mkdir()
    (project / "figures/new.svg").write_text("untracked")
    assert git_state(project) == clean
    (project / "in.txt").write_text("changed")
    dirty = git_state(project)
    assert dirty["dirty"] is True
    assert dirty["commit"] == clean["commit"]
    assert len(dirty["diff_sha256"]) == 64


CODE = {"scripts/draw.py": "1", "src/awduality/figures/style.py": "2", PLUMBING[0]: "3"}


def test_a_figure_id_depends_on_drawing_code_parameters_and_numbers_and_on_nothing_else():
    one = figure_digest(CODE, {"figure": "size"}, {"runs.csv": "4"})
    assert figure_digest({**CODE, PLUMBING[0]: "other"}, {"figure": "size"}, {"runs.csv": "4"}) == one
    assert figure_digest({**CODE, "scripts/draw.py": "other"}, {"figure": "size"}, {"runs.csv": "4"}) != one
    assert figure_digest(CODE, {"figure": "gap"}, {"runs.csv": "4"}) != one
    assert figure_digest(CODE, {"figure": "size"}, {"runs.csv": "5"}) != one


def test_every_file_of_the_plumbing_exists(root):
    assert all((root / path).is_file() for path in PLUMBING)


TORCH = {"build": "2.13.0", "gpu": None, "instruction_set": "AVX512", "threads": 1}


def job(name, inputs, outputs, torch=None, **changes):
    """A record as ``provenance`` reads them."""
    environment = {"packages": {"numpy": "2.4.6"}, "python": "3.11", "torch": torch, "libraries": [{"kernels": "Zen"}]}
    entries = [
        [{"path": path, "bytes": 1, "sha256": digest} for path, digest in files.items()] for files in (inputs, outputs)
    ]
    record = {"job": name, "script": f"scripts/{name}.py", "inputs": entries[0], "outputs": entries[1], "code": CODE}
    return {**record, "environment": environment, "parameters": {"figure": "size"}, **changes}


def test_the_origin_tells_sources_results_and_tables_apart():
    jobs = [
        job("plan", {"config/config.yaml": "a"}, {"results/x/plan.json": "b"}),
        job("figure_numbers", {"results/x/plan.json": "b"}, {"figures/x/runs.csv": "c"}, torch=TORCH),
    ]
    found = origin(jobs, {"name": "x"})
    assert found["sources"] == {"config/config.yaml": "a"}
    assert found["results"] == {"results/x/plan.json": "b"}
    assert found["tables"] == {"figures/x/runs.csv": "c"}
    assert found["numerics"] == ["torch 2.13.0 on CPU, AVX512, BLAS Zen, 1 threads"]
    assert found["packages"] == {"numpy": ["2.4.6"]}


def test_the_provenance_of_a_figure_leads_to_its_id():
    drawn = job("draw", {"figures/x/runs.csv": "c"}, {"figures/x/size.png": "d"})
    found = provenance([drawn], ("figures/x/origin.json", "o"), {"figures/x/runs.csv": "c"})
    figure = found["figures"]["size"]
    assert PLUMBING[0] not in figure["code"]
    assert (
        figure_digest({path: CODE[path] for path in figure["code"]}, figure["parameters"], figure["numbers"])
        == figure["id"]
    )
    assert found["files"] == {"figures/x/origin.json": "o", "figures/x/runs.csv": "c", "figures/x/size.png": "d"}


def test_a_figure_drawn_from_other_numbers_than_those_that_lie_there_is_refused():
    drawn = job("draw", {"figures/x/runs.csv": "old"}, {"figures/x/size.png": "d"})
    with pytest.raises(InputError, match="figures/x/runs.csv has changed since 'draw' read it"):
        provenance([drawn], ("figures/x/origin.json", "o"), {"figures/x/runs.csv": "new"})


def test_jobs_that_ran_different_code_show_as_such():
    jobs = [job("train", {}, {}), job("geometry", {}, {}, code={**CODE, "scripts/draw.py": "9"})]
    assert PLUMBING[0] not in background(jobs)["code"]
    assert background(jobs)["code"]["scripts/draw.py"] == ["1", "9"]


def test_threads_instruction_set_device_and_kernels_make_a_class_of_numerics():
    changes = [("threads", 1), ("threads", 2), ("instruction_set", "AVX2"), ("gpu", "H200"), ("build", "2.14")]
    classes = {numerics_class(job("train", {}, {}, torch={**TORCH, key: value})) for key, value in changes}
    assert len(classes) == 5
    assert numerics_class(job("plan", {}, {})) is None


def test_digests_of_equal_values_are_equal_whatever_the_order_of_keys():
    assert digest_of({"a": 1, "b": [0.1]}) == digest_of({"b": [0.1], "a": 1})
