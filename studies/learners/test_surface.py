"""The loss surface of a study: which solutions are shown, and that every point is the network that it says."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from awduality.errors import InputError
from awduality.files import read_table, write_arrays, write_json, write_table
from awduality.networks import from_weights, weight_shapes
from awduality.runs import Run
from awduality.study.plan import plan
from awduality.training import surface as library
from awduality.training.multilearner import LearnerTraining, train_learners
from awduality.training.surface import Plane, surface
from studies.learners.surface import shown_pair
from tests.study_calls import study_step

CPU = torch.device("cpu")
TRAINING = LearnerTraining(weight_shapes(64, 10, 8, 2), root_seed=3, train_size=150, target_loss=1.5)
EXPERIMENT = {"algorithm": ["ssgd", "dpsgd"], "mixing": ["ring", "full"], "learners": [4, 3], "noise": []}
EXPERIMENT |= {"learning_rate": [0.2, 0.4], "total_batch": [30], "steps": 90, "seeds": 2}
CONFIG = {"name": "study", "seeds_per_shard": 2, "data": {"source": "digits"}}
CONFIG |= {"learners": {"experiments": {"large": EXPERIMENT}}}


@pytest.fixture(scope="module")
def planned():
    return plan(CONFIG)["runs"]


@pytest.fixture(scope="module")
def solutions(digits):
    """SSGD and DPSGD of one seed, trained for a moment."""
    settings = {"mixing": "ring", "learners": 3, "learning_rate": 0.4, "total_batch": 30, "noise": 0.0, "steps": 90}
    runs = {name: Run(settings | {"algorithm": name}, 0) for name in ("ssgd", "dpsgd")}
    return {name: train_learners([run], digits, TRAINING, CPU)[0] for name, run in runs.items()}


@pytest.fixture(scope="module")
def weights(solutions):
    return {name: dict(zip(TRAINING.shapes, found.weights, strict=True)) for name, found in solutions.items()}


@pytest.fixture(scope="module")
def plane(weights):
    return Plane.through(weights["ssgd"], weights["dpsgd"], 3, 0)


@pytest.fixture(scope="module")
def rows(plane, digits):
    return surface(plane, digits, 150, CPU, points=7)


def test_the_losses_of_the_solutions_are_those_recorded_in_training(rows, solutions):
    by_name = {row["point"]: row for row in rows}
    for name, found in solutions.items():
        at = list(found.history["step"]).index(found.step)
        assert by_name[name]["train_loss"] == pytest.approx(found.history["train_loss"][at], rel=1e-12)
        assert by_name[name]["test_error"] == pytest.approx(1 - found.history["test_accuracy"][at], abs=1e-12)
    assert by_name["initial"]["train_loss"] == pytest.approx(solutions["ssgd"].course["train_loss"][0], rel=1e-6)


def test_every_point_of_the_grid_is_the_network_at_its_coordinates(rows, plane, digits):
    x, y = (torch.from_numpy(axis) for axis in plane.axes)
    (inputs, labels), (test, truth) = (
        (torch.from_numpy(a), torch.from_numpy(b)) for a, b in (digits.train(150), digits.test)
    )
    assert len(rows) == 3 + 7 * 7
    for row in rows[3::5]:
        flat = (torch.from_numpy(plane.ssgd).double() + row["x"] * x + row["y"] * y).float()
        parts = flat.split([a * b for a, b in TRAINING.shapes.values()])
        named = {
            name: part.view(TRAINING.shapes[name]).numpy() for name, part in zip(TRAINING.shapes, parts, strict=True)
        }
        model = from_weights(named)
        with torch.no_grad():
            assert row["train_loss"] == pytest.approx(float(cross_entropy(model(inputs), labels)), rel=1e-5)
            assert row["test_error"] == pytest.approx(float((model(test).argmax(1) != truth).double().mean()), abs=1e-6)


def test_coordinates_are_distances_between_networks(plane):
    points = {name: np.array(place) for name, place in plane.points.items()}
    for one, other in (("ssgd", "dpsgd"), ("ssgd", "initial"), ("dpsgd", "initial")):
        distance = np.linalg.norm(getattr(plane, one).astype(float) - getattr(plane, other))
        assert np.linalg.norm(points[one] - points[other]) == pytest.approx(distance, rel=1e-9)
    assert tuple(points["ssgd"]) == (0, 0)
    assert points["dpsgd"][1] == 0 < points["dpsgd"][0]
    assert points["initial"][1] > 0


def test_the_grid_is_square_and_holds_the_points_with_a_margin(rows):
    grid, exact = rows[3:], rows[:3]
    sides = {axis: max(row[axis] for row in grid) - min(row[axis] for row in grid) for axis in "xy"}
    assert sides["x"] == pytest.approx(sides["y"])
    for axis in "xy":
        assert min(row[axis] for row in grid) < min(row[axis] for row in exact)
        assert max(row[axis] for row in grid) > max(row[axis] for row in exact)


def test_numbers_do_not_depend_on_how_many_networks_are_held_at_once(rows, plane, digits, monkeypatch):
    monkeypatch.setattr(library, "_NUMBERS", 1)
    one_by_one = surface(plane, digits, 150, CPU, points=7)
    assert [row["train_loss"] for row in one_by_one] == pytest.approx([row["train_loss"] for row in rows], rel=1e-6)
    assert [row["test_error"] for row in one_by_one] == pytest.approx([row["test_error"] for row in rows], abs=0.011)


def test_no_more_training_samples_than_the_limit_are_used(plane, digits, monkeypatch):
    monkeypatch.setattr(library, "SAMPLES", 60)
    limited, fewer = surface(plane, digits, 150, CPU, points=2), surface(plane, digits, 60, CPU, points=2)
    assert limited == fewer


def test_networks_on_a_line_span_no_plane(plane):
    for same in (plane.ssgd, (plane.ssgd + plane.initial) / 2):
        with pytest.raises(InputError, match="on a line"):
            Plane(plane.shapes, plane.ssgd, same, plane.initial).axes  # noqa: B018


def test_the_largest_rate_and_batch_is_shown_with_the_first_mixing_and_fewest_learners(planned):
    one, other = shown_pair(planned, dict.fromkeys([run["id"] for run in planned], "converged"))
    assert (one["settings"]["algorithm"], one["settings"]["learning_rate"], one["seed"]) == ("ssgd", 0.4, 0)
    assert other["settings"] == {**one["settings"], "algorithm": "dpsgd", "mixing": "ring", "learners": 3}


def test_a_setting_at_which_one_of_the_two_failed_is_not_shown(planned):
    for algorithm in ("ssgd", "dpsgd"):
        stopped = {
            run["id"]: "budget"
            if (run["settings"]["algorithm"], run["settings"]["learning_rate"]) == (algorithm, 0.4)
            else "converged"
            for run in planned
        }
        assert [run["settings"]["learning_rate"] for run in shown_pair(planned, stopped)] == [0.2, 0.2]


def test_without_a_pair_of_the_lowest_seed_there_is_nothing_to_show(planned):
    stopped = {run["id"]: "budget" if run["seed"] == 0 else "converged" for run in planned}
    assert shown_pair(planned, stopped) is None
    assert shown_pair([run | {"experiments": ["small"]} for run in planned], stopped) is None


def test_the_script_writes_the_same_bytes_twice_and_only_a_header_without_a_pair(
    planned, solutions, weights, digits_file, tmp_path
):
    first = [run for run in planned if run["seed"] == 0]
    write_json(tmp_path / "plan.json", {"runs": first})
    write_json(tmp_path / "config.json", CONFIG)

    def write(stop):
        for run in first:
            trained = weights[run["settings"]["algorithm"]]
            write_table(tmp_path / f"runs/{run['shard']}.csv", [{"run": run["id"], "ended": stop}])
            arrays = {f"{run['id']}/weights/{name}": layer for name, layer in trained.items()}
            write_arrays(tmp_path / f"runs/{run['shard']}.safetensors", arrays)
        asked, before = {"train_size": 150, "root_seed": 3}, {"train_learners": tmp_path / "runs"}
        study_step("learners", "surface", tmp_path, tmp_path, asked, before, digits_file)
        return (tmp_path / "surface.csv").read_bytes()

    assert len(write("budget").splitlines()) == 1
    assert write("converged") == write("converged")
    table = read_table(tmp_path / "surface.csv")
    assert len(table) == 3 + 41 * 41
    assert [row["point"] for row in table[:4]] == ["ssgd", "dpsgd", "initial", ""]
    at = list(solutions["dpsgd"].history["step"]).index(solutions["dpsgd"].step)
    assert float(table[1]["train_loss"]) == pytest.approx(solutions["dpsgd"].history["train_loss"][at], rel=1e-12)
    assert (table[0]["learning_rate"], table[0]["learners"], table[0]["samples"]) == ("0.4", "3", "150")
