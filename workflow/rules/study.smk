"""One config of one study, from plan to seal: the same rules for all. Included for one, a module for each further one."""


include: "common.smk"


CONFIG, FILES = asked_config()
JOBS = Jobs.of(CONFIG)
ALL_JOBS = JOBS.jobs
CAPTIONS = captions(JOBS.name)
RESULTS, FIGURES = Path(JOBS.results), Path(JOBS.figures)
LOGS = Path("logs") / CONFIG["name"]
STUDY_FILE = f"studies/{JOBS.name}/study.py"
KINDS = [path for path in [f"studies/{JOBS.name}/kinds.py"] if (ROOT / path).is_file()]
PRIORITY = 10 * (JOBS.name == DEFAULT)  # the main paper's figures first
record, records = JOBS.record, JOBS.records


rule plan:
    """The complete config, and every run once with its settings, seed, shard and the experiments that ask for it."""
    output:
        config=RESULTS / "config.json",
        plan=RESULTS / "plan.json",
        record=record("plan"),
    log:
        LOGS / "plan.log",
    priority: PRIORITY
    conda:
        ENVIRONMENT
    params:
        config=as_json(CONFIG),
        sources=FILES,
        digests=digests(FILES),
        code=code("scripts/plan.py", STUDY_FILE),
    shell:
        "python scripts/plan.py --config {params.config:q} --sources {params.sources:q}"
        " --config-out {output.config} --plan-out {output.plan} --record {output.record}"
        " > {log} 2>&1"


if JOBS.has_data:

    rule prepare_data:
        """The part of the dataset that the config uses, and its card. Downloads only what the data root lacks."""
        output:
            split=JOBS.split,
            card=JOBS.card,
            record=record("prepare_data"),
        log:
            LOGS / "prepare_data.log",
        priority: PRIORITY
        conda:
            ENVIRONMENT
        params:
            options=data_options(CONFIG["data"]),
            pool=as_json(CONFIG["data"]["pool"]),
            test=as_json(CONFIG["data"]["test"]),
            smallest=JOBS.study.smallest(CONFIG),
            code=code("scripts/prepare_data.py"),
        shell:
            "python scripts/prepare_data.py {params.options:q}"
            " --pool {params.pool:q} --test {params.test:q} --smallest-train-size {params.smallest}"
            " --split-out {output.split} --card-out {output.card} --record {output.record}"
            " > {log} 2>&1"


# A rule per step: of every shard, of all shards together, or of the study.
for step in JOBS.study.steps:
    if step.each == "study":

        rule:
            """A step of the study: from the results of all shards to tables beside the figures."""
            name:
                step.name
            input:
                ALL_JOBS[step.name].inputs,
                after=records(step.name),
            output:
                tables=ALL_JOBS[step.name].outputs,
                record=record(step.name),
            log:
                LOGS / f"{step.name}.log",
            priority: PRIORITY
            conda:
                ENVIRONMENT
            threads: 1
            params:
                module=f"studies.{JOBS.name}.{step.name}",
                sources=lambda wildcards, step=step: JOBS.sources(step),
                figures=FIGURES,
                asked=as_json(JOBS.asked(step)),
                code=code(JOBS.script(step)),
            shell:
                "python -m {params.module} {params.sources} --asked {params.asked:q} --out {params.figures}"
                " --record {output.record} --after {input.after}"
                " > {log} 2>&1"

    else:

        rule:
            """A step of a shard: a row per run, and the arrays behind it."""
            name:
                step.name
            input:
                lambda wildcards, step=step: JOBS.job(step, wildcards.get("shard")).inputs,
                after=lambda wildcards, step=step: records(JOBS.job_of(step, wildcards.get("shard"))),
            output:
                made=(
                    JOBS.made(step)
                    if JOBS.together(step)
                    else [RESULTS / step.place / f"{{shard}}.{suffix}" for suffix in ("csv", "safetensors")]
                ),
                record=record(step.name if JOBS.together(step) else f"{step.name}-{{shard}}"),
            log:
                LOGS / (f"{step.name}.log" if JOBS.together(step) else f"{step.name}/{{shard}}.log"),
            wildcard_constraints:
                shard="|".join(map(re.escape, JOBS.shards_of(step))),
            priority: PRIORITY + (not step.after)  # long jobs first, so that no core is idle at the end
            conda:
                ENVIRONMENT
            threads: 1
            resources:
                gpu=lambda wildcards, step=step: gpu_request(step),
            params:
                module=f"studies.{JOBS.name}.{step.name}",
                out=RESULTS / step.place,
                before=[f"{name}={RESULTS / JOBS.step(name).place}" for name in step.after],
                split=["--split", JOBS.split] if step.data else [],
                asked=as_json(JOBS.asked(step)),
                shards=lambda wildcards, step=step: as_json(JOBS.job(step, wildcards.get("shard")).parameters["shards"]),
                code=code(JOBS.script(step)),
            shell:
                "python -m {params.module} --shards {params.shards:q} --asked {params.asked:q} {params.split}"
                " --before {params.before} --out {params.out}"
                " --record {output.record} --after {input.after}"
                " > {log} 2>&1"


