rule prepare:
    output:
        "data/prepared/{dataset}/index.json",
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    threads: 4
    # Before any shard: it would wait for as many cores while shards take each that gets free.
    priority: 2
    params:
        python=sys.executable,
    shell:
        "{params.python} -m data prepare {wildcards.dataset} --workers {threads} > {log} 2>&1"
