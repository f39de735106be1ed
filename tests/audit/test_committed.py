"""A fresh clone: what is committed beside the figures, without the run."""

import json
import shutil

import pytest

from tests.audit.conftest import ALL, FIGURES, audit_script, audited
from tests.audit.forging import repaint
from tests.audit.test_run import edit
from tests.conftest import commit, git

pytestmark = pytest.mark.slow
STYLE = "src/awduality/figures/style.py"


def test_a_fresh_clone_passes(clone):
    assert not (clone / "results").exists()
    done = audit_script(clone, "smoke", "--committed")
    assert done.returncode == 0, done.stdout
    assert audited(clone, ALL, committed=True).findings() == []


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_repainted_figure_is_found(clone, suffix):
    repaint(clone / FIGURES / f"size.{suffix}")
    found = audited(clone, ALL, committed=True)
    assert found.code == 1
    assert found.named("bytes") == {f"{FIGURES}/size.{suffix}"}


def test_a_repainted_figure_that_is_committed_is_found(clone):
    repaint(clone / FIGURES / "size.png")
    commit(clone, "Nicer")
    assert audited(clone, ALL, committed=True).named() == {f"{FIGURES}/size.png"}


def test_an_edited_table_is_found(clone):
    edit(clone / FIGURES / "runs.csv", "0.0", "0.1")
    assert f"{FIGURES}/runs.csv" in audited(clone, ALL, committed=True).named("bytes")


def test_edited_verdicts_are_found_by_science_too(clone):
    edit(clone / FIGURES / "claims.json", "not tested", "supported")
    found = audited(clone, ALL, committed=True)
    assert f"{FIGURES}/claims.json" in found.named("bytes")
    assert any(name.startswith(f"{FIGURES}/claims.json: ") for name in found.named("science"))


@pytest.mark.parametrize("name", ["provenance.json", "origin.json"])
def test_an_edited_account_of_the_provenance_is_found(clone, name):
    edit(clone / FIGURES / name, '"numpy": [\n      "', '"numpy": [\n      "9')
    found = audited(clone, ALL, committed=True)
    assert found.code == 1
    assert f"{FIGURES}/{name}" in found.named("bytes")


@pytest.mark.parametrize("name", ["provenance.json", "origin.json"])
@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"files": []}', "\x00"])
def test_a_damaged_account_of_the_provenance_is_named(clone, name, content):
    (clone / FIGURES / name).write_text(content)
    done = audit_script(clone, "smoke", "--committed")
    assert done.returncode == 2
    assert f"error: {FIGURES}/{name} is damaged" in done.stderr


def test_an_unusable_config_in_the_account_is_a_finding(clone):
    account = json.loads((clone / FIGURES / "origin.json").read_text())
    for config in ({}, {**account["config"], "seeds": "two"}, {**account["config"], "sweeps": {"unknown": [1]}}):
        (clone / FIGURES / "origin.json").write_text(json.dumps({**account, "config": config}))
        found = audited(clone, ALL, committed=True)
        assert f"{FIGURES}/origin.json" in found.named("plan")


def test_an_extra_file_is_found_committed_or_not(clone):
    (clone / FIGURES / "more.csv").write_text("a\n")
    assert audited(clone, ALL, committed=True).named() == {f"{FIGURES}/more.csv"}
    git(clone, "add", "--force", f"{FIGURES}/more.csv")
    commit(clone, "More")
    assert audited(clone, ALL, committed=True).named() == {f"{FIGURES}/more.csv"}


def test_a_missing_file_is_found(clone):
    (clone / FIGURES / "size.png").unlink()
    assert audited(clone, ALL, committed=True).named() == {f"{FIGURES}/size.png"}


def test_a_link_in_the_place_of_a_file_is_found(clone):
    (clone / FIGURES / "size.png").rename(clone / "size.png")
    (clone / FIGURES / "size.png").symlink_to(clone / "size.png")
    assert audited(clone, ALL, committed=True).named() == {f"{FIGURES}/size.png"}


def test_a_config_edited_since_is_found_by_science(clone):
    edit(clone / "config/smoke.yaml", "batch_size: [10, 25]", "batch_size: [10, 25, 50]")
    assert audited(clone, ALL, committed=True).named() == {"config/smoke.yaml"}


def test_figures_of_earlier_code_pass_and_the_commit_that_holds_it_is_named(clone):
    before = git(clone, "rev-parse", "HEAD~1")  # the last that touched the code
    edit(clone / STYLE, '"font.size": 7', '"font.size": 8')
    commit(clone, "Larger letters")
    found = audited(clone, ALL, committed=True)
    assert found.code == 0
    assert f"figures and verdicts: the code of commit {before[:10]}, 2 commits ago" in found.levels["code"].done
    (warning,) = found.findings()
    assert warning.status == "warning"
    assert "snakemake figures draws and judges anew" in warning.advice


def test_figures_of_code_that_only_a_merged_branch_holds_pass(clone):
    code = git(clone, "rev-parse", "HEAD:" + STYLE)
    edit(clone / STYLE, '"font.size": 7', '"font.size": 8')
    git(clone, "checkout", "--quiet", "--orphan", "other")
    commit(clone, "Other letters")
    git(clone, "merge", "--quiet", "--allow-unrelated-histories", "--strategy=ours", "-m", "Merge", "main")
    assert git(clone, "rev-parse", "HEAD:" + STYLE) != code
    assert audited(clone, ALL, committed=True).code == 0


def test_figures_of_code_that_no_commit_holds_are_found(clone):
    edit(clone / STYLE, '"font.size": 7', '"font.size": 8')
    git(clone, "checkout", "--quiet", "--orphan", "other")
    commit(clone, "A history of its own")
    found = audited(clone, ALL, committed=True)
    assert found.code == 1
    assert "other code in src/awduality/figures/style.py, here and in every commit" in " ".join(
        found.text("code").split()
    )


def test_a_shallow_clone_says_that_it_lacks_the_history(clone, tmp_path):
    edit(clone / STYLE, '"font.size": 7', '"font.size": 8')
    commit(clone, "Larger letters")
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{clone}", str(tmp_path / "shallow"))
    found = audited(tmp_path / "shallow", ALL, committed=True)
    assert found.code == 2
    assert "no history to look it up in" in " ".join(found.text("code").split())


def test_outside_a_repository_it_could_not_be_checked(clone):
    shutil.rmtree(clone / ".git")
    assert audited(clone, ALL, committed=True).code == 2


def test_what_asks_for_the_run_is_refused(clone):
    for words in (("--seal", "0" * 64), ("--rerun", "all")):
        done = audit_script(clone, "smoke", "--committed", *words)
        assert done.returncode == 2
        assert "leave --rerun and --seal out" in done.stderr


def test_a_config_that_is_not_there_is_named(clone):
    done = audit_script(clone, "mnist", "--committed")
    assert done.returncode == 2
    assert "figures/mnist/provenance.json does not exist" in done.stderr
