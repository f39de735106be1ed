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


rule learner_numbers:
    """The numbers that the figures show and that claims are judged from, as tables beside them."""
    input:
        plan=RESULTS / "plan.json",
        config=RESULTS / "config.json",
        card=CARD if CONFIG["data"]["source"] == "image_folder" else [],
        training=training_outputs(),
        geometry=geometry_outputs(),
        after=upstream_records(),
    output:
        numbers=[FIGURES / table for table in LEARNER_TABLES],
        record=record("learner_numbers"),
    log:
        LOGS / "learner_numbers.log",
    conda:
        ENVIRONMENT
    params:
        results=RESULTS,
        figures=FIGURES,
        layer=CONFIG["layers"][0],
        code=code("scripts/learner_numbers.py"),
    shell:
        "python scripts/learner_numbers.py --results {params.results} --layer {params.layer}"
        " --figures-out {params.figures} --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule surface:
    """The loss surface in the plane of two solutions and the weights that both started from."""
    input:
        plan=RESULTS / "plan.json",
        config=RESULTS / "config.json",
        card=CARD if CONFIG["data"]["source"] == "image_folder" else [],
        split=SPLIT,
        training=training_outputs(),
        after=[record("plan"), record("prepare_data"), *(record(f"train_learners-{shard}") for shard in SHARDS)],
    output:
        surface=FIGURES / "surface.csv",
        record=record("surface"),
    log:
        LOGS / "surface.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        results=RESULTS,
        root_seed=CONFIG["root_seed"],
        train_size=LEARNERS["train_size"],
        code=code("scripts/surface.py"),
    shell:
        "python scripts/surface.py --results {params.results} --split {input.split} --root-seed {params.root_seed}"
        " --train-size {params.train_size} --surface-out {output.surface}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule claims:
    """Judge every claim of the study: one object per claim, among the results and, to be committed, beside the figures."""
    input:
        claims="config/learner-claims.yaml",
        schema="workflow/schemas/learner-claims.schema.yaml",
        runs=FIGURES / "runs.csv",
        course=FIGURES / "course.csv",
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
        " --course {input.course} --samples {input.samples} --root-seed {params.root_seed}"
        " --claims-out {output.claims} {output.committed} --record {output.record}"
        " 2>&1 | tee {log}"
