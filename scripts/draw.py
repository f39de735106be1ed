"""Draw one figure of a study from its tables, as SVG and PNG."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from awduality.commandline import parse, recorded, run
from awduality.errors import InputError
from awduality.figures.style import apply_style, savefig
from awduality.files import read_frame, read_json
from awduality.study.discovery import DEFAULT, FOLDER, drawing_functions, module


def read(path: Path) -> Any:
    """The rows of a table, or the claims."""
    return read_json(path) if path.suffix == ".json" else read_frame(path)


@recorded
def main(argv: list[str] | None = None) -> None:
    """Call ``draw_<function>`` of the study's ``figures.py`` with its tables, in order."""
    parser = argparse.ArgumentParser(prog="scripts/draw.py", description=__doc__)
    parser.add_argument("figure", help="its name")
    parser.add_argument("--study", default=DEFAULT, help=f"a folder of {FOLDER}; {DEFAULT} by default")
    parser.add_argument("--function", help="draw_<function> draws it; by default that of its name")
    parser.add_argument("--words", nargs="*", default=[], help="what the function is told after its tables")
    parser.add_argument("--numbers", required=True, nargs="+", type=Path, help="the figure's tables, or claims.json")
    parser.add_argument("--svg-out", required=True, type=Path)
    parser.add_argument("--png-out", required=True, type=Path)
    arguments = parse(parser, argv)
    function, known = arguments.function or arguments.figure, drawing_functions(arguments.study)
    if function not in known:
        raise InputError(
            f"{FOLDER}/{arguments.study}/figures.py draws no {function!r}: wanted one of {', '.join(known)}, or "
            "another --study, or the --function that draws this figure"
        )
    apply_style()
    draw = getattr(module(arguments.study, "figures"), f"draw_{function}")
    savefig(draw(*map(read, arguments.numbers), *arguments.words), [arguments.svg_out, arguments.png_out])


if __name__ == "__main__":
    run(main)
