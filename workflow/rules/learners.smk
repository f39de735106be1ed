"""A study of many learners: training, geometry, numbers and verdicts; one training job per setting."""


rule train_learners:
    """Train a setting's runs, learners × seeds as one stack. A run that fails to learn is a row, not an error."""
    input:
        split=SPLIT,
        after=record("prepare_data"),
    output:
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
        record=record("train_learners-{shard}"),
    log:
        LOGS / "train" / "{shard}.log",
    priority: 1  # long jobs first, so that no core is idle at the end
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_request,
    params:
        setting=lambda wildcards: as_json(SHARDS[wildcards.shard].settings),
        seeds=lambda wildcards: SHARDS[wildcards.shard].seeds,
        training=as_json(
            {
                **CONFIG["network"],
                **{key: LEARNERS[key] for key in ("width", "train_size", "target_loss")},
                "root_seed": CONFIG["root_seed"],
            }
        ),
        code=code("scripts/train_learners.py"),
    shell:
        "python scripts/train_learners.py --split {input.split} --setting {params.setting:q} --seeds {params.seeds}"
        " --training {params.training:q} --runs-out {output.runs} --solutions-out {output.solutions}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule learner_geometry:
    """Sharpness and size of a setting's solutions: a row per run and layer."""
    input:
        split=SPLIT,
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
        after=lambda wildcards: [record("prepare_data"), record(f"train_learners-{wildcards.shard}")],
    output:
        geometry=RESULTS / "geometry" / "{shard}.csv",
        losses=RESULTS / "geometry" / "{shard}.safetensors",
        record=record("learner_geometry-{shard}"),
    log:
        LOGS / "geometry" / "{shard}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        layers=CONFIG["layers"],
        analysed=LEARNERS["analysed"],
        directions=LEARNERS["directions"],
        code=code("scripts/learner_geometry.py"),
    shell:
        "python scripts/learner_geometry.py --split {input.split} --runs {input.runs} --solutions {input.solutions}"
        " --layers {params.layers} --analysed {params.analysed} --directions {params.directions}"
        " --geometry-out {output.geometry} --losses-out {output.losses}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"
