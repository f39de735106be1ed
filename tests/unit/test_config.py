import copy

import pytest
import yaml

from awduality.config import merged, resolve
from awduality.errors import InputError
from tests.settings import SHIPPED

OVERLAYS = [name for name in SHIPPED if name != "config"]


@pytest.fixture(scope="module")
def default(root):
    return yaml.safe_load((root / "config/config.yaml").read_text())


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())


def test_the_default_config_is_valid(default, schema):
    assert resolve(default, {}, schema)["name"] == "digits"


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_shipped_config_is_valid(root, default, schema, name):
    overlay = yaml.safe_load((root / f"config/{name}.yaml").read_text())
    assert resolve(default, overlay, schema)["name"] == name


@pytest.mark.parametrize("name", ["cifar10", "cifar10-cnn", "cifar10-learners"])
def test_the_jpeg_copy_differs_from_the_official_images_in_name_and_source_only(root, name):
    official, copied = (
        yaml.safe_load((root / f"config/{name.replace('cifar10', prefix)}.yaml").read_text())
        for prefix in ("cifar10", "cifar10-jpeg")
    )
    assert copied["data"].pop("folder") == "cifar10-jpeg.tar"
    assert copied.pop("name") == official.pop("name").replace("cifar10", "cifar10-jpeg")
    assert (copied["data"].pop("source"), official["data"].pop("source")) == ("image_folder", "cifar10")
    assert copied == official


def test_an_overlay_replaces_the_sweeps_whole(default, schema):
    config = resolve(default, {"name": "mine", "sweeps": {"width": [10]}}, schema)
    assert list(config["sweeps"]) == ["width"]


def test_an_overlay_is_merged_key_by_key_elsewhere(default, schema):
    config = resolve(default, {"name": "mine", "training": {"max_steps": 7}}, schema)
    assert config["training"] == {**default["training"], "max_steps": 7}


def test_how_the_work_is_divided_needs_no_name_of_its_own(default, schema):
    assert resolve(default, {"train_together": True}, schema) == {**default, "train_together": True}


