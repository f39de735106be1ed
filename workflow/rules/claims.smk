"""Verdicts on the claims, from the numbers that lie beside the figures: a clone judges them again without the run."""


rule claims:
    """Judge every claim: one object per claim, among the results and, to be committed, beside the figures."""
    input:
        claims="config/claims.yaml",
        schema="workflow/schemas/claims.schema.yaml",
        runs=FIGURES / "runs.csv",
        null_runs=FIGURES / "null-runs.csv",
        samples=FIGURES / "samples.csv",
    output:
        claims=RESULTS / "claims.json",
        committed=FIGURES / "claims.json",
        record=record("claims"),
    log:
        LOGS / "claims.log",
    conda:
        ENVIRONMENT
    params:
        root_seed=CONFIG["root_seed"],
        code=code("scripts/claims.py"),
    shell:
        "python scripts/claims.py --claims {input.claims} --schema {input.schema} --runs {input.runs}"
        " --null-runs {input.null_runs} --samples {input.samples} --root-seed {params.root_seed}"
        " --claims-out {output.claims} {output.committed} --record {output.record}"
        " 2>&1 | tee {log}"
