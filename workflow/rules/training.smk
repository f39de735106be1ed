"""Training, one job per shard: a factor's values for a block of seeds, as one ensemble."""


rule train:
    """Train a shard's runs to the target loss. A run that diverges or runs out of its budget is a row, not an error."""
    input:
        split=SPLIT,
    output:
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
    log:
        LOGS / "train" / "{shard}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_request,
    params:
        factor=lambda wildcards: SHARDS[wildcards.shard].factor,
        values=lambda wildcards: as_json(SHARDS[wildcards.shard].values),
        seeds=lambda wildcards: as_json(SHARDS[wildcards.shard].seeds),
        defaults=as_json(CONFIG["defaults"]),
        training=as_json(
            {
                **CONFIG["training"],
                **CONFIG["network"],
                "root_seed": CONFIG["root_seed"],
            }
        ),
        code=code("scripts/train.py"),
    shell:
        "python scripts/train.py --split {input.split} --factor {params.factor} --values {params.values:q}"
        " --seeds {params.seeds:q} --defaults {params.defaults:q} --training {params.training:q}"
        " --runs-out {output.runs} --solutions-out {output.solutions}"
        " 2>&1 | tee {log}"
