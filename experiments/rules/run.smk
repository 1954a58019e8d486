# How many shards run at a time, for the time left that shards print; 0 on a cluster, which decides.
WORKERS = workflow.is_main_process and workflow.resource_settings.cores or 0


# Progress goes to the terminal (stdout), everything else to the log.
rule shard:
    input:
        ancient(WANTED.inputs),
    output:
        "results/shards/{digest}.json",
    log:
        "results/logs/shards/{digest}.log",
    # What scores can wait: it fills the cores that the last shards leave.
    priority: 1
    conda:
        "../../environment.yml"
    # One thread per shard, so that parallel shards divide the cores and a cell's frames do not
    # depend on how many there are; `--set-threads shard=4` gives each shard more.
    threads: 1
    resources:
        gpu=WANTED.gpu,
        mem_mb=WANTED.mem_mb,
        runtime=WANTED.runtime,
    params:
        python=sys.executable,
        experiment=WANTED.experiment_of,
        workers=WORKERS,
        devices=WANTED.devices,
    shell:
        "{params.python} -m experiments shard {params.experiment} --id {wildcards.digest}"
        " --threads {threads} --workers {params.workers} --devices {params.devices:q} 2> {log}"


rule score:
    input:
        ancient(WANTED.inputs),
    output:
        "results/scored/{digest}.json",
    log:
        "results/logs/scored/{digest}.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=WANTED.mem_mb,
        runtime=WANTED.runtime,
    params:
        python=sys.executable,
        experiment=WANTED.experiment_of,
    shell:
        "{params.python} -m experiments score {params.experiment} --id {wildcards.digest}"
        " --threads {threads} 2> {log}"
