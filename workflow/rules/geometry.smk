"""Hessian, dual weights and decomposition of every solution; the baseline's under every null."""


rule geometry:
    """Analyse a shard's solutions: a row per run, layer and pairing, and arrays over directions and pairs."""
    input:
        split=SPLIT,
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
        after=solution_records,
    output:
        geometry=RESULTS / "geometry" / "{shard}.csv",
        directions=RESULTS / "geometry" / "{shard}.safetensors",
        record=record("geometry-{shard}"),
    log:
        LOGS / "geometry" / "{shard}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_if_demanded,
    params:
        layers=CONFIG["layers"],
        pairings=CONFIG["geometry"]["pairings"],
        sharp=CONFIG["geometry"]["sharp_directions"],
        root_seed=CONFIG["root_seed"],
        shuffles=CONFIG["geometry"]["shuffles"],
        code=code("scripts/geometry.py"),
    shell:
        "python scripts/geometry.py --split {input.split} --runs {input.runs} --solutions {input.solutions}"
        " --layers {params.layers} --pairings {params.pairings} --sharp-directions {params.sharp}"
        " --root-seed {params.root_seed} --shuffles {params.shuffles}"
        " --geometry-out {output.geometry} --directions-out {output.directions}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"


rule nulls:
    """Analyse the baseline's solutions again under every null: rows, and curves over the directions."""
    input:
        split=SPLIT,
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
        after=solution_records,
    output:
        nulls=RESULTS / "nulls" / "{shard}.csv",
        curves=RESULTS / "nulls" / "{shard}.safetensors",
        record=record("nulls-{shard}"),
    log:
        LOGS / "nulls" / "{shard}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=gpu_if_demanded,
    params:
        layers=CONFIG["layers"],
        pairing=CONFIG["geometry"]["pairings"][0],
        sharp=CONFIG["geometry"]["sharp_directions"],
        root_seed=CONFIG["root_seed"],
        shuffles=CONFIG["geometry"]["shuffles"],
        rescalings=CONFIG["geometry"]["rescalings"],
        code=code("scripts/nulls.py"),
    shell:
        "python scripts/nulls.py --split {input.split} --runs {input.runs} --solutions {input.solutions}"
        " --layers {params.layers} --pairing {params.pairing} --sharp-directions {params.sharp}"
        " --root-seed {params.root_seed} --shuffles {params.shuffles} --rescalings {params.rescalings}"
        " --nulls-out {output.nulls} --curves-out {output.curves}"
        " --record {output.record} --after {input.after}"
        " 2>&1 | tee {log}"
