import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from awduality.config import resolve
from awduality.errors import InputError
from awduality.learners import SETTINGS, canonical_settings
from awduality.study.discovery import study as declared
from awduality.study.plan import plan, shards

STUDIES = ("digits-learners", "mnist-learners")
SETTING = {"algorithm": "dpsgd", "mixing": "ring", "learners": 5, "learning_rate": 1, "total_batch": 100, "noise": 0.1}


def read(root, name):
    return yaml.safe_load((root / name).read_text())


@pytest.fixture(scope="module")
def resolved(root):
    def of(overlay):
        return resolve(read(root, "config/config.yaml"), overlay, read(root, "workflow/schemas/config.schema.yaml"))

    return of


@pytest.fixture
def overlay(root):
    return read(root, "config/digits-learners.yaml")


@pytest.fixture
def study(resolved, overlay):
    return resolved(overlay)


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_study_is_planned_once(root, resolved, name):
    config = resolved(read(root, f"config/{name}.yaml"))
    ids = [run["id"] for run in plan(config)["runs"]]
    assert len(ids) == len(set(ids))
    assert {run["shard"] for run in plan(config)["runs"]} == set(shards(config))


def test_the_study_on_mnist_has_at_most_200_trainings(root, resolved):
    assert len(plan(resolved(read(root, "config/mnist-learners.yaml")))["runs"]) <= 200


def test_what_an_algorithm_does_not_use_is_not_part_of_its_settings():
    def settings(algorithm):
        return canonical_settings({**SETTING, "algorithm": algorithm, "steps": 60})

    assert settings("ssgd") | {"learning_rate": 1.0} == {
        "algorithm": "ssgd",
        "mixing": "full",
        "learners": 1,
        "learning_rate": 1.0,
        "total_batch": 100,
        "noise": 0.0,
        "steps": 60,
    }
    assert (settings("ssgd_star")["learners"], settings("ssgd_star")["mixing"]) == (5, "full")
    assert (settings("dpsgd")["mixing"], settings("dpsgd")["noise"]) == ("ring", 0.0)


def test_a_run_that_several_experiments_ask_for_is_trained_once_and_names_them_all(study):
    experiments = study["learners"]["experiments"]
    experiments["extreme"] = {**experiments["large"], "seeds": 8}
    runs = plan(study)["runs"]
    shared = [run for run in runs if run["settings"]["total_batch"] == 400]
    assert len(shared) == 2 * 2 * 8
    assert all(("large" in run["experiments"]) == (run["seed"] < 5) for run in shared)
    assert all("extreme" in run["experiments"] for run in shared)


def test_another_experiment_moves_no_run_to_another_shard(study):
    before = {run["id"]: run["shard"] for run in plan(study)["runs"]}
    more = copy.deepcopy(study)
    more["learners"]["experiments"]["mixings"] = {**study["learners"]["experiments"]["large"], "learning_rate": [0.3]}
    after = {run["id"]: run["shard"] for run in plan(more)["runs"]}
    assert before.items() < after.items()


@given(st.integers(1, 20), st.integers(1, 12))
def test_shards_split_the_seeds_of_a_setting_without_loss(seeds, size):
    experiment = {name: [value] for name, value in SETTING.items()} | {"steps": 60, "seeds": seeds, "noise": []}
    config = {"seeds_per_shard": size, "learners": {"experiments": {"large": experiment}}}
    found = shards(config)
    assert [run.seed for runs in found.values() for run in runs] == list(range(seeds))
    assert all(len(runs) <= size for runs in found.values())


def test_plans_and_shards_of_both_kinds_of_config_come_from_one_place_and_agree(resolved, study):
    for config, asking in ((resolved({}), "width"), (study, "large")):
        found = plan(config)
        assert set(found) == {"runs"}
        planned = [(run["shard"], run["id"]) for run in found["runs"]]
        assert planned == [(name, run.id) for name, runs in shards(config).items() for run in runs]
        assert any(asking in run["experiments"] for run in found["runs"])


def test_the_declaration_names_the_settings_of_the_library_in_their_order_and_types():
    assert {name: setting.kind for name, setting in declared("learners").settings.items()} == dict(SETTINGS)
    assert list(declared("learners").settings) == list(SETTINGS)


def test_a_study_gets_nothing_of_what_only_sweeps_use(study):
    assert set(study) == {"name", "root_seed", "seeds_per_shard", "data", "network", "layers", "learners"}


def test_a_study_that_also_sweeps_factors_is_refused(resolved, overlay):
    message = "sweeps: the config names 2 studies, learners, sweeps: make a config for each"
    for also in ({}, {"training": {"target_loss": 0.1}}):
        with pytest.raises(InputError, match=message):
            resolved({**overlay, "sweeps": {"width": [10]}, **also})


def test_what_only_sweeps_use_is_no_key_of_a_study(resolved, overlay):
    with pytest.raises(InputError, match="unknown key 'training'"):
        resolved({**overlay, "training": {"target_loss": 0.1}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": [0.1]}, r"large.noise: got \[0.1\], wanted values where ssgd_star is trained, and only there"),
        ({"algorithm": ["ssgd_star"]}, r"large.noise: got \[\], wanted values where ssgd_star is trained"),
        ({"learners": [401]}, "large.learners: 401 learners cannot share a total batch of 400: each needs a sample"),
        ({"total_batch": [1201]}, "large.total_batch: 1201 is larger than the 1200 training samples"),
        ({"mixing": ["star"]}, "large.mixing.0: got 'star', wanted one of"),
        ({"seeds": 2.5}, "large.seeds: got 2.5, wanted a value of type integer"),
        ({"momentum": 0.9}, "large: unknown key 'momentum'"),
    ],
)
def test_a_study_that_cannot_be_trained_is_refused_before_anything_runs(resolved, overlay, change, message):
    overlay["learners"]["experiments"]["large"] |= change
    with pytest.raises(InputError, match=message):
        resolved(overlay)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_size": 2000}, "learners.train_size: got 2000, but data.pool.count is 1297"),
        ({"analysed": 1201}, "learners.analysed: got 1201, wanted at most learners.train_size, 1200"),
        ({"target_loss": 0}, "learners.target_loss: got 0, wanted more than 0"),
        ({"experiments": {"huge": {}}}, r"learners.experiments: got 'huge', wanted one of \['large'"),
        ({"experiments": {"large": {"seeds": 1}}}, "large: 'algorithm' is a required property"),
    ],
)
def test_what_a_study_shares_is_checked_too(resolved, overlay, change, message):
    overlay["learners"] |= change
    with pytest.raises(InputError, match=message):
        resolved(overlay)
