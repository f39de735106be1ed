"""Several config files are laid over one another in the audit as Snakemake lays them: key by key, at any depth."""

import shutil

import pytest

from awduality.audit.science import check_config
from awduality.config import resolve_files
from tests.conftest import ROOT

FILES = ("config/config.yaml", "workflow/schemas/config.schema.yaml")


@pytest.fixture
def project(tmp_path):
    """A project with two overlays that both alter the same section."""
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    (tmp_path / "one.yaml").write_text("name: mine\ntraining: {target_loss: 0.01}\n")
    (tmp_path / "other.yaml").write_text("training: {max_steps: 99}\n")
    return tmp_path


def findings(project, **changes):
    config = {"name": "mine", "training": {"target_loss": 0.01, "max_steps": 99, **changes}}
    wanted, _ = resolve_files(project, config, [])
    sources = {path: ["digest"] for path in (*FILES, "one.yaml", "other.yaml")}
    return list(check_config(project, "results/mine/config.json", wanted, sources))


def test_two_files_that_alter_one_section_both_count(project):
    assert findings(project) == []


def test_a_config_that_the_files_do_not_give_is_found(project):
    assert [finding.status for finding in findings(project, max_steps=100)] == ["failed"]
