"""Hessian, dual weights and decomposition of every solution."""


rule geometry:
    """Analyse a shard's solutions: a row per run, layer and pairing, and arrays over directions and pairs."""
    input:
        split=SPLIT,
        runs=RESULTS / "runs" / "{shard}.csv",
        solutions=RESULTS / "runs" / "{shard}.safetensors",
    output:
        geometry=RESULTS / "geometry" / "{shard}.csv",
        directions=RESULTS / "geometry" / "{shard}.safetensors",
    log:
        LOGS / "geometry" / "{shard}.log",
    conda:
        ENVIRONMENT
    threads: 1
    params:
        layers=CONFIG["layers"],
        pairings=CONFIG["geometry"]["pairings"],
        sharp=CONFIG["geometry"]["sharp_directions"],
        code=code("scripts/geometry.py"),
    shell:
        "python scripts/geometry.py --split {input.split} --runs {input.runs} --solutions {input.solutions}"
        " --layers {params.layers} --pairings {params.pairings} --sharp-directions {params.sharp}"
        " --geometry-out {output.geometry} --directions-out {output.directions}"
        " 2>&1 | tee {log}"
