rule prepare:
    output:
        "data/prepared/{dataset}/index.json",
    log:
        "results/logs/prepare/{dataset}.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m data prepare {wildcards.dataset} > {log} 2>&1"
