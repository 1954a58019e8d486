localrules:
    share,


# snakemake share --config experiment=<name>: pack, push, and write what git has to know.
# `make pull` is its other half; that one needs no graph.
rule share:
    log:
        "results/logs/share.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
        experiment=config.get("experiment", "quickstart"),
    shell:
        "{params.python} -m experiments --folder experiments share {params.experiment:q} 2> {log}"
        " || {{ status=$?; cat {log} >&2; exit $status; }}"
