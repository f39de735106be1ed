"""Studies are found by their folders, and what is wrong with one is said before anything runs."""

import sys
from types import ModuleType

import pytest

from awduality.errors import InputError
from awduality.study import discovery
from awduality.study.jobs import Jobs
from awduality.study.plan import plan

DECLARATION = """
from awduality.study.contract import Paper, Setting, Step, Study

STUDY = Study(
    paper=Paper("A title", "Somebody", 2026, "2601.00001"),
    settings={"rate": Setting(float, "Rate", above=0), "kind": Setting(str, "Kind", choices={"a": "A", "b": "B"})},
    steps=(
        Step("experiment"),
        Step("tables", after=("experiment",), each="study", tables=("runs",)),
    ),
)
"""
FIGURES = '''
def draw_all(runs):
    """A caption that says what is drawn."""
'''
FILES = {"study.py": DECLARATION, "experiment.py": "", "tables.py": "", "figures.py": FIGURES}


@pytest.fixture
def odd(tmp_path, monkeypatch, request):
    """Make a study ``odd_<n>`` in a project of its own, some files other than usual; None leaves a file out."""
    monkeypatch.setattr(discovery, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, discovery.FOLDER, ModuleType(discovery.FOLDER))
    name = f"odd_{abs(hash(request.node.name)) % 10**8}"

    def make(**files):
        folder = tmp_path / "studies" / name
        folder.mkdir(parents=True)
        for file, text in {**FILES, **{key.replace("__", "."): text for key, text in files.items()}}.items():
            if text is not None:
                (folder / file).write_text(text)
        discovery.study.cache_clear()
        return name

    yield make
    discovery.study.cache_clear()
    for module in [module for module in sys.modules if module.startswith(f"studies.{name}")]:
        del sys.modules[module]  # else records of later steps would name it, which lies in no project


def config(name, **experiment):
    lists = {"rate": [0.1, 0.2], "kind": ["a"], "seeds": 2, **experiment}
    return {"name": "test", "root_seed": 1, "seeds_per_shard": 2, name: {"experiments": {"main": lists}}}


def test_a_study_is_a_folder_with_a_declaration(odd):
    name = odd()
    assert discovery.study_names() == [name]
    assert discovery.study(name).paper.link == "https://arxiv.org/abs/2601.00001"


def test_a_folder_without_a_declaration_is_no_study_and_says_so(odd):
    name = odd(study__py=None)
    assert discovery.study_names() == []
    with pytest.raises(InputError, match=rf"there is no study '{name}': wanted a folder .* declaration study.py"):
        discovery.study(name)


@pytest.mark.parametrize("line", ["import numpy", "def later():\n    import torch"])
def test_a_declaration_that_imports_too_much_is_refused(odd, line):
    name = odd(study__py=f"{line}\n{DECLARATION}")
    with pytest.raises(InputError, match=r"study.py imports (numpy|torch): wanted the standard library"):
        discovery.study(name)


def test_what_only_type_checkers_import_is_no_import(odd):
    lines = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n"
    assert discovery.study(odd(study__py=lines + DECLARATION)).settings


def test_a_declaration_that_declares_nothing_is_refused(odd):
    with pytest.raises(InputError, match=r"declares no study: wanted STUDY = Study"):
        discovery.study(odd(study__py="STUDY = 1"))


def test_a_step_that_is_not_there_is_named(odd):
    with pytest.raises(InputError, match=r"declares the step 'experiment', but experiment.py is not there"):
        Jobs.of(config(odd(experiment__py=None)))


def test_a_job_repeated_with_the_code_of_its_own_step_alone_knows_its_study_and_its_plan(odd):
    name = odd(experiment__py=None, tables__py=None, figures__py=None)
    assert [step.name for step in discovery.study(name).steps] == ["experiment", "tables"]
    assert len(plan(config(name))["runs"]) == 4


def test_a_table_that_no_step_makes_is_named_with_the_figure_that_reads_it(odd):
    name = odd(figures__py='def draw_all(runs, spectrum):\n    """A caption."""\n')
    with pytest.raises(InputError, match=r"draw_all draws all from spectrum.csv, which no step makes"):
        Jobs.of(config(name))


