"""From results to the numbers that figures show and claims are judged from."""


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
