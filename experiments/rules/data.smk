rule prepare:
    output:
        "data/prepared/{dataset}/index.json",
    log:
        "results/logs/prepare/{dataset}.log",
    # Before any number of shards: with as many cores to ask for, it would wait while each that gets
    # free goes to a shard.
    priority: 100
    conda:
        "../../environment.yml"
    threads: 4
    params:
        python=sys.executable,
    shell:
        "{params.python} -m data prepare {wildcards.dataset} --workers {threads} > {log} 2>&1"
