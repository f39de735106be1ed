"""What an edit makes anew: that study's figures, or its run, or nothing; and never anything of another study."""

import shutil

import pytest

from awduality.study.discovery import closure
from tests.conftest import ROOT, commit, git, made_once, repository, run_snakemake, settle

MINE = ("--configfile", "studies/mine/quick.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository with a stranger's study, copied from the template and run."""

    def make(tree):
        repository(tree)
        shutil.copytree(tree / "studies/_template", tree / "studies/mine")
        commit(tree, "A study of my own")
        run_snakemake(tree, *MINE)
        settle(tree)

    return made_once(tmp_path_factory, "mine", make)


@pytest.fixture
def tree(made, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(made, tmp_path / "tree", symlinks=True)
    return tmp_path / "tree"


def would_run(tree, *arguments):
    """The names of the jobs that Snakemake would run, without shards and figures."""
    output = run_snakemake(tree, "--dry-run", *arguments).stdout
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {line.split()[0] for line in table.splitlines() if line.strip() and line.split()[-1].isdigit()}


def edit(tree, path):
    (tree / path).write_text((tree / path).read_text() + "\n# an edit that changes nothing but the file\n")


def test_a_strangers_study_runs_from_end_to_end_and_its_audit_is_well(tree):
    assert run_snakemake(tree, *MINE).stdout.count("Nothing to be done") == 1
    output = run_snakemake(tree, "audit", *MINE).stdout
    assert "All well." in output
    assert git(tree, "status", "--porcelain") == ""


def test_its_figures_are_drawn_and_its_claims_judged(made):
    folder = made / "figures/mine-quick"
    assert {path.name for path in folder.glob("*.png")} == {"effects.png", "spectra.png"}
    assert '"id": "squared/slope"' in (folder / "claims.json").read_text()


def test_an_edit_of_its_figures_redraws_its_figures_only(tree):
    edit(tree, "studies/mine/figures.py")
    assert would_run(tree, *MINE) == {"draw", "provenance", "seal", "all"}


def test_an_edit_of_its_experiment_runs_that_study_again(tree):
    edit(tree, "studies/mine/experiment.py")
    found = would_run(tree, *MINE)
    assert {"experiment", "tables"} <= found
    assert "plan" not in found


@pytest.mark.parametrize(
    "path",
    [
        "src/awduality/files.py",
        "src/awduality/records.py",
        "src/awduality/commandline.py",
        "src/awduality/study/step.py",
        "src/awduality/study/jobs.py",
        "src/awduality/study/contract.py",
        "src/awduality/study/terminal.py",
        "src/awduality/audit/chain.py",
    ],
)
def test_an_edit_of_plumbing_runs_nothing_again(tree, path):
    edit(tree, path)
    assert would_run(tree, *MINE) == set()


@pytest.mark.parametrize("path", ["studies/sweeps/figures.py", "studies/sweeps/train.py", "studies/learners/study.py"])
def test_an_edit_of_another_study_runs_nothing_of_this_one(tree, path):
    edit(tree, path)
    assert would_run(tree, *MINE) == set()


def test_a_new_study_changes_no_code_that_another_depends_on(tree):
    shutil.copytree(tree / "studies/_template", tree / "studies/another")
    for path in (tree / "studies/another").glob("*.yaml"):
        path.write_text(path.read_text().replace("mine", "another"))
    assert would_run(tree, *MINE) == set()


def test_no_code_of_a_study_is_in_the_closure_of_the_library():
    for path in sorted((ROOT / "src/awduality").rglob("*.py")):
        found = closure(path.relative_to(ROOT).as_posix())
        assert not [name for name in found if name.startswith("studies/")], path
