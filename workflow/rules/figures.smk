"""From the numbers to pictures. It needs nothing but what is committed."""


rule figures:
    """All figures of the config, with their numbers. In a fresh clone: draws what is missing, without the run."""
    input:
        figure_outputs(),
        FIGURES / "provenance.json",


rule draw:
    """Draw one figure from its tables, as SVG and PNG. Its code is among its inputs, so that a clone redraws after an edit."""
    input:
        code_files("scripts/draw.py"),
        numbers=numbers_of,
    output:
        svg=report(
            FIGURES / "{figure}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        png=FIGURES / "{figure}.png",
        record=record("draw-{figure}"),
    log:
        LOGS / "draw" / "{figure}.log",
    conda:
        ENVIRONMENT
    shell:
        "python scripts/draw.py {wildcards.figure} --numbers {input.numbers} --svg-out {output.svg} --png-out {output.png}"
        " --record {output.record}"
        " 2>&1 | tee {log}"