def test_claims_on_a_table_that_no_step_makes_are_refused(odd):
    name = odd(study__py=DECLARATION.replace("    steps=(", '    judged=("runs", "spectra"),\n    steps=('))
    with pytest.raises(InputError, match=r"claims are judged from spectra.csv, which no step makes"):
        Jobs.of(config(name))


def test_a_figure_without_a_caption_is_refused(odd):
    name = odd(figures__py="def draw_all(runs):\n    pass\n")
    with pytest.raises(InputError, match=r"draw_all has no docstring, which is the caption of its figure"):
        discovery.captions(name)


def test_a_config_that_names_no_study_or_two_is_refused(odd):
    name = odd()
    with pytest.raises(InputError, match="names no study: wanted one key of"):
        discovery.study_of({"name": "test"})
    other = discovery.ROOT / "studies/other"
    other.mkdir()
    (other / "study.py").write_text(DECLARATION)
    with pytest.raises(InputError, match="names 2 studies"):
        discovery.study_of({**config(name), "other": {}})


def test_parameters_of_a_figure_name_its_tables(odd):
    name = odd(figures__py='def draw_all(null_runs, claims):\n    """A caption."""\n\ndef helper(x):\n    pass\n')
    assert discovery.drawing_functions(name) == {"all": ["null-runs.csv", "claims.json"]}


def test_a_shard_is_a_setting_and_a_block_of_seeds(odd):
    entries = plan(config(odd(), seeds=3))["runs"]
    assert [entry["shard"] for entry in entries] == [f"{rate}-a-{block}" for rate in (0.1, 0.2) for block in (0, 0, 1)]


def test_a_run_that_two_experiments_ask_for_is_planned_once_and_names_both(odd):
    name = odd()
    both = config(name)
    both[name]["experiments"]["more"] = {"rate": 0.2, "kind": ["a", "b"], "seeds": 1}
    entries = {(e["settings"]["rate"], e["settings"]["kind"], e["seed"]): e["experiments"] for e in plan(both)["runs"]}
    assert entries[0.2, "a", 0] == ["main", "more"]
    assert entries[0.2, "a", 1] == ["main"]
    assert entries[0.2, "b", 0] == ["more"]


def test_every_job_but_the_first_reads_what_an_earlier_one_wrote(odd):
    jobs = Jobs.of(config(odd())).jobs
    written: set[str] = set()
    for job in jobs.values():
        inputs = [path for path in job.inputs if path.startswith(("results/", "figures/"))]
        assert set(inputs) <= written
        written |= set(job.outputs)
    assert jobs["experiment-0.1-a-0"].parameters == {
        "root_seed": 1,
        "shards": {"0.1-a-0": [{"settings": {"rate": 0.1, "kind": "a"}, "seeds": [0, 1]}]},
    }


def test_the_closure_of_a_file_holds_what_it_imports_and_nothing_that_imports_it():
    found = discovery.closure("studies/sweeps/geometry.py")
    assert {"studies/sweeps/geometry.py", "src/awduality/duality/analysis.py", "src/awduality/__init__.py"} <= set(
        found
    )
    assert not any("figures" in path or "learners" in path for path in found)


def test_an_unknown_size_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="size: got 'huge', wanted full or quick"):
        discovery.size_files("huge")


@pytest.mark.parametrize("taken", ["draw", "claims", "figures", "Fit", "my-step"])
def test_a_step_whose_name_is_taken_or_no_name_is_refused(odd, taken):
    name = odd(study__py=DECLARATION.replace('Step("experiment")', f'Step("{taken}")'), **{f"{taken}__py": ""})
    with pytest.raises(InputError, match=rf"a step cannot be called '{taken}': wanted small letters"):
        discovery.check_steps(name)


def test_a_folder_whose_name_can_be_no_module_is_named(odd):
    odd()
    (discovery.ROOT / "studies/My-Study").mkdir()
    (discovery.ROOT / "studies/My-Study/study.py").write_text(DECLARATION)
    with pytest.raises(InputError, match=r"studies/My-Study: a study is called by its folder.*rename the folder"):
        discovery.study_names()


def test_a_figure_that_is_drawn_from_nothing_is_refused(odd):
    name = odd(figures__py='def draw_all():\n    """A caption."""\n')
    with pytest.raises(InputError, match="draw_all draws all from nothing: wanted parameters that name its tables"):
        Jobs.of(config(name))
