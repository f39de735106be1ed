import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from awduality.errors import InputError
from awduality.runs import Run
from awduality.study.discovery import study_names, study_of
from awduality.study.plan import plan, shards
from studies.sweeps.study import FACTORS, expand, settings_from, sweeps


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


def by_id(config):
    return {run["id"]: run["shard"] for run in plan(config)["runs"]}


def test_every_run_is_planned_once(config):
    ids = [run["id"] for run in plan(config)["runs"]]
    assert len(ids) == len(set(ids))


def test_the_baseline_is_trained_once_and_belongs_to_every_sweep(config):
    baseline = [run for run in plan(config)["runs"] if run["settings"] == settings_from(config["defaults"])]
    assert [run["seed"] for run in baseline] == list(range(config["seeds"]))
    assert all(run["experiments"] == ["baseline", *config["sweeps"]] for run in baseline)


def test_every_other_run_belongs_to_the_one_sweep_whose_factor_it_changes(config):
    for run in plan(config)["runs"]:
        changed = [name for name, value in settings_from(config["defaults"]).items() if run["settings"][name] != value]
        assert run["experiments"] == changed or not changed


def test_a_sweep_holds_the_default_even_if_the_config_does_not_list_it(config):
    config["sweeps"]["learning_rate"] = [0.5]
    assert sweeps(config)["learning_rate"] == [0.1, 0.5]
    asked = [run["settings"]["learning_rate"] for run in plan(config)["runs"] if "learning_rate" in run["experiments"]]
    assert sorted(set(asked)) == [0.1, 0.5]


def test_adding_a_value_moves_no_run_to_another_shard(config):
    before = by_id(config)
    config["sweeps"]["learning_rate"].append(0.07)
    after = by_id(config)
    assert before.items() <= after.items()
    assert len(after) == len(before) + config["seeds"]


def test_adding_seeds_moves_no_run_to_another_shard(config):
    before = by_id(config)
    config["seeds"] += 4
    assert before.items() <= by_id(config).items()


def test_a_sweep_of_nothing_but_the_default_needs_no_shard(config):
    config["sweeps"] = {"width": [30]}
    assert list(shards(config)) == ["baseline-0"]


@given(st.integers(1, 30), st.integers(1, 12))
def test_shards_split_the_seeds_without_loss(seeds, size):
    config = {"seeds": seeds, "seeds_per_shard": size, "sweeps": {}, "defaults": dict.fromkeys(FACTORS, 1)}
    found = shards(config)
    assert [run.seed for runs in found.values() for run in runs] == list(range(seeds))
    assert all(len(runs) <= size for runs in found.values())


def test_the_id_of_a_run_depends_on_its_settings_and_seed_alone(config):
    settings = settings_from(config["defaults"])
    assert Run(settings, 0).id == Run(copy.deepcopy(settings), 0).id
    assert Run(settings, 0).id != Run(settings, 1).id
    assert Run(settings, 0).id != Run({**settings, "dropout": 0.1}, 0).id


def test_equal_numbers_of_different_type_are_the_same_run(config):
    whole = {**config["defaults"], "dropout": 0, "batch_size": 25.0}
    assert Run(settings_from(whole), 0).id == Run(settings_from(config["defaults"]), 0).id


def test_an_unknown_factor_is_refused_instead_of_being_left_out(config):
    with pytest.raises(InputError, match="unknown factor 'momentum': wanted baseline or one of batch_size"):
        list(expand(config["defaults"], "momentum", [0.9], [0]))


def test_a_config_belongs_to_the_study_that_it_names_and_to_no_other(config):
    assert study_of(config) == "sweeps"
    for name in study_names():
        assert study_of({"name": "mine", name: {}}) == name


def test_a_config_that_names_two_studies_or_none_is_refused(config):
    for expand_it in (study_of, plan):
        with pytest.raises(InputError, match=r"'digits' names 2 studies \(learners, sweeps\): wanted one key"):
            expand_it({**config, "learners": {"experiments": {}}})
        with pytest.raises(InputError, match="'mine' names no study: wanted one key of .*sweeps.*, and no other"):
            expand_it({"name": "mine", "seeds_per_shard": 5})
