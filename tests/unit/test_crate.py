"""The export of a finished run: what the ZIP holds, what its description says, and which runs are refused."""

import hashlib
import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

import pytest

from awduality.crate.metadata import crate_metadata
from awduality.crate.run import METADATA, is_within, project_files, sealed_run, write_crate
from awduality.errors import InputError
from awduality.records import canonical, digest_of
from tests.conftest import ROOT
from tests.crates import ALL_PASSED, outcome, validate
from tests.settings import AUTHORS

COMMIT = "c0ffee00" * 5
RECORDS = Path("results/tiny/records")
CONFIG = {
    "name": "tiny",
    "root_seed": 7,
    "seeds": 1,
    "seeds_per_shard": 1,
    "defaults": AUTHORS,
    "sweeps": {},
    "data": {"source": "digits"},
}


def step(script, *arguments, after=()):
    """Run one script as the pipeline does, with a record."""
    record = RECORDS / f"{script}.json"
    makers = ["--after", *(RECORDS / f"{job}.json" for job in after)] if after else []
    import_module(script).main([str(argument) for argument in [*arguments, "--record", record, *makers]])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A tree in which two steps have been run and sealed."""
    tree = tmp_path_factory.mktemp("crate") / "tree"
    for path in [*project_files(ROOT), "config/config.yaml"]:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tree / path)
    git = {"commit": COMMIT, "dirty": True, "diff_sha256": "d1ff" * 16}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        patch.setattr("awduality.records.git_state", lambda root: git)
        results = Path("results/tiny")
        written = ("--config-out", results / "config.json", "--plan-out", results / "plan.json")
        step("plan", "--config", json.dumps(CONFIG), "--sources", "config/config.yaml", *written)
        part = '{"start":0,"count":100}'
        step(
            "prepare_data",
            *("--source", "digits", "--permutation-seed", 1, "--pool", part, "--test", part),
            *("--smallest-train-size", 100, "--split-out", results / "data/digits.safetensors"),
            *("--card-out", results / "data/digits.json"),
        )
        step("seal", after=["plan", "prepare_data"])
    return tree


@pytest.fixture
def tree(original, tmp_path, monkeypatch):
    """A copy of that tree, where the test may change what it likes."""
    copy = Path(shutil.copytree(original, tmp_path / "tree"))
    monkeypatch.chdir(copy)
    return copy


def export(name="crate.zip"):
    step("crate", "--seal", RECORDS / "seal.json", "--crate-out", name, after=["seal"])
    return Path(name)


def described(crate):
    """The entities of a crate by id."""
    with ZipFile(crate) as archive:
        return {entity["@id"]: entity for entity in json.loads(archive.read(METADATA))["@graph"]}


def many(value):
    return value if isinstance(value, list) else [value]


def ids(value):
    return {reference["@id"] for reference in many(value)}


def read(job):
    return json.loads((RECORDS / f"{job}.json").read_text())


def rewrite(job, record):
    """Write a record with a digest that fits, as somebody does who wants to deceive."""
    content = {key: value for key, value in record.items() if key != "digest"}
    (RECORDS / f"{job}.json").write_text(canonical({**content, "digest": digest_of(content)}) + "\n")


def reseal():
    seal = read("seal")
    for named in seal["after"]:
        named["sha256"] = hashlib.sha256(Path(named["path"]).read_bytes()).hexdigest()
    rewrite("seal", seal)


def test_the_crate_holds_what_the_records_name_and_the_project_and_nothing_else(tree):
    results = {f"results/tiny/{name}" for name in ("config.json", "plan.json", "data/digits.json")}
    results |= {"results/tiny/data/digits.safetensors", "config/config.yaml"}
    records = {f"{RECORDS}/{job}.json" for job in ("plan", "prepare_data", "seal")}
    (tree / "results/tiny/stray.csv").write_text("not of this run")
    with ZipFile(export()) as archive:
        assert archive.namelist() == sorted({*results, *records, *project_files(tree), METADATA})
        assert all(archive.read(name) == (tree / name).read_bytes() for name in results | records)


def test_the_same_run_gives_the_same_bytes_wherever_the_crate_is_unpacked(tree, tmp_path, monkeypatch):
    first = export().read_bytes()
    with ZipFile(tree / "crate.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    monkeypatch.chdir(tmp_path / "unpacked")
    assert export("again.zip").read_bytes() == first


def test_members_have_no_time_and_no_owner(tree):
    with ZipFile(export()) as archive:
        assert {(member.date_time, member.external_attr >> 16) for member in archive.infolist()} == {
            ((1980, 1, 1, 0, 0, 0), 0o100644)
        }


def test_every_file_is_described_with_its_size_and_digest(tree):
    crate = export()
    entities = described(crate)
    with ZipFile(crate) as archive:
        members = {name: archive.read(name) for name in archive.namelist() if name != METADATA}
    assert ids(entities["./"]["hasPart"]) == set(members)
    for name, content in members.items():
        assert "File" in many(entities[name]["@type"])
        assert entities[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert entities[name]["contentSize"] == str(len(content))


def test_every_job_is_an_action_of_its_script_with_inputs_outputs_and_times(tree):
    entities = described(export())
    for job in ("plan", "prepare_data", "seal"):
        record, action = read(job), entities[f"#job/{job}"]
        assert action["instrument"]["@id"] == record["script"]
        assert action["description"] == record["command"]
        assert (action["startTime"], action["endTime"]) == (record["started"], record["ended"])
        assert ids(action["result"]) == {*(file["path"] for file in record["outputs"]), f"{RECORDS}/{job}.json"}
        assert ids(action["object"]) >= {file["path"] for file in record["after"]}
        assert ids(entities[record["script"]]["hasPart"]) == {*record["code"]} - {record["script"]}
    assert "config/config.yaml" in ids(entities["#job/plan"]["object"])


def test_parameters_packages_commit_and_root_seed_are_described(tree):
    entities = described(export())
    config = {entities[name]["name"]: entities[name].get("value") for name in ids(entities["#run"]["object"])}
    assert (config["root_seed"], config["defaults"]) == (7, canonical(AUTHORS))
    assert entities["Snakefile"]["version"] == f"{COMMIT} with changes of SHA-256 {'d1ff' * 16}"
    numpy = read("prepare_data")["environment"]["packages"]["numpy"]
    assert f"#software/numpy-{numpy}" in ids(entities["scripts/prepare_data.py"]["softwareRequirements"])


def test_data_that_lies_elsewhere_is_described_but_not_held(tree):
    entities = described(export())
    names = [file["path"] for file in read("prepare_data")["inputs"]]
    assert len(names) == 2  # pixels and labels
    for name in names:
        (entity,) = (entity for entity in entities.values() if entity.get("name") == name)
        assert entity["@type"] == "CreativeWork"
        assert entity["@id"] in ids(entities["#job/prepare_data"]["object"])
        assert entity["@id"] not in ids(entities["./"]["hasPart"])


def test_the_description_refers_to_nothing_that_it_does_not_hold(tree):
    entities = described(export())
    text = json.dumps(list(entities.values()))
    used = set(re.findall(r'\{"@id": "([^"]*)"\}', text))
    assert used - set(entities) == {"https://w3id.org/ro/crate/1.1"}


def test_the_description_names_no_place_on_this_machine(tree):
    with ZipFile(export()) as archive:
        text = archive.read(METADATA).decode()
    assert str(tree) not in text
    assert str(ROOT) not in text
    assert not re.search(r'": "/', text)


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("results/a/b.csv", True),
        ("my config.yaml", True),
        ("$AWDUALITY_DATA/MNIST/raw/train", False),
        ("(outside)/mine.yaml", False),
        ("sklearn.datasets.load_digits (pixels)", False),
        ("/etc/passwd", False),
        ("results/../../secret", False),
    ],
)
def test_only_paths_within_the_project_are_packed(name, within):
    assert is_within(name) is within


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("results/tiny/plan.json", "plan.json is not the file that the record of 'plan' names: got .* or delete it"),
        ("config/config.yaml", "config.yaml is not the file that the record of 'plan' .* or run `snakemake` again"),
        ("src/awduality/files.py", "files.py is not the file that the record"),
        (f"{RECORDS}/plan.json", "plan.json is not the file that the record of 'seal' names"),
    ],
)
def test_a_run_with_an_altered_file_is_refused(tree, path, message):
    Path(path).write_text(Path(path).read_text().replace("e", "f", 1))
    with pytest.raises(InputError, match=message):
        export()
    assert not Path("crate.zip").exists()


@pytest.mark.parametrize("path", ["results/tiny/data/digits.json", f"{RECORDS}/plan.json", "LICENSE"])
def test_a_run_with_a_missing_file_is_refused(tree, path):
    Path(path).unlink()
    with pytest.raises(InputError, match=f"{path} does not exist, but belongs into the crate"):
        export()


def test_a_run_that_is_not_finished_is_refused(tree):
    (RECORDS / "seal.json").rename("elsewhere.json")
    with pytest.raises(InputError, match="only a finished run can be exported"):
        sealed_run(RECORDS / "seal.json", tree)


def test_another_record_than_the_seal_is_refused(tree):
    with pytest.raises(InputError, match="is the record of 'plan': name seal.json"):
        sealed_run(RECORDS / "plan.json", tree)
    with pytest.raises(InputError, match="plan.json is no record: wanted the fields after"):
        sealed_run(Path("results/tiny/plan.json"), tree)


def test_a_changed_seal_is_refused(tree):
    text = (RECORDS / "seal.json").read_text()
    (RECORDS / "seal.json").write_text(text.replace('"exit_status":0', '"exit_status":1'))
    with pytest.raises(InputError, match="the record of 'seal' was changed after it was written"):
        export()


def test_a_changed_record_is_refused_even_where_the_seal_was_made_to_fit(tree):
    record = read("plan")
    record["started"] = "2020-01-01T00:00:00.000+00:00"
    (RECORDS / "plan.json").write_text(canonical(record) + "\n")
    reseal()
    with pytest.raises(InputError, match="the record of 'plan' was changed after it was written"):
        export()


def test_jobs_that_ran_different_code_are_refused(tree):
    record = read("plan")
    record["code"]["src/awduality/files.py"] = "0" * 64
    rewrite("plan", record)
    reseal()
    with pytest.raises(InputError, match=r"files.py was not the same for all jobs: got \w+ in the record of"):
        export()


def test_a_file_that_changes_while_it_is_packed_leaves_the_former_crate_as_it_was(tree):
    run = sealed_run(RECORDS / "seal.json", tree)
    Path("crate.zip").write_text("former")
    Path("results/tiny/plan.json").write_text("{}")
    with pytest.raises(InputError, match="plan.json is not the file"):
        write_crate(Path("crate.zip"), run, crate_metadata(run, tree), tree)
    assert Path("crate.zip").read_text() == "former"


def test_the_crate_passes_every_required_check_of_the_public_validator(tree, tmp_path):
    assert outcome(validate(export(), tmp_path / "cache")) == ALL_PASSED


def test_a_crate_without_what_the_profile_requires_fails_the_public_validator(tree, tmp_path):
    run = sealed_run(RECORDS / "seal.json", tree)
    metadata = crate_metadata(run, tree)
    (action,) = (entity for entity in metadata["@graph"] if entity["@id"] == "#job/plan")
    del action["instrument"]
    write_crate(Path("crate.zip"), run, metadata, tree)
    result = validate(Path("crate.zip"), tmp_path / "cache")
    assert not result.passed()
    assert any("MUST have an instrument property" in issue.message for issue in result.get_issues())
