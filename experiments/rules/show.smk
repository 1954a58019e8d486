localrules:
    collect,
    verdict,
    tables,
    compare,
    study,


rule collect:
    input:
        ancient(WANTED.collected),
    output:
        "results/collected/{experiment}-{digest}.json",
    log:
        "results/logs/collected/{experiment}-{digest}.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m experiments collect experiments/{wildcards.experiment}.yaml > {log} 2>&1"


rule report:
    input:
        ancient(WANTED.rendered),
    output:
        json="results/rendered/{experiment}-{digest}.json",
        page=report(
            "results/rendered/{experiment}-{digest}.html",
            caption="captions/page.rst",
            category="{experiment}",
            labels={"what": "the whole report"},
        ),
        tables=report(
            directory("results/rendered/{experiment}-{digest}-tables"),
            patterns=["{table}.html"],
            caption="captions/table.rst",
            category="{experiment}",
            subcategory="Tables",
            labels={"table": "{table}"},
        ),
        figures=report(
            directory("results/rendered/{experiment}-{digest}-figures"),
            patterns=["{figure}.svg"],
            caption="captions/figure.rst",
            category="{experiment}",
            subcategory="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/logs/rendered/{experiment}-{digest}.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m experiments report experiments/{wildcards.experiment}.yaml 2> {log}"


# Ends the run with an error when cells failed, after the report that shows them is written.
rule verdict:
    input:
        ancient(WANTED.verdict),
    output:
        "results/verdicts/{experiment}-{digest}.json",
    log:
        "results/logs/verdicts/{experiment}-{digest}.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m experiments verdict experiments/{wildcards.experiment}.yaml 2> {log}"


# Every table of every experiment that has results, again: equal results give equal bytes.
rule tables:
    log:
        "results/logs/tables.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m reports tables --root . 2> {log} || {{ status=$?; cat {log} >&2; exit $status; }}"


# snakemake compare --config first=<report> second=<report>: ends in an error for a regression.
# (Snakemake takes no names of one letter.)
rule compare:
    log:
        "results/logs/compare.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
        first=config.get("first", ""),
        second=config.get("second", ""),
    shell:
        "{params.python} -m reports compare {params.first:q} {params.second:q} --root . 2> {log}"
        " || {{ status=$?; cat {log} >&2; exit $status; }}"


# snakemake study --config experiment=<name>: blinded pairs as a page for people to rate.
rule study:
    log:
        "results/logs/study.log",
    conda:
        "../../environment.yml"
    params:
        python=sys.executable,
        experiment=config.get("experiment", "quickstart"),
    shell:
        "{params.python} -m reports study {params.experiment:q} --root . 2> {log}"
        " || {{ status=$?; cat {log} >&2; exit $status; }}"
