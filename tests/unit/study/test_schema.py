"""The schema of a study's configs says of every setting what its declaration says."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from awduality.audit.science import check_config
from awduality.config import resolve, resolve_file, resolve_files
from awduality.errors import InputError
from awduality.study.contract import Setting
from awduality.study.discovery import study
from awduality.study.plan import canonical, listed
from awduality.study.schema import section_schema, value_schema
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def resolved():
    def of(overlay):
        default, schema = (
            yaml.safe_load((ROOT / path).read_text())
            for path in ("config/config.yaml", "workflow/schemas/config.schema.yaml")
        )
        return resolve(default, overlay, schema)

    return of


def test_limits_and_choices_of_a_setting_are_those_of_its_schema():
    assert value_schema(Setting(int, "Steps", least=60)) == {"type": "integer", "description": "Steps", "minimum": 60}
    assert value_schema(Setting(float, "Rate", above=0, most=1))["exclusiveMinimum"] == 0
    assert value_schema(Setting(float, "Rate", above=0, most=1))["maximum"] == 1
    assert value_schema(Setting(str, "Kind", choices={"a": "A"}))["enum"] == ["a"]


def test_only_settings_with_a_neutral_value_may_be_left_out():
    experiment = section_schema(study("learners"))["properties"]["experiments"]["additionalProperties"]
    assert set(experiment["properties"]) - set(experiment["required"]) == {"noise"}


@given(st.one_of(st.integers(-5, 5), st.lists(st.integers(-5, 5), min_size=1)))
def test_a_value_and_a_list_of_one_are_the_same(values):
    assert listed(values, None) == (values if isinstance(values, list) else [values])


def test_a_setting_that_is_left_out_has_its_neutral_value():
    declared = study("learners")
    values = {"algorithm": "dpsgd", "mixing": "ring", "learners": 2, "learning_rate": 1, "total_batch": 4, "steps": 60}
    assert canonical(declared, {**values, "noise": listed([], 0.0)[0]})["noise"] == 0.0


def test_a_config_that_names_two_studies_is_refused(resolved):
    with pytest.raises(InputError, match="names 2 studies, learners, sweeps: make a config for each"):
        resolved({"name": "mine", "learners": {}, "sweeps": {"width": [10]}})


def test_a_key_that_no_study_has_is_refused_with_a_suggestion(resolved):
    with pytest.raises(InputError, match="unknown key 'lerners'"):
        resolved({"name": "mine", "lerners": {}})


def test_a_config_may_extend_another_of_its_study(tmp_path):
    overlay = {"name": "mine", "extends": "nothing.yaml", "learners": {}}
    with pytest.raises(InputError, match=r"nothing.yaml does not exist in .*studies/learners"):
        resolve_files(ROOT, overlay, [])


def test_a_config_may_extend_one_that_extends_another_but_not_itself(tmp_path):
    config, files = resolve_file(ROOT, "studies/sgd_landscape/mnist.yaml")
    assert config["sgd_landscape"]["ring_steps"] == 30000  # of full.yaml
    assert config["sgd_landscape"]["noisy_loss"] == 0.02  # of quick.yaml
    names = [f"studies/sgd_landscape/{name}.yaml" for name in ("quick", "full", "mnist")]
    assert files == ["config/config.yaml", *names, "workflow/schemas/config.schema.yaml"]
    circle = {"name": "mine", "extends": "circle.yaml", "learners": {}}
    (tmp_path / "studies/learners").mkdir(parents=True)
    (tmp_path / "studies/learners/circle.yaml").write_text("extends: circle.yaml")
    with pytest.raises(InputError, match="circle.yaml extends itself"):
        resolve_files(tmp_path, circle, [])


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "figures").glob("*/origin.json")))
def test_the_files_of_every_committed_config_give_it_again(name):
    origin = json.loads((ROOT / f"figures/{name}/origin.json").read_text())
    sources = {path: [digest] for path, digest in origin["sources"].items()}
    assert list(check_config(ROOT, "origin.json", origin["config"], sources)) == []
