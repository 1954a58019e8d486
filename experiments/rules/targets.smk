# One target per file in experiments/.
for name in WANTED.names:

    rule:
        name:
            name
        input:
            ancient(WANTED.of_experiment(name)),


# A target that is neither file nor experiment: the error names the nearest experiment. Another
# workflow that uses this one has targets of its own.
if standing_alone(workflow.main_snakefile):

    rule no_such_experiment:
        input:
            WANTED.unknown,
        output:
            "{unknown}",
        log:
            "results/logs/{unknown}.log",
        conda:
            "../../environment.yml"
        shell:
            "exit 2"
