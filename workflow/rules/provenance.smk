"""Where everything comes from, gathered from the records that every job leaves; the last one seals the run."""


rule origin:
    """Where the numbers beside the figures come from: config, data, code, packages, digests of all results."""
    input:
        config=RESULTS / "config.json",
        after=[*upstream_records(), *number_records()],
    output:
        origin=FIGURES / "origin.json",
        record=record("origin"),
    log:
        LOGS / "origin.log",
    conda:
        ENVIRONMENT
    params:
        code=code("scripts/origin.py"),
    shell:
        "python scripts/origin.py --config {input.config} --origin-out {output.origin}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule provenance:
    """Where figures and verdicts come from. In a fresh clone: from the committed numbers, without the run."""
    input:
        origin=FIGURES / "origin.json",
        after=[*(record(f"draw-{figure}") for figure in figure_names()), record("claims")],
    output:
        provenance=FIGURES / "provenance.json",
        record=record("provenance"),
    log:
        LOGS / "provenance.log",
    conda:
        ENVIRONMENT
    params:
        code=code("scripts/provenance.py"),
    shell:
        "python scripts/provenance.py --origin {input.origin} --provenance-out {output.provenance}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule seal:
    """The last record of a run, which holds the digests of all others."""
    input:
        after=[
            *upstream_records(),
            *number_records(),
            *(record(job) for job in ("origin", "claims", "provenance")),
            *(record(f"draw-{figure}") for figure in figure_names()),
        ],
    output:
        record=record("seal"),
    log:
        LOGS / "seal.log",
    conda:
        ENVIRONMENT
    params:
        code=code("scripts/seal.py"),
    shell:
        "python scripts/seal.py --record {output.record} --after {input.after}" " 2>&1 | tee {log}"


rule crate:
    """The run as one ZIP that others can read and audit: a Provenance Run Crate. It comes after the seal."""
    input:
        project_files(ROOT),
        after=record("seal"),
    output:
        crate=RESULTS / "crate.zip",
        record=record("crate"),
    log:
        LOGS / "crate.log",
    conda:
        ENVIRONMENT
    params:
        code=code("scripts/crate.py"),
    shell:
        "python scripts/crate.py --seal {input.after} --crate-out {output.crate}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule audit:
    """Check results and figures against their records. No inputs: Snakemake would make them anew first."""
    log:
        LOGS / "audit.log",
    conda:
        ENVIRONMENT
    params:
        name=CONFIG["name"],
    shell:
        "python scripts/audit.py {params.name} 2>&1 | tee {log}"