def test_resolving_leaves_its_arguments_alone(default, schema):
    before = copy.deepcopy(default)
    resolve(default, {"name": "mine", "training": {"max_steps": 7}}, schema)
    assert default == before


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"defaults": {"learning_rat": 0.1}}, "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ({"seed": 3}, "unknown key 'seed'; did you mean 'seeds'"),
        ({"sweeps": {"momentum": [0.9]}}, "unknown key 'momentum'"),
        ({"defaults": {"learning_rate": -0.1}}, r"defaults.learning_rate: got -0.1, wanted more than 0"),
        ({"sweeps": {"learning_rate": [0.1, -1]}}, r"sweeps.learning_rate.1: got -1, wanted more than 0"),
        ({"seeds": "five"}, "seeds: got 'five', wanted a value of type integer"),
        ({"training": {"target_loss": "1e-3"}}, "YAML reads this as text: write 0.001"),
        ({"defaults": {"dropout": 1.0}}, "dropout: got 1.0, wanted less than 1"),
        ({"sweeps": {"train_size": [5000]}}, "needs 5000 training samples .* data.pool.count is 1297"),
        ({"sweeps": {"label_noise": [0.5]}}, r"needs 1600 training samples \(800 clean, 800 mislabelled\)"),
        (
            {"sweeps": {"label_noise": [0.01]}},
            "label noise 0.01 adds no sample to 800: they are added by tens",
        ),
        ({"sweeps": {"batch_size": [801]}}, "a batch of 801 is larger than the 800 training samples"),
        ({"layers": ["fc4"]}, "layers: got 'fc4', wanted fully connected layers of the network: fc1, fc2, fc3"),
        ({"sweeps": {}}, "sweeps: got {}, wanted at least 1 entries"),
        ({"seeds": "1e1"}, "YAML reads this as text: write 10$"),
        (
            {"defaults": {"train_size": 5000}},
            "defaults: needs 5000 training samples",
        ),
        ({"seeds": 2.0}, "seeds: got 2.0, wanted a value of type integer"),
        ({"training": {"target_loss": float("inf")}}, "got inf, wanted a finite number"),
        ({"defaults": {"learning_rate": float("nan")}}, "got nan, wanted a finite number"),
        ({"sweeps": None}, "sweeps: got None, wanted a value of type object"),
        ({"data": {"source": "imagenet"}}, "wanted one of"),
        ({"data": {"source": "image_folder"}}, "data.folder: got none, wanted the folder or .tar file of your images"),
        ({"data": {"source": "mnist", "folder": "mine"}}, "data.folder: got 'mine', wanted none, since .* is mnist"),
        ({"data": {"source": "image_folder", "folder": ""}}, "data.folder: got '', wanted some text"),
        ({"data": {"source": "image_folder", "folder": 3}}, r"data.folder: got 3, wanted a value of type"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_got_and_wanted(default, schema, overlay, message):
    with pytest.raises(InputError, match=message):
        resolve(default, {"name": "mine", **overlay}, schema)


def test_a_config_may_name_a_folder_of_images(default, schema):
    overlay = {"name": "mine", "data": {"source": "image_folder", "folder": "my images"}}
    assert resolve(default, overlay, schema)["data"] == {**default["data"], **overlay["data"]}


def test_no_folder_and_a_folder_that_is_null_are_the_same(default, schema):
    assert resolve(default, {"data": {"folder": None}}, schema) == resolve(default, {}, schema) == default


def test_options_that_are_left_out_or_null_leave_a_config_as_it_is(default, schema):
    data = {"test": {"of": "test"}, "folder": None, "subset_per_seed": False}
    options = {"data": data, "training": {"check_every": None, "loss": "cross_entropy"}}
    assert resolve(default, options, schema) == resolve(default, {}, schema)


def test_a_subset_per_seed_is_for_studies_that_give_every_seed_its_own_samples(root, default, schema):
    subsets = {"name": "mine", "data": {"subset_per_seed": True}}
    assert resolve(default, subsets, schema)["data"] == {**default["data"], "subset_per_seed": True}
    learners = yaml.safe_load((root / "config/digits-learners.yaml").read_text())
    with pytest.raises(InputError, match=r"data\.subset_per_seed: got true, wanted false: in learners all seeds"):
        resolve(default, merged(learners, subsets), schema)


def test_a_config_may_test_on_training_samples_beside_its_pool_and_not_in_it(default, schema):
    test = {"of": "train", "start": 1000, "count": 200}
    found = resolve(default, {"name": "held", "data": {"pool": {"count": 1000}, "test": test}}, schema)
    assert found["data"]["test"] == test
    with pytest.raises(InputError, match=r"data\.test: samples 1000 to 1199 .* data\.pool has 0 to 1296"):
        resolve(default, {"name": "held", "data": {"test": test}}, schema)


def test_all_problems_are_reported_at_once(default, schema):
    with pytest.raises(InputError) as caught:
        resolve(default, {"name": "mine", "seeds": 0, "root_seed": -1}, schema)
    assert "seeds:" in str(caught.value)
    assert "root_seed:" in str(caught.value)


@pytest.mark.parametrize("overlay", [{"seeds": 3}, {"name": "digits", "seeds": 3}])
def test_a_changed_config_must_have_a_name_of_its_own(default, schema, overlay):
    with pytest.raises(InputError, match="give it a name of its own"):
        resolve(default, overlay, schema)


def test_the_default_config_may_be_named_explicitly(default, schema):
    assert resolve(default, default, schema) == resolve(default, {}, schema)


def test_the_default_config_agrees_with_the_schemas_defaults(default, schema):
    def leaves(properties, values):
        for key, entry in properties.items():
            if "properties" in entry and key != "sweeps":
                yield from leaves(entry["properties"], values[key])
            elif key != "sweeps":
                yield key, entry.get("default"), values.get(key)  # neither, for options that are not used

    for key, documented, actual in leaves(schema["properties"], default):
        assert documented == actual, key
