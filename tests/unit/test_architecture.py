"""The house: floors, sizes, a package that imports nothing, pins that agree."""

import ast
import re
import subprocess
import sys
import tomllib
from itertools import chain

import pytest
import yaml

FLOORS = [
    "errors",
    "arguments",
    "values",
    "device",
    "purposes",
    "ledger",
    "files",
    "streams",
    "environment",
    "records",
    "provenance",
    "commandline",
    "data",
    "runs",
    "layers",
    "learners",
    "study",
    "config",
    "networks",
    "resnet",
    "weights",
    "checkpoints",
    "nested",
    "arrays",
    "samples",
    "losses",
    "criteria",
    "training",
    "suitable",
    "copies",
    "opening",
    "batches",
    "behind",
    "probe",
    "curvature",
    "measures",
    "duality",
    "instrument",
    "claims",
    "pages",
    "documents",
    "figures",
    "audit",
    "crate",
]

DECLARED = ("contract", "discovery", "plan", "jobs", "schema")
"""What every run of Snakemake and every audit reads of the frame, before any package is there."""


def modules(root):
    return sorted((root / "src/awduality").rglob("*.py"))


def floor(root, path):
    return path.relative_to(root / "src/awduality").parts[0].removesuffix(".py")


def code_of_studies(root):
    return sorted(path for path in (root / "studies").rglob("*.py") if not path.name.startswith("test_"))


def imports(path, package="awduality"):
    """The modules of a package that a file imports anywhere: at its top, in functions, for type checkers."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [f"{node.module}.{a.name}" for a in node.names] if getattr(node, "module", "") == package else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name and name.startswith(f"{package}."))


def test_every_module_has_a_floor(root):
    assert {floor(root, path) for path in modules(root)} == {*FLOORS, "__init__"}


def test_imports_go_down_the_floors_and_never_up(root):
    for path in modules(root):
        if path.name == "__init__.py" and path.parent.name == "awduality":
            continue
        for name in imports(path):
            assert FLOORS.index(name.split(".")[1]) <= FLOORS.index(floor(root, path)), f"{path.name} imports {name}"


def test_no_module_of_the_library_imports_a_study(root):
    for path in modules(root):
        assert not list(imports(path, "studies")), path


def test_a_study_imports_the_library_and_itself_and_never_another_study(root):
    for path in code_of_studies(root):
        if path.parent.parent.name != "studies":
            continue  # conftest.py, which is for tests
        assert {name.split(".")[1] for name in imports(path, "studies")} <= {path.parent.name}, path


def test_scripts_and_rules_know_no_study_by_name(root):
    for path in (*(root / "scripts").glob("*.py"), *(root / "workflow/rules").glob("*.smk"), root / "Snakefile"):
        assert not re.search(r"^\s*(from|import) studies\b", path.read_text(), re.M), path


def test_what_is_read_before_every_run_needs_the_standard_library_alone(root):
    """Against an interpreter without any package: the frame's declarations and every study's."""
    named = [f"awduality.study.{name}" for name in DECLARED]
    named += [f"studies.{path.parent.name}.study" for path in (root / "studies").glob("*/study.py")]
    check = f"import importlib, sys; sys.path[:0] = {[str(root / 'src'), str(root)]!r}\n"
    check += f"for name in {named!r}: importlib.import_module(name)\n"
    check += "from awduality.study.discovery import study, study_names\nfor name in study_names(): study(name)"
    subprocess.run([sys.executable, "-I", "-S", "-c", check], check=True)


@pytest.mark.parametrize("name", ["step", "tables"])
def test_what_steps_are_run_by_carries_numbers_about_and_computes_none(root, name):
    below = {found.split(".")[1] for found in imports(root / f"src/awduality/study/{name}.py")}
    assert below <= {"files", "commandline", "streams", "runs", "study", "data"}  # data: the split, when a step asks


def test_scripts_import_from_modules_so_that_a_steps_code_can_be_found(root):
    for path in (root / "scripts").glob("*.py"):
        assert not re.search(r"^\s*(from awduality import|import awduality$)", path.read_text(), re.M), path


def test_modules_and_scripts_are_short(root):
    for path in modules(root):
        assert len(path.read_text().splitlines()) <= 300, path
    for path in (root / "scripts").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, path
    for path in code_of_studies(root):
        assert len(path.read_text().splitlines()) <= 300, path


def test_importing_the_package_imports_nothing_else(root):
    check = "import sys, awduality; assert not {'torch', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=root / "src")


def test_public_names_resolve_and_unknown_ones_do_not():
    import awduality

    assert all(getattr(awduality, name) is not None for name in dir(awduality))
    with pytest.raises(AttributeError, match="no attribute 'decompos'"):
        awduality.decompos  # noqa: B018


def test_torchvision_is_imported_in_one_place(root):
    users = [path.name for path in modules(root) if re.search(r"^\s*(import|from) torchvision", path.read_text(), re.M)]
    assert users == []
    assert "torchvision.datasets" in (root / "src/awduality/data/torchvision_import.py").read_text()


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins(root):
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def requirements(project):
    listed = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    named = {re.match(r"[\w.-]+", line)[0].lower(): line for line in listed}
    assert named.pop("awduality") == "awduality[mnist1d,oracles]"  # one extra that takes in others
    return named


def test_every_requirement_is_pinned_to_a_version_that_it_admits(project, pins):
    from packaging.requirements import Requirement

    for name, line in requirements(project).items():
        assert pins[name] in Requirement(line).specifier, line


def test_no_pin_has_a_local_version(pins):
    assert not [version for version in pins.values() if "+" in version]


def test_the_conda_environment_agrees_with_requirements_and_pins(root, project, pins):
    listed = yaml.safe_load((root / "environment.yml").read_text())["dependencies"]
    (by_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert dict(line.lower().split("==") for line in by_pip) == {name: pins[name] for name in requirements(project)}
    from packaging.specifiers import SpecifierSet

    (python,) = [entry for entry in listed if str(entry).startswith("python=")]
    assert f"{python.removeprefix('python=')}.0" in SpecifierSet(project["requires-python"])


def test_the_running_versions_are_the_pinned_ones(project, pins):
    from importlib.metadata import version

    for name in requirements(project):
        assert version(name).partition("+")[0] == pins[name], name
