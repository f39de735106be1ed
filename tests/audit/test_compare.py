"""Outputs made again: identical, within tolerance, or different."""

import json

import numpy as np
import pytest
from PIL import Image

from awduality.audit.compare import TOLERANCE, deviation
from awduality.files import sha256, write_arrays, write_table


@pytest.fixture
def compared(tmp_path):
    """The verdict on two files that two calls write."""

    def compare(suffix, write, one, other):
        paths = [tmp_path / f"{name}{suffix}" for name in ("recorded", "again")]
        for path, content in zip(paths, (one, other), strict=True):
            write(path, content)
        return deviation(*paths, sha256(paths[0]))

    return compare


def rows(*values, name="gap"):
    return [{"run": f"r{place}", name: value} for place, value in enumerate(values)]


def image(path, pixels):
    pixels.save(path)


def text(path, content):
    path.write_text(content, encoding="utf-8")


def as_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


NEAR, FAR = 1 + TOLERANCE / 10, 1 + TOLERANCE * 10
PALETTE = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), mode="L").convert("P")
REPAINTED = PALETTE.copy()
REPAINTED.putpalette([255, 0, 0] * 256)

CASES = {
    "the same table": (".csv", write_table, rows(1.0, 2.0), rows(1.0, 2.0), "IDENTICAL"),
    "numbers of a table near": (".csv", write_table, rows(1.0, 2.0), rows(1.0, 2.0 * NEAR), "WITHIN TOLERANCE"),
    "small beside the largest of its column": (
        ".csv",
        write_table,
        rows(1e-9, 1.0),
        rows(0.0, 1.0),
        "WITHIN TOLERANCE",
    ),
    "numbers of a table far": (".csv", write_table, rows(1.0, 2.0), rows(1.0, 2.0 * FAR), "DIFFERS"),
    "rounding": (
        ".csv",
        write_table,
        rows(1e-12, name="output_error"),
        rows(9e-12, name="output_error"),
        "WITHIN TOLERANCE",
    ),
    "test errors": (".csv", write_table, rows(1e-12, name="test_error"), rows(9e-12, name="test_error"), "DIFFERS"),
    "errors of a study's own": (
        ".csv",
        write_table,
        rows(1e-12, name="theory_error"),
        rows(9e-12, name="theory_error"),
        "DIFFERS",
    ),
    "a missing number": (".csv", write_table, rows(1.0, None), rows(1.0, 2.0), "DIFFERS"),
    "infinity": (".csv", write_table, rows(1.0, float("inf")), rows(1.0, 2.0), "DIFFERS"),
    "another text": (".csv", write_table, [{"run": "a"}], [{"run": "b"}], "DIFFERS"),
    "another column": (".csv", write_table, rows(1.0), rows(1.0, name="estimate"), "DIFFERS"),
    "a row more": (".csv", write_table, rows(1.0), rows(1.0, 2.0), "DIFFERS"),
    "a column more": (".csv", text, "a\n1\n", "a,b\n1,2\n", "DIFFERS"),
    "an empty table": (".csv", text, "a\n1\n", "", "DIFFERS"),
    "the same arrays": (".safetensors", write_arrays, {"a": np.ones(3)}, {"a": np.ones(3)}, "IDENTICAL"),
    "arrays near": (".safetensors", write_arrays, {"a": np.ones(3)}, {"a": np.ones(3) * NEAR}, "WITHIN TOLERANCE"),
    "arrays far": (".safetensors", write_arrays, {"a": np.ones(3)}, {"a": np.ones(3) * FAR}, "DIFFERS"),
    "other shapes": (".safetensors", write_arrays, {"a": np.ones(3)}, {"a": np.ones((3, 1))}, "DIFFERS"),
    "other names": (".safetensors", write_arrays, {"a": np.ones(3)}, {"b": np.ones(3)}, "DIFFERS"),
    "another kind": (".safetensors", write_arrays, {"a": np.ones(3)}, {"a": np.ones(3, np.float32)}, "DIFFERS"),
    "no arrays": (".safetensors", text, "a", "b", "DIFFERS"),
    "the same JSON": (".json", as_json, {"a": [1.0]}, {"a": [1.0]}, "IDENTICAL"),
    "JSON near": (".json", as_json, {"a": [1.0]}, {"a": [NEAR]}, "WITHIN TOLERANCE"),
    "JSON far": (".json", as_json, {"a": [1.0]}, {"a": [FAR]}, "DIFFERS"),
    "another key": (".json", as_json, {"a": 1.0}, {"b": 1.0}, "DIFFERS"),
    "another length": (".json", as_json, [1.0], [1.0, 1.0], "DIFFERS"),
    "another verdict": (".json", as_json, {"verdict": "mixed"}, {"verdict": "supported"}, "DIFFERS"),
    "another whole number": (".json", as_json, {"runs": 5_000_000}, {"runs": 5_000_001}, "DIFFERS"),
    "no JSON": (".json", text, "{}", "{", "DIFFERS"),
    "nested without end": (".json", text, "{}", "[" * 100_000, "DIFFERS"),
    "the same picture": (".png", image, PALETTE, PALETTE, "IDENTICAL"),
    "the same pixels": (".png", image, PALETTE, PALETTE.convert("RGB"), "WITHIN TOLERANCE"),
    "another palette": (".png", image, PALETTE, REPAINTED, "DIFFERS"),
    "another size": (".png", image, PALETTE, PALETTE.resize((8, 2)), "DIFFERS"),
    "no picture": (".png", text, "a", "b", "DIFFERS"),
    "another drawing": (".svg", text, "<svg/>", "<svg />", "DIFFERS"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_made_again_is_judged(compared, case):
    suffix, write, one, other, expected = CASES[case]
    verdict, detail = compared(suffix, write, one, other)
    assert verdict == expected, detail


def test_the_column_and_the_deviation_are_told(compared):
    _, detail = compared(".csv", write_table, rows(1.0, 2.0), rows(1.0, 2.2))
    assert detail == "up to 1e-01 of the largest value, in column gap"


def test_against_a_file_that_is_not_the_recorded_one_only_bytes_are_compared(tmp_path):
    write_table(tmp_path / "recorded.csv", rows(1.0))
    write_table(tmp_path / "again.csv", rows(NEAR))
    verdict, detail = deviation(tmp_path / "recorded.csv", tmp_path / "again.csv", "0" * 64)
    assert verdict == "DIFFERS"
    assert "not the recorded one" in detail
    assert deviation(tmp_path / "none.csv", tmp_path / "again.csv", sha256(tmp_path / "again.csv"))[0] == "IDENTICAL"
