"""Which studies there are, found by their folders, and what each says of itself without being run."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from awduality.errors import InputError
from awduality.study.contract import Drawn, Study

ROOT = Path(__file__).resolve().parents[3]
"""The project that this code is part of. A study is never imported from another one, which may be a stranger's."""

FOLDER = "studies"
_NAME = re.compile(r"[a-z][a-z0-9_]*")

RULES = (
    *("plan", "prepare_data", "claims", "draw", "figures", "origin", "provenance", "seal", "crate", "audit"),
    *("everything", "all", "study", "kinds"),
)
"""Names that no step can have: of rules that every study has, and of the modules of a study that are no steps."""

DEFAULT = "sweeps"
"""The study of a config that names none: the main paper's, whose default it is laid over."""


def study_names() -> list[str]:
    """Every study, by the name of its folder; folders whose names begin with ``_`` are none.

    Raises:
        InputError: a folder's name is none that rules, modules and configs can have.
    """
    names = sorted(path.parent.name for path in (ROOT / FOLDER).glob("*/study.py") if path.parent.name[0] != "_")
    if odd := [name for name in names if not _NAME.fullmatch(name)]:
        raise InputError(
            f"{FOLDER}/{odd[0]}: a study is called by its folder, and this name cannot be a module, a rule and a key "
            "of a config: wanted small letters, digits and _, a letter first; rename the folder"
        )
    return names


@cache
def study(name: str) -> Study:
    """The declaration of a study.

    Raises:
        InputError: there is no such study, its declaration imports too much, or declares nothing.
    """
    if name not in study_names() and not (ROOT / FOLDER / name / "study.py").is_file():
        raise InputError(
            f"there is no study {name!r}: wanted a folder {FOLDER}/{name} with a declaration study.py. The studies are "
            f"{', '.join(study_names())}; cp -r {FOLDER}/_template {FOLDER}/{name} makes a new one"
        )
    if foreign := sorted(set(foreign_imports(ROOT / FOLDER / name / "study.py"))):
        raise InputError(
            f"{FOLDER}/{name}/study.py imports {', '.join(foreign)}: wanted the standard library and awduality.study."
            "contract, since every run of Snakemake reads it; move what needs more into a step"
        )
    declared = getattr(module(name, "study"), "STUDY", None)
    if not isinstance(declared, Study):
        raise InputError(f"{FOLDER}/{name}/study.py declares no study: wanted STUDY = Study(...)")
    return declared


def check_steps(name: str) -> None:
    """Every step that a study declares is there; a job that the audit repeats has the code of its own step alone.

    Raises:
        InputError: one is not, or its name is taken.
    """
    for step in study(name).steps:
        if step.name in RULES or not _NAME.fullmatch(step.name):
            raise InputError(
                f"{FOLDER}/{name}/study.py: a step cannot be called {step.name!r}: wanted small letters, digits and _, "
                f"a letter first, and none of {', '.join(RULES)}, which every study has; rename the step and its module"
            )
        if not (ROOT / FOLDER / name / f"{step.name}.py").is_file():
            raise InputError(
                f"{FOLDER}/{name}/study.py declares the step {step.name!r}, but {step.name}.py is not there"
            )


def module(name: str, part: str) -> ModuleType:
    """A module of a study of this project, whatever else is called ``studies`` where Python looks."""
    package = sys.modules.setdefault(FOLDER, ModuleType(FOLDER))  # kept where it is there: it holds what is imported
    package.__path__ = [str(ROOT / FOLDER)]
    return importlib.import_module(f"{FOLDER}.{name}.{part}")


def named_studies(config: Mapping[str, Any]) -> list[str]:
    """The studies whose names are among a config's keys, sorted."""
    return [name for name in study_names() if name in config]


def study_of(config: Mapping[str, Any]) -> str:
    """The study that a config belongs to: the one whose name is among its keys.

    Raises:
        InputError: two of them are, or none.
    """
    named = named_studies(config)
    if len(named) != 1:
        said = f"names {len(named)} studies ({', '.join(named)})" if named else "names no study"
        raise InputError(
            f"the config {config.get('name')!r} {said}: wanted one key of {', '.join(study_names())}, and no other"
        )
    return named[0]


def claims_file(name: str) -> str:
    """Where the claims of a study stand."""
    return study(name).claims or f"{FOLDER}/{name}/claims.yaml"


