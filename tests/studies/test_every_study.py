"""What holds for every study, found by its folder: one class of tests for all of them."""

import itertools
import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from awduality.claims.judge import kinds_of, read_claims
from awduality.config import resolve_file
from awduality.data.sources import load
from awduality.data.splits import split_arrays
from awduality.files import read_json, read_table, write_arrays
from awduality.purposes import PURPOSES
from awduality.records import PLUMBING
from awduality.study import discovery
from awduality.study.jobs import CLAIMS_SCHEMA, Jobs
from awduality.study.plan import plan, shards
from tests.conftest import ROOT
from tests.study_calls import described, shard_step

STUDIES = discovery.study_names()
COMPANIONS = [name for name in STUDIES if not discovery.study(name).sizes]
SIZES = [(name, size) for name in STUDIES for size in ("quick", "full")]


def configs(name):
    """Every config in a study's folder, and those that its sizes name."""
    declared = discovery.study(name)
    inside = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "studies" / name).glob("*.yaml"))]
    return [*declared.sizes.values(), *(path for path in inside if not path.endswith("claims.yaml"))]


CONFIGS = [(name, path) for name in STUDIES for path in configs(name)]


@pytest.mark.parametrize("name", STUDIES)
class TestEveryStudy:
    def test_its_declaration_imports_nothing_beyond_the_standard_library(self, name):
        assert list(discovery.foreign_imports(ROOT / "studies" / name / "study.py")) == []

    def test_it_has_a_quick_and_a_full_size(self, name):
        assert name in discovery.size_files("quick")
        assert name in discovery.size_files("full")

    def test_quick_and_full_have_names_and_root_seeds_of_their_own(self, name):
        quick, full = (resolve_file(ROOT, discovery.size_files(size)[name])[0] for size in ("quick", "full"))
        assert quick["name"] != full["name"]
        assert name in COMPANIONS or quick["root_seed"] == full["root_seed"] == 1  # the main paper confirms otherwise
        assert name not in COMPANIONS or quick["root_seed"] != full["root_seed"]

    def test_every_figure_has_a_caption_of_whole_sentences(self, name):
        for figure, caption in discovery.captions(name).items():
            assert len(caption) > 40, figure
            assert caption.endswith("."), figure

    def test_its_modules_are_short_and_import_no_other_study(self, name):
        for path in (ROOT / "studies" / name).glob("*.py"):
            assert len(path.read_text().splitlines()) <= 300 or path.name.startswith("test_"), path
            others = {
                module.split(".")[1] for module in discovery.imported_modules(path) if module.startswith("studies.")
            }
            assert others <= {name}, path

    def test_no_step_depends_on_figures_or_on_plumbing_and_no_figure_on_steps(self, name):
        declared, folder = discovery.study(name), f"studies/{name}"
        steps = {f"{folder}/{step.name}.py" for step in declared.steps}
        for step in steps:
            found = set(discovery.closure(step)) - set(PLUMBING)
            assert f"{folder}/figures.py" not in found, step
            assert not any(path.startswith("src/awduality/figures/") for path in found), step
        drawn = set(discovery.closure(f"{folder}/figures.py"))
        first = f"{folder}/{declared.steps[0].name}.py"
        assert first not in drawn

    def test_its_streams_are_the_librarys_or_named_after_it(self, name):
        declared = discovery.study(name)
        for step in declared.steps:
            for purpose in step.purposes:
                assert purpose.removeprefix("/") in PURPOSES or re.fullmatch(r"[a-z][a-z0-9_]*", purpose), step

    def test_every_claim_of_its_paper_is_tested_and_has_a_headline(self, name):
        content = yaml.safe_load((ROOT / discovery.claims_file(name)).read_text())
        if name in COMPANIONS:
            claims = content["claims"]
            assert {claim["of"] for claim in claims} <= {*content["paper"], "ours"}
            for key in content["paper"]:
                of_it = [claim for claim in claims if claim["of"] == key]
                assert of_it, key
            assert any(claim.get("headline") for claim in claims)

    def test_its_claims_can_be_read(self, name):
        content, schema = (
            yaml.safe_load((ROOT / path).read_text()) for path in (discovery.claims_file(name), CLAIMS_SCHEMA)
        )
        assert read_claims(content, schema, kinds_of(name)).claims

    def test_no_number_of_a_result_is_typed_in_its_page(self, name):
        page = ROOT / "studies" / name / "README.md.jinja"
        if page.exists():
            text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|`[^`]*`|https?://\S+|arXiv:? ?\S+", "", page.read_text(), flags=re.S)
            assert re.findall(r"[×±]\s*\d|\d+\.\d+\s*\[|p\s*[=<]\s*0?\.\d", text) == []


@pytest.mark.parametrize(("name", "path"), CONFIGS)
class TestEveryConfigOfAStudy:
    def test_its_plan_has_every_run_once_and_every_shard_its_runs(self, name, path):
        config, _ = resolve_file(ROOT, path)
        ids = [run["id"] for run in plan(config)["runs"]]
        assert len(ids) == len(set(ids)) > 0
        assert list(itertools.chain(*([run.id for run in runs] for runs in shards(config).values()))) == ids

    def test_tables_that_figures_and_claims_read_are_made(self, name, path):
        jobs = Jobs.of(resolve_file(ROOT, path)[0])
        made = {Path(table).name for table in jobs.tables} | {"claims.json"}
        for figure, drawn in jobs.drawn.items():
            assert set(drawn.tables) <= made, figure
        assert {f"{table}.csv" for table in jobs.study.judged} <= made

    def test_no_two_jobs_write_one_file(self, name, path):
        jobs = Jobs.of(resolve_file(ROOT, path)[0]).jobs
        written = [output for job in jobs.values() for output in job.outputs]
        assert len(written) == len(set(written))


def prepared(config, folder):
    """The split of a config, from the embedded digits."""
    data = config["data"]
    assert data["source"] == "digits", "quick sizes need no download"
    arrays = split_arrays(
        load("digits", folder), data["permutation_seed"], data["pool"], data["test"], bool(data.get("standardised"))
    )
    write_arrays(folder / "digits.safetensors", arrays)
    return folder / "digits.safetensors"


def shard_files(jobs, step, shard, runs, split, folder):
    """Run the first step of a study for some runs of a shard; its files."""
    shards = {shard: [entry for run in runs for entry in described(run.settings, [run.seed])]}
    columns = getattr(import_module(f"studies.{jobs.name}.{step.name}"), "COLUMNS", ())
    record = folder / "record.json"
    shard_step(jobs.name, step.name, folder, shards, jobs.asked(step), split, columns=columns, record=record)
    return [folder / f"{shard}.{suffix}" for suffix in ("csv", "safetensors")]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPANIONS)
class TestEveryExperiment:
    def test_a_run_alone_equals_the_same_run_in_its_shard_and_twice_gives_the_same_bytes(self, name, tmp_path):
        config, _ = resolve_file(ROOT, discovery.size_files("quick")[name])
        jobs = Jobs.of(config)
        step = jobs.per_shard[0]
        split = prepared(config, tmp_path) if step.data else None
        shard = min(jobs.shards_of(step), key=lambda found: (len(jobs.shards[found]), found))
        runs = jobs.shards[shard]
        whole = shard_files(jobs, step, shard, runs, split, tmp_path / "whole")
        again = shard_files(jobs, step, shard, runs, split, tmp_path / "again")
        assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in again]
        drawn = {(entry["purpose"], entry["index"]) for entry in read_json(tmp_path / "whole/record.json")["streams"]}
        assert {(jobs.purpose(purpose), run.seed) for purpose in step.purposes for run in runs} <= drawn
        alone = shard_files(jobs, step, shard, runs[-1:], split, tmp_path / "alone")
        rows, row = (path[0].read_text().splitlines() for path in (whole, alone))
        assert row[0] == rows[0]
        assert set(row[1:]) == {line for line in rows if line.startswith(f"{runs[-1].id},")}


LEFT_BEHIND = {("learners", "runs.csv", "quadratic")}
"""Columns that runs no longer write, in tables of configs that have not been run since."""


@pytest.mark.parametrize("name", STUDIES)
def test_every_column_is_filled_in_some_row_of_some_committed_config(name):
    filled: dict[tuple[str, str], bool] = {}
    for origin in sorted((ROOT / "figures").glob("*/origin.json")):
        if name in read_json(origin)["config"]:
            for path in origin.parent.glob("*.csv"):
                rows = read_table(path)
                for column in rows[0] if rows else ():
                    key = (re.sub(r"^[a-z_0-9]+-(gap|directions|training)", r"\1", path.name), column)
                    filled[key] = filled.get(key, False) or any(row[column] for row in rows)
    assert filled, "its full size is committed"
    declared = discovery.study(name)
    named = {
        *declared.settings,
        *declared.experiments,
    }  # a setting may be neutral, an experiment without a pair of runs
    empty = {(name, *key) for key, some in filled.items() if not some and key[1] not in named}
    assert empty == {entry for entry in LEFT_BEHIND if entry[0] == name}


@pytest.mark.parametrize("name", COMPANIONS)
def test_every_claim_of_a_companion_was_tested_at_its_full_size(name):
    config, _ = resolve_file(ROOT, discovery.size_files("full")[name])
    rows = read_json(ROOT / f"figures/{config['name']}/claims.json")
    assert {row["id"]: row["reason"] for row in rows if row["verdict"] == "not tested"} == {}