rule claims:
    """Judge every claim: one object per claim, among the results and, to be committed, beside the figures."""
    input:
        claims=ALL_JOBS["claims"].inputs[0],
        schema=CLAIMS_SCHEMA,
        tables=ALL_JOBS["claims"].inputs[2:],
    output:
        claims=RESULTS / "claims.json",
        committed=FIGURES / "claims.json",
        record=record("claims"),
    log:
        LOGS / "claims.log",
    priority: PRIORITY
    conda:
        ENVIRONMENT
    params:
        study=JOBS.name,
        root_seed=CONFIG["root_seed"],
        code=code("scripts/claims.py", STUDY_FILE, *KINDS),
    shell:
        "python scripts/claims.py --study {params.study} --claims {input.claims} --schema {input.schema}"
        " --tables {input.tables} --root-seed {params.root_seed}"
        " --claims-out {output.claims} {output.committed} --record {output.record}"
        " > {log} 2>&1"


rule draw:
    """Draw one figure from its tables, as SVG and PNG. Its code is among its inputs, so that a clone redraws after an edit."""
    input:
        code_files("scripts/draw.py", f"studies/{JOBS.name}/figures.py"),
        numbers=lambda wildcards: ALL_JOBS[f"draw-{wildcards.figure}"].inputs,
    output:
        svg=report(
            FIGURES / "{figure}.svg",
            caption="../report/figure.rst",
            category=JOBS.title,
            labels={"config": CONFIG["name"], "figure": "{figure}"},
        ),
        png=FIGURES / "{figure}.png",
        record=record("draw-{figure}"),
    log:
        LOGS / "draw" / "{figure}.log",
    wildcard_constraints:
        figure="|".join(JOBS.drawn),
    priority: PRIORITY
    conda:
        ENVIRONMENT
    params:
        options=lambda wildcards: JOBS.drawing_options(wildcards.figure),
        caption=lambda wildcards: CAPTIONS[JOBS.drawn[wildcards.figure].function],
    shell:
        "python scripts/draw.py {wildcards.figure} {params.options} --numbers {input.numbers}"
        " --svg-out {output.svg} --png-out {output.png} --record {output.record}"
        " > {log} 2>&1"


rule figures:
    """All figures of the config, with their numbers. In a fresh clone: draws what is missing, without the run."""
    input:
        JOBS.tables,
        FIGURES / "claims.json",
        [path for figure in JOBS.drawn for path in ALL_JOBS[f"draw-{figure}"].outputs],
        FIGURES / "provenance.json",


rule origin:
    """Where the numbers beside the figures come from: config, data, code, packages, digests of all results."""
    input:
        config=RESULTS / "config.json",
        after=records("origin"),
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
        " > {log} 2>&1"


rule provenance:
    """Where figures and verdicts come from. In a fresh clone: from the committed numbers, without the run."""
    input:
        origin=FIGURES / "origin.json",
        after=records("provenance"),
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
        " > {log} 2>&1"


rule seal:
    """The last record of a run, which holds the digests of all others."""
    input:
        after=records("seal"),
    output:
        record=record("seal"),
    log:
        LOGS / "seal.log",
    conda:
        ENVIRONMENT
    params:
        code=code("scripts/seal.py"),
    shell:
        "python scripts/seal.py --record {output.record} --after {input.after}" " > {log} 2>&1"


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
        " > {log} 2>&1"


rule audit:
    """Check results and figures against their records. No inputs: Snakemake would make them anew first."""
    log:
        LOGS / "audit.log",
    conda:
        ENVIRONMENT
    params:
        name=CONFIG["name"],
    shell:
        "python scripts/audit.py {params.name} > {log} 2>&1"


rule everything:
    """Everything that the config asks for: results, verdicts, and the figures drawn from them."""
    input:
        [path for job in ALL_JOBS.values() for path in job.outputs],
        record("seal"),