def size_files(size: str) -> dict[str, str]:
    """Study → the config of this size, of every study that has one.

    Raises:
        InputError: no study has this size.
    """
    declared = {name: study(name).sizes.get(size, f"{FOLDER}/{name}/{size}.yaml") for name in study_names()}
    found = {name: path for name, path in declared.items() if (ROOT / path).is_file()}
    if DEFAULT not in found:
        sizes = sorted({"quick", *study(DEFAULT).sizes})
        raise InputError(f"size: got {size!r}, wanted {' or '.join(sizes)}, as in --config size=full")
    return found


def figures(name: str, config: Mapping[str, Any]) -> dict[str, Drawn]:
    """Figure → how it is drawn: ``draw_<figure>(<table>, …)`` in ``figures.py``; nothing of it runs."""
    found = {function: Drawn(function, tables) for function, tables in drawing_functions(name).items()}
    return dict(study(name).figures(config, found))


def drawing_functions(name: str) -> dict[str, list[str]]:
    """Function, without ``draw_``, → the files that its parameters name."""
    return {
        node.name.removeprefix("draw_"): [_table(argument.arg) for argument in node.args.args]
        for node in _functions(name)
    }


def captions(name: str) -> dict[str, str]:
    """Function, without ``draw_``, → the caption of its figures, which is its docstring.

    Raises:
        InputError: a figure has none.
    """
    found = {}
    for node in _functions(name):
        text = ast.get_docstring(node)
        if not text:
            raise InputError(
                f"{FOLDER}/{name}/figures.py: {node.name} has no docstring, which is the caption of its figure: say "
                "what is drawn"
            )
        found[node.name.removeprefix("draw_")] = " ".join(text.split())
    return found


def _functions(name: str) -> Iterator[ast.FunctionDef]:
    path = ROOT / FOLDER / name / "figures.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    yield from (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("draw_"))


def _table(parameter: str) -> str:
    return "claims.json" if parameter == "claims" else f"{parameter.replace('_', '-')}.csv"


def foreign_imports(path: Path) -> Iterator[str]:
    """What a file, with what it imports of the project, takes from neither the standard library nor the project."""
    known = {*sys.stdlib_module_names, "awduality", FOLDER}
    for file in closure(path):
        tops = {name.partition(".")[0] for name in imported_modules(ROOT / file)}
        yield from tops - known


def imported_modules(path: Path) -> tuple[str, ...]:
    """The modules that a file imports, at its top or within functions, but for those below ``if TYPE_CHECKING``."""
    return _imports(path, path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path, text: str) -> tuple[str, ...]:
    """The same of a file with this text: closures share most of their files, and each is parsed once."""
    found: list[str] = []
    for node in _executed(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = ".".join([*_package(path, node.level), *([node.module] if node.module else [])])
            found += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]  # a module, where there is its file
    return tuple(dict.fromkeys(found))


@cache
def _imported_files(path: Path, text: str) -> tuple[Path, ...]:
    """The files of the project that importing a file with this text runs, but for those behind them."""
    return tuple(dict.fromkeys(file for name in _imports(path, text) for file in local_files(name)))


def _package(path: Path, level: int) -> list[str]:
    """The package that a relative import of so many dots begins at; nothing for an absolute one."""
    if not level:
        return []
    top = ROOT / "src" if path.is_relative_to(ROOT / "src") else ROOT
    return list(path.relative_to(top).parts[:-level])


def local_files(name: str) -> list[Path]:
    """The files of the project that importing a module runs: its own and the ``__init__`` of its packages."""
    parts, found = name.split("."), []
    if parts[0] not in ("awduality", FOLDER):
        return []
    start = ROOT / "src" if parts[0] == "awduality" else ROOT
    for depth in range(1, len(parts) + 1):
        place = start.joinpath(*parts[:depth])
        found += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    whole = start.joinpath(*parts)
    return found if whole.with_suffix(".py").is_file() or whole.is_dir() else []


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        unseen = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not unseen and not isinstance(child, ast.expr):  # no expression holds a statement
            yield from _executed(child)


def closure(path: str | Path) -> list[str]:
    """A file and every file of the project that it imports, directly or not, as paths within the project."""
    found: set[Path] = set()
    queue = [ROOT / path]
    while queue:
        file = queue.pop()
        if file not in found:
            found.add(file)
            queue += _imported_files(file, file.read_text(encoding="utf-8"))
    return sorted(file.relative_to(ROOT).as_posix() for file in found)
