"""Snakemake's report has every figure of a run with the caption that its drawing function states."""

import shutil

import yaml

from awduality.study.discovery import captions
from awduality.study.jobs import Jobs
from tests.conftest import SMOKE, run_snakemake


def test_every_figure_of_a_run_is_in_the_report_with_its_own_caption(finished, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(finished, tree, symlinks=True)
    run_snakemake(tree, *SMOKE, "--report", "report.html")
    text = (tree / "report.html").read_text(encoding="utf-8")
    config = yaml.safe_load((tree / "results/smoke/config.json").read_text())
    known = captions("sweeps")
    for figure, drawn in Jobs.of(config).drawn.items():
        assert f"{figure}.svg" in text
        first = known[drawn.function].partition(".")[0]
        plain = first.partition("’")[0].partition("–")[0]  # as far as every encoding spells it alike
        assert plain in text, figure
