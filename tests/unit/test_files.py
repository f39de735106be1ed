import errno
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awduality import files
from awduality.errors import InputError


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_floats_in_tables_read_back_to_the_same_bits(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    files.write_table(path, [{"x": value} for value in values])
    assert pd.read_csv(path)["x"].to_numpy(float).tobytes() == np.array(values).tobytes()


def test_a_table_writes_numpy_scalars_as_numbers_and_missing_values_empty(tmp_path):
    files.write_table(tmp_path / "t.csv", [{"a": np.float64(0.1), "b": np.int64(3)}, {"a": float("nan")}], ["a", "b"])
    assert (tmp_path / "t.csv").read_text() == "a,b\n0.1,3\n,\n"


def test_a_table_without_rows_has_its_header(tmp_path):
    files.write_table(tmp_path / "t.csv", [], ["a", "b"])
    assert (tmp_path / "t.csv").read_text() == "a,b\n"


def test_arrays_keep_name_shape_type_and_bits(tmp_path):
    arrays = {"b": np.array(2.5), "a": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    files.write_arrays(tmp_path / "a.safetensors", arrays)
    read = files.read_arrays(tmp_path / "a.safetensors")
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].shape == array.shape
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


def test_the_same_arrays_give_the_same_bytes_in_any_order(tmp_path):
    a, b = np.arange(3.0), np.arange(4)
    files.write_arrays(tmp_path / "1.safetensors", {"a": a, "b": b})
    files.write_arrays(tmp_path / "2.safetensors", {"b": b, "a": a})
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_else(tmp_path, code):
    path = tmp_path / "result.json"
    files.write_json(path, {"old": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(code, os.strerror(code))

    with pytest.raises(InputError, match=os.strerror(code)):
        files.write_atomically(path, fail)
    assert files.read_json(path) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_an_interrupted_write_leaves_nothing_behind(tmp_path):
    def interrupt(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "x.txt", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write .*file/x\.json"):
        files.write_json(tmp_path / "file" / "x.json", {})


def test_written_files_have_the_permissions_of_any_other_new_file(tmp_path):
    (tmp_path / "plain").write_text("")
    files.write_text(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_json_refuses_what_is_not_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
