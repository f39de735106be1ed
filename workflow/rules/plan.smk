"""What the config asks for, written down next to the results."""


rule plan:
    """The complete config, and every run once with its settings, seed, shard and sweeps."""
    output:
        config=RESULTS / "config.json",
        plan=RESULTS / "plan.json",
        record=record("plan"),
    log:
        LOGS / "plan.log",
    conda:
        ENVIRONMENT
    params:
        config=as_json(CONFIG),
        sources=config_files(),
        digests=digests(config_files()),
        code=code("scripts/plan.py"),
    shell:
        "python scripts/plan.py --config {params.config:q} --sources {params.sources:q}"
        " --config-out {output.config} --plan-out {output.plan} --record {output.record}"
        " 2>&1 | tee {log}"
