# snakemake -j N <experiment>: run experiments/<experiment>.yaml to a report.
# The package experiments/ works out what an experiment is made of; the rules say which command
# makes which file. Files are named by what went into them, so timestamps never decide.
import sys
from pathlib import Path

from snakemake.utils import min_version

from experiments.place import reach_packages, standing_alone
from experiments.snake import Wanted
from experiments.store import Store

min_version("9.0")


report: "experiments/rules/captions/workflow.rst"


# As a module of another workflow it works in that one's folder, on that one's experiments.
reach_packages()

# `--config retry=true` runs failed cells again; `--config devices=0,1` chooses GPUs, and
# `devices=allotted`, as the profiles for clusters say, is the one that a job was given; no job
# asks for more minutes than `longest`.
WANTED = Wanted(
    Path("experiments"),
    Store("results"),
    retry=bool(config.get("retry")),
    devices=config.get("devices", "auto"),
    main=workflow.is_main_process,
    leave_tickets=lambda: not workflow.dryrun,
    longest=config.get("longest"),
)
# As many shards at a time as there are places on GPUs, whatever -j says, unless a profile or
# `--resources gpu=N` says otherwise.
if WANTED.slots and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", sum(WANTED.slots.values()))


wildcard_constraints:
    digest="[0-9a-f]{16}",
    experiment="[^/]+",
    unknown="[^/.]+",


# While data is prepared, the other cores load what the jobs will need.
onstart:
    if workflow.local_exec:
        WANTED.warm_up()


localrules:
    help,


# A call without a target lists the experiments.
rule help:
    log:
        "results/logs/help.log",
    conda:
        "environment.yml"
    params:
        python=sys.executable,
    shell:
        "{params.python} -m experiments --folder experiments list 2> {log}"
        " && echo 'run one with: snakemake -j N <experiment>'"


include: "experiments/rules/data.smk"
include: "experiments/rules/run.smk"
include: "experiments/rules/show.smk"
include: "experiments/rules/share.smk"
include: "experiments/rules/models.smk"
include: "experiments/rules/targets.smk"
