"""What a decomposition says of itself, and that it can be kept and compared."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import awduality
from awduality import Decomposition, InputError, decompose
from awduality.duality.summary import COLUMNS, summary

NUMBER = st.floats(allow_nan=False, allow_infinity=False, width=64)


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(85, 6, generator=generator)
    targets = torch.arange(85) % 3
    return (inputs[:60], targets[:60]), (inputs[60:], targets[60:])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)).eval()


@pytest.fixture(scope="module")
def whole(model, samples):
    return decompose(model, "2", *samples)


@pytest.fixture(scope="module")
def truncated(model, samples):
    return decompose(model, "2", *samples, top=3)


def test_it_is_printed_in_three_lines_that_name_the_layer_and_the_numbers(whole, truncated):
    text = repr(whole)
    assert len(text.splitlines()) == 3
    assert max(map(len, text.splitlines())) < 140
    for words in (
        "layer '2'",
        "12 directions",
        "24 pairs (1 more",
        f"gap {whole.gap:.4g}",
        f"λ₁ {whole.eigenvalues[0]:.4g}",
    ):
        assert words in text
    assert "directions left out" not in text
    assert "3 directions of 12" in repr(truncated)
    assert f"directions left out {truncated.remainder:.4g}" in repr(truncated)


def test_the_parts_that_are_printed_are_those_of_the_estimate(whole, truncated):
    for result in (whole, truncated):
        parts = repr(result).splitlines()[1].split("of which ")[1].split("; ")
        assert sum(float(part.split()[-1]) for part in parts) == pytest.approx(result.estimate, rel=1e-3)


def test_whether_all_directions_are_there_is_known(whole, truncated):
    assert whole.complete
    assert not truncated.complete
    assert truncated.weights == whole.weights == 12


def test_the_summary_is_the_row_of_the_pipeline(whole):
    found = whole.summary(4)
    assert {name: found[name] for name in found if name != "layer"} == pytest.approx(summary(whole, 4), nan_ok=True)
    assert set(found) <= {*COLUMNS}


def test_the_summary_of_some_directions_leaves_out_what_needs_all(truncated, whole):
    left_out = set(whole.summary()) - set(truncated.summary())
    assert {"flat_part", "sigma_w_norm", "rank"} <= left_out
    assert truncated.summary()["trace"] == pytest.approx(whole.summary()["trace"])


def test_the_frame_has_every_direction_by_sharpness(whole):
    frame = whole.to_frame()
    assert len(frame) == 12
    assert sorted(frame.index) == list(range(12))
    assert frame.loc[frame["above"], "sigma_g"].is_monotonic_decreasing
    assert frame["contribution"].sum() + frame["mean_term"].sum() == pytest.approx(whole.estimate)
    assert frame.loc[0, "eigenvalue"] == whole.eigenvalues[0]
    pairs = whole.pairs_to_frame()
    assert (pairs["test_loss"] - pairs["train_loss"]).mean() == pytest.approx(whole.estimate)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_what_is_saved_is_loaded_equal_to_the_bit(whole, truncated, tmp_path, suffix):
    for name, result in (("whole", whole), ("truncated", truncated)):
        path = tmp_path / f"{name}{suffix}"
        result.save(path)
        found = Decomposition.load(str(path))
        assert found == result
        assert found.estimate == result.estimate
        before = path.read_bytes()
        found.save(path)
        assert path.read_bytes() == before


@given(number=NUMBER, suffix=st.sampled_from([".safetensors", ".json"]))
@settings(max_examples=30, deadline=None)
def test_every_finite_number_survives(whole, tmp_path_factory, number, suffix):
    result = replace(whole, gap=number, dual_norm=np.full_like(whole.dual_norm, number))
    path = tmp_path_factory.mktemp("saved") / f"it{suffix}"
    result.save(path)
    assert Decomposition.load(path) == result


def test_equality_is_a_truth_value_and_sees_every_field(whole):
    assert whole == replace(whole)
    assert whole != 3
    for field in fields(whole):
        value = getattr(whole, field.name)
        other = value + "x" if isinstance(value, str) else value + 1
        assert whole != replace(whole, **{field.name: other}), field.name


def test_nan_equals_itself(whole):
    assert replace(whole, trace=float("nan")) == replace(whole, trace=float("nan"))


class TestWhatCannotBeReadOrWritten:
    """Each says which file, and what was wanted; what lay there stays."""

    @pytest.mark.parametrize("name", ["result", "result.pt", "result.pkl"])
    def test_another_suffix(self, whole, tmp_path, name):
        with pytest.raises(InputError, match=r"\.safetensors or \.json"):
            whole.save(tmp_path / name)
        with pytest.raises(InputError, match=r"\.safetensors or \.json"):
            Decomposition.load(tmp_path / name)

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="there is no file"):
            Decomposition.load(tmp_path / "none.json")

    @pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x93NUMPY", b'{"format": "other"}', b"9" * 5000])
    @pytest.mark.parametrize("suffix", [".safetensors", ".json"])
    def test_other_content(self, tmp_path, content, suffix):
        path = tmp_path / f"it{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not what Decomposition.save writes"):
            Decomposition.load(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("name", [field.name for field in fields(Decomposition)])
    def test_a_field_that_is_missing_or_of_another_kind(self, whole, tmp_path, name):
        path = tmp_path / "it.json"
        whole.save(path)
        content = json.loads(path.read_text())
        for wrong in ({}, {name: None}, {name: [[1.0]]}):
            if name == "layer" and wrong:
                continue
            kept = {key: value for key, value in content.items() if key != name}
            path.write_text(json.dumps(kept | wrong))
            with pytest.raises(InputError, match="not what Decomposition.save writes"):
                Decomposition.load(path)


def test_the_package_tells_its_version():
    from importlib.metadata import version

    assert awduality.__version__ == version("awduality")
    assert "__version__" in dir(awduality)
