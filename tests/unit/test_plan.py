import copy

import pytest
import yaml
from awduality.plan import Run, expand, plan, settings_from, shards
from hypothesis import given
from hypothesis import strategies as st

from awduality.errors import InputError


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
    assert all(run["sweeps"] == list(config["sweeps"]) for run in baseline)


def test_a_sweep_holds_the_default_even_if_the_config_does_not_list_it(config):
    config["sweeps"]["learning_rate"] = [0.5]
    assert plan(config)["sweeps"]["learning_rate"] == [0.1, 0.5]


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
    assert [shard.factor for shard in shards(config)] == ["baseline"]


@given(st.integers(1, 30), st.integers(1, 12))
def test_shards_split_the_seeds_without_loss(seeds, size):
    config = {"seeds": seeds, "seeds_per_shard": size, "sweeps": {}, "defaults": {}}
    assert [seed for shard in shards(config) for seed in shard.seeds] == list(range(seeds))


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
