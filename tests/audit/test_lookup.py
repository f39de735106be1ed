"""Where does this come from, and what is this picture?"""

import json
import shutil

import pytest

from awduality.files import sha256
from tests.audit.conftest import FIGURES, RECORDS, audit_script
from tests.audit.forging import PNG, assemble, chunks, repaint

pytestmark = pytest.mark.slow


def test_a_figure_is_traced_to_its_data_seeds_code_and_commit(finished):
    done = audit_script(finished, "trace", "size", "--config", "smoke")
    assert done.returncode == 0
    record = json.loads((finished / RECORDS / "train-baseline-0.json").read_text())
    for words in (
        "figure size of smoke, id ",
        "drawn by draw-size\n  $ python scripts/draw.py size --study sweeps --function size --numbers ",
        "from figures/smoke/runs.csv  sha256 " + sha256(finished / FIGURES / "runs.csv")[:12],
        "seeds 0, 1 of root seed 1",
        "from sklearn.datasets.load_digits (pixels)",
        "from config/smoke.yaml",
        f"files of commit {record['git']['commit']}",
        f"on: Python {record['environment']['python']}",
    ):
        assert words in done.stdout, words


@pytest.mark.parametrize("name", ["size", "size.png", "figures/smoke/size.svg"])
def test_a_figure_may_be_called_by_its_file(finished, name):
    assert "figure size of smoke" in audit_script(finished, "trace", name, "--config", "smoke").stdout


def test_a_claim_is_traced_to_the_tables_that_it_was_judged_from(finished):
    done = audit_script(finished, "trace", "batch_size/gap", "--config", "smoke")
    assert done.returncode == 0
    assert done.stdout.startswith("claim batch_size/gap of smoke: ")
    assert "judged by claims" in done.stdout
    assert "from config/claims.yaml" in done.stdout


def test_a_clone_traces_as_far_as_what_is_committed_goes(clone):
    done = audit_script(clone, "trace", "size", "--config", "smoke")
    assert done.returncode == 0
    assert "  2 seeds of root seed 1" in done.stdout
    assert "There are no records of the run here" in done.stdout


@pytest.mark.parametrize("name", ["sise", "elsewhere/size", "dropout/size", ""])
def test_an_unknown_figure_is_refused_with_those_that_there_are(finished, name):
    done = audit_script(finished, "trace", name, "--config", "smoke")
    assert done.returncode == 2
    assert f"smoke has no figure and no claim '{name}'. It has figures batch_size, codeterminants" in done.stderr


def test_an_unknown_config_has_no_figures(finished):
    assert audit_script(finished, "trace", "size", "--config", "unknown").returncode == 2


@pytest.mark.parametrize("name", ["claims.json", "provenance.json"])
@pytest.mark.parametrize("content", ["", "1", "[1]", '[{"id": []}]', '{"figures": []}', "[" * 100_000])
def test_damaged_files_beside_the_figures_are_no_traceback(run, name, content):
    (run / FIGURES / name).write_text(content)
    for words in (("trace", "size", "--config", "smoke"), ("identify", f"{FIGURES}/size.png")):
        assert audit_script(run, *words).returncode in (0, 2)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_figure_met_elsewhere_is_known_to_the_byte(finished, tmp_path, suffix):
    shutil.copyfile(finished / FIGURES / f"size.{suffix}", tmp_path / "slide")
    done = audit_script(finished, "identify", str(tmp_path / "slide"))
    assert done.returncode == 0
    assert f"It is figures/smoke/size.{suffix}, to the byte" in done.stdout


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_repainted_copy_is_known_and_said_to_be_repainted(finished, tmp_path, suffix):
    path = tmp_path / f"copy.{suffix}"
    shutil.copyfile(finished / FIGURES / f"size.{suffix}", path)
    repaint(path)
    done = audit_script(finished, "identify", str(path))
    assert done.returncode == 1
    assert "the figure size of smoke, but its bytes are not those recorded" in done.stdout


def test_an_exact_copy_is_preferred_to_another_config_with_the_same_figure_id(run):
    for place in (run / "figures/another", run / "figures/zzz"):
        shutil.copytree(run / FIGURES, place)
        account = json.loads((place / "provenance.json").read_text())
        account["files"] = dict.fromkeys(account["files"], "0" * 64)
        (place / "provenance.json").write_text(json.dumps(account))
    assert audit_script(run, "identify", f"{FIGURES}/size.png").returncode == 0


def test_a_figure_of_other_numbers_says_which(finished, tmp_path):
    text = b'awduality\0\0\0\0\0{"figure_id":"' + b"0" * 64 + b'","numbers":{"runs.csv":"' + b"1" * 64 + b'"}}'
    parts = chunks((finished / FIGURES / "size.png").read_bytes())
    (tmp_path / "other.png").write_bytes(assemble([(k, text if k == b"iTXt" else data) for k, data in parts]))
    done = audit_script(finished, "identify", str(tmp_path / "other.png"))
    assert done.returncode == 2
    assert "No figure here has this id" in done.stdout
    assert "runs.csv  sha256 111111111111" in done.stdout


def foreign(content):
    parts = [part for part in chunks(content) if part[0] != b"iTXt"]
    return assemble(parts)


def chunk(text):
    return lambda content: assemble([(kind, text if kind == b"iTXt" else data) for kind, data in chunks(content)])


UNKNOWN = {
    "a foreign image": foreign,
    "no image": lambda content: b"hello",
    "nothing": lambda content: b"",
    "binary": lambda content: bytes(range(256)) * 100,
    "cut off": lambda content: content[:60],
    "cut off in a chunk's head": lambda content: content[: len(PNG) + 5],
    "a chunk longer than the file": lambda content: PNG + b"\xff\xff\xff\xffiTXtawduality\0",
    "an origin that is no JSON": chunk(b"awduality\0\0\0\0\0{"),
    "an origin that is nested": chunk(b"awduality\0\0\0\0\0" + b"[" * 100_000),
    "an origin that is a list": chunk(b"awduality\0\0\0\0\0[]"),
    "an origin without numbers": chunk(b'awduality\0\0\0\0\0{"figure_id":"a"}'),
    "an origin whose numbers are a list": chunk(b'awduality\0\0\0\0\0{"figure_id":"a","numbers":[1]}'),
    "an origin with numbers for digests": chunk(b'awduality\0\0\0\0\0{"figure_id":1,"numbers":{"a":1}}'),
    "an origin cut off": chunk(b"awduality\0"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_not_known_is_said_not_to_be(finished, tmp_path, kind):
    path = tmp_path / "image.png"
    path.write_bytes(UNKNOWN[kind]((finished / FIGURES / "size.png").read_bytes()))
    done = audit_script(finished, "identify", str(path))
    assert done.returncode == 2, done.stdout


def test_a_folder_or_nothing_is_no_image(finished, tmp_path):
    for path in (tmp_path, tmp_path / "none.png"):
        done = audit_script(finished, "identify", str(path))
        assert done.returncode == 2
        assert "is no file" in done.stderr
