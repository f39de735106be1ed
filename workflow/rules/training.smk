"""Training, one job per shard: a factor's values for a block of seeds, as one ensemble; or one job for all shards."""


rule train:
    """Train a shard's runs to the target loss. A run that diverges or runs out of its budget is a row, not an error."""
    input:
        split=SPLIT,
        after=record("prepare_data"),
    output:
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
        record=record("train-{shard}"),
    log:
        LOGS / "train" / "{shard}.log",
    priority: 1  # long jobs first, so that no core is idle at the end
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_request,
    params:
        shards=described_shards,
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
        "python scripts/train.py --split {input.split} --shards {params.shards:q} --defaults {params.defaults:q}"
        " --training {params.training:q} --runs-out {output.runs} --solutions-out {output.solutions}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


if CONFIG["train_together"]:

    ruleorder: train_together > train

    use rule train as train_together with:
        output:
            runs=shard_files("runs", "csv"),
            solutions=shard_files("runs", "safetensors"),
            record=record("train"),
        log:
            LOGS / "train.log",
