"""Datasets and splits."""


rule prepare_data:
    """The part of the dataset that the config uses, and its card. Downloads only what the data root lacks."""
    output:
        split=SPLIT,
        card=CARD,
        record=record("prepare_data"),
    log:
        LOGS / "prepare_data.log",
    conda:
        ENVIRONMENT
    params:
        source=CONFIG["data"]["source"],
        options=data_options(),
        permutation_seed=CONFIG["data"]["permutation_seed"],
        pool=as_json(CONFIG["data"]["pool"]),
        test=as_json(CONFIG["data"]["test"]),
        smallest=smallest_train_size(),
        code=code("scripts/prepare_data.py"),
    shell:
        "python scripts/prepare_data.py --source {params.source} {params.options:q} --permutation-seed {params.permutation_seed}"
        " --pool {params.pool:q} --test {params.test:q} --smallest-train-size {params.smallest}"
        " --split-out {output.split} --card-out {output.card} --record {output.record}"
        " 2>&1 | tee {log}"
