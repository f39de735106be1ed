"""Two steps: results to the numbers drawn, numbers to pictures. The second needs nothing but what is committed."""


rule figures:
    """All figures of the config, with their numbers. In a fresh clone: draws what is missing, without the run."""
    input:
        figure_outputs(),
        FIGURES / "provenance.json",


rule figure_numbers:
    """The numbers that the figures show and that claims are judged from, as tables beside them."""
    input:
        plan=RESULTS / "plan.json",
        card=CARD if CONFIG["data"]["source"] == "image_folder" else [],
        training=training_outputs(),
        geometry=geometry_outputs(),
        nulls=null_outputs(),
        after=upstream_records(),
    output:
        numbers=number_files(),
        record=record("figure_numbers"),
    log:
        LOGS / "figure_numbers.log",
    conda:
        ENVIRONMENT
    params:
        results=RESULTS,
        figures=FIGURES,
        layer=CONFIG["layers"][0],
        pairing=CONFIG["geometry"]["pairings"][0],
        code=code("scripts/figure_numbers.py"),
    shell:
        "python scripts/figure_numbers.py --results {params.results} --layer {params.layer}"
        " --pairing {params.pairing} --figures-out {params.figures}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


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
