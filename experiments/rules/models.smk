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


# The instruction editor on top of the committed autoencoder: `snakemake -j N embedded_editor`.
rule embedded_editor:
    input:
        "build/models-step1x/evaluate.done",


rule train_editor:
    output:
        touch("build/models-step1x/step1x.done"),
    log:
        "build/models-step1x/step1x.log",
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=5000,
        runtime=600,
    params:
        python=sys.executable,
    shell:
        "{params.python} -m models.train_step1x --workers {threads} 2>&1 | tee {log}"


rule evaluate_editor:
    input:
        ancient("build/models-step1x/step1x.done"),
    output:
        touch("build/models-step1x/evaluate.done"),
    log:
        "build/models-step1x/evaluate.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        python=sys.executable,
    shell:
        "{params.python} -m models.evaluate_step1x 2>&1 | tee {log}"


# Talking portraits, their autoencoder trained on from the world's: `snakemake -j N
# embedded_portraits`.
rule embedded_portraits:
    input:
        "build/models-hallo/evaluate.done",


rule train_portraits:
    input:
        ancient(
            lambda wildcards: (
                "build/models-hallo/portrait_vae.done"
                if wildcards.part == "hallo"
                else []
            )
        ),
    output:
        touch("build/models-hallo/{part}.done"),
    log:
        "build/models-hallo/{part}.log",
    wildcard_constraints:
        part="portrait_vae|hallo",
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


rule evaluate_portraits:
    input:
        ancient("build/models-hallo/hallo.done"),
    output:
        touch("build/models-hallo/evaluate.done"),
    log:
        "build/models-hallo/evaluate.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        python=sys.executable,
    shell:
        "{params.python} -m models.evaluate_hallo 2>&1 | tee {log}"
