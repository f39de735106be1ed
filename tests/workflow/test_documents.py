"""Committed verdicts and documents: reproducible from what is committed, no number typed by hand."""

import os
import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from awduality.claims.catalogue import read_claims
from awduality.claims.judge import judge, kinds_of
from awduality.claims.report import HEADLINES
from awduality.config import resolve
from awduality.files import read_json
from awduality.study.discovery import claims_file, study, study_of
from awduality.study.jobs import CLAIMS_SCHEMA
from tests.conftest import unpack_head
from tests.settings import COMMITTED

CONFIGS = {name: "config" if name == "digits" else name for name in COMMITTED}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def claims_of(root, name):
    """The claims of a study."""
    return read_claims(load(root / claims_file(name)), load(root / CLAIMS_SCHEMA), kinds_of(name))


def same(one, other):
    """Equal, numbers to nine digits: another processor may move the last ones."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-12)
    return one == other


@pytest.mark.parametrize("name", CONFIGS)
def test_every_claim_has_a_committed_verdict_that_the_committed_numbers_give_again(root, name):
    folder = root / "figures" / name
    config = resolve(
        load(root / "config/config.yaml"),
        load(root / f"config/{CONFIGS[name]}.yaml"),
        load(root / "workflow/schemas/config.schema.yaml"),
    )
    committed = read_json(folder / "claims.json")
    asked = study_of(config)
    claims, tables = (
        claims_of(root, asked),
        {table: pd.read_csv(folder / f"{table}.csv") for table in study(asked).judged},
    )
    judged = judge(claims, tables, config["root_seed"], kinds_of(asked))
    layers = 1 if asked == "learners" else len(config["layers"])
    ids = [claim.id for claim in claims.claims]
    assert [row["id"] for row in committed] == ids * layers
    for found, row in zip(judged, committed, strict=True):
        assert found["verdict"] == row["verdict"], row["id"]
        assert same(found, row), row["id"]


def test_every_claim_of_the_paper_has_a_row_in_the_readme(root):
    claims, learners = claims_of(root, "sweeps"), claims_of(root, "learners")
    assert set(HEADLINES) == {claim.of for claim in claims.claims} - {"ours"}
    known = {claim.id: claim.of for claim in (*claims.claims, *learners.claims)}
    assert all(known[test] == claim for claim, tests in HEADLINES.items() for test in tests)
    assert all(f"| `{claim}` |" in (root / "README.md").read_text() for claim in HEADLINES)


@pytest.mark.parametrize("document", ["replication", "learners"])
def test_no_number_in_a_document_of_results_is_typed_by_hand(root, document):
    text = (root / f"docs/{document}.md.jinja").read_text()
    for generated in (
        r"CIFAR-10",
        r"arXiv [\d.]+ and [\d.]+",
        r"N\(0, σ₀²|\[0, 1\]",
        r"\{\{.*?\}\}",
        r"\{%.*?%\}",
        r"`[^`]*`",
        r"\]\([^)]*\)",
        r"^    .*$",
    ):
        text = re.sub(generated, "", text, flags=re.DOTALL if "{" in generated else re.MULTILINE)
    assert not re.findall(r".*\d.*", text)


def checked(root, folder, script):
    done = subprocess.run(
        [sys.executable, root / f"scripts/{script}.py", "--check"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_description_of_the_keys_is_that_of_the_schema(root):
    checked(root, root, "describe_config")


def test_the_committed_documents_show_the_committed_verdicts(root, tmp_path):
    # Not the working tree's: on another processor a run moves the last digits, which is no fault of the documents.
    unpack_head(root, tmp_path, "README.md", "docs", "figures", "config", "studies", "workflow")
    checked(root, tmp_path, "write_documents")


@pytest.fixture(scope="module")
def clone(root, tmp_path_factory):
    """What is committed, with its history."""
    target = tmp_path_factory.mktemp("clone") / "clone"
    done = subprocess.run(["git", "clone", "--quiet", str(root), str(target)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return target


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_committed_passes_its_audit(clone, name):
    command = [sys.executable, "scripts/audit.py", name, "--committed"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
