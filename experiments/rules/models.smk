# Train the embedded models again: `snakemake -j N embedded_models`. Every step resumes from its
# checkpoint in build/models/ after an interruption; what it writes replaces models/world-*.
STARTS_FROM = {"vae": [], "clip": [], "unet": ["vae"], "decoder": ["unet"]}


rule embedded_models:
    input:
        "build/models/evaluate.done",


rule train_model:
    input:
        ancient(
            lambda wildcards: expand(
                "build/models/{part}.done", part=STARTS_FROM[wildcards.part]
            )
        ),
    output:
        touch("build/models/{part}.done"),
    log:
        "build/models/{part}.log",
    wildcard_constraints:
        part="vae|clip|unet|decoder",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=600,
    params:
        python=sys.executable,
    shell:
        "{params.python} -m models.train_{wildcards.part} --workers {threads} 2>&1 | tee {log}"


rule evaluate_models:
    input:
        ancient(expand("build/models/{part}.done", part=["decoder", "clip"])),
    output:
        touch("build/models/evaluate.done"),
    log:
        "build/models/evaluate.log",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        python=sys.executable,
    shell:
        "{params.python} -m models.evaluate 2>&1 | tee {log}"
