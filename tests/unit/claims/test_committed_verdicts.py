"""The committed verdicts, judged again from the committed tables: the same, and to the byte where they were made."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from awduality.audit.science import judge as audited
from awduality.claims.judge import judged
from awduality.files import read_frame, write_json
from awduality.study.discovery import claims_file, study, study_of
from awduality.study.jobs import CLAIMS_SCHEMA
from tests.conftest import unpack_head
from tests.settings import COMMITTED

KERNELS = "SkylakeX"
"""The kernels of OpenBLAS that the committed verdicts were made with; the last bits of a sum depend on them."""


def again(root, name):
    """The verdicts of a config, judged from what lies beside its figures."""
    folder = root / "figures" / name
    config = json.loads((folder / "origin.json").read_text(encoding="utf-8"))["config"]
    asked = study_of(config)
    content, schema = (yaml.safe_load((root / path).read_text()) for path in (claims_file(asked), CLAIMS_SCHEMA))
    tables = {table: read_frame(folder / f"{table}.csv") for table in study(asked).judged}
    return judged(content, schema, tables, config["root_seed"], asked)


@cache
def can_use_the_kernels():
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512vl" in flags.read_text()


def folders(root):
    return sorted(path.parent.name for path in (root / "figures").glob("*/claims.json"))


@pytest.fixture(scope="module")
def committed(root, tmp_path_factory):
    """What HEAD holds: a run in the working tree, on another processor, moves the last digits, which is no fault."""
    place = tmp_path_factory.mktemp("committed")
    unpack_head(root, place, "figures", "config", "studies", "workflow")
    return place


def test_every_config_with_committed_figures_has_committed_verdicts(committed):
    assert set(COMMITTED) <= set(folders(committed))


def test_the_committed_verdicts_are_made_again_to_the_byte(root, committed, tmp_path):
    if not can_use_the_kernels():
        pytest.skip(f"this processor cannot run the kernels {KERNELS}; other tests compare to nine digits")
    environment = {**os.environ, "OPENBLAS_CORETYPE": KERNELS, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(root / "src"), str(root)])
    command = [sys.executable, __file__, str(committed), str(tmp_path), *folders(committed)]
    subprocess.run(command, env=environment, check=True, cwd=root)
    differ = [
        name
        for name in folders(committed)
        if (tmp_path / f"{name}.json").read_bytes() != (committed / "figures" / name / "claims.json").read_bytes()
    ]
    assert differ == []


@pytest.mark.parametrize("name", ["cifar10-jpeg", "digits-learners"])
def test_the_audit_judges_as_the_pipeline_did(root, name):
    config = json.loads((root / "figures" / name / "origin.json").read_text(encoding="utf-8"))["config"]
    findings, count = audited(root, f"figures/{name}", config)
    assert findings == []
    assert count == len(json.loads((root / "figures" / name / "claims.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    project, out, *names = sys.argv[1:]
    for config_name in names:
        write_json(Path(out) / f"{config_name}.json", again(Path(project), config_name))
