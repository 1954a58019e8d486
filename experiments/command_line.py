"""What ``python -m experiments`` understands: list, validate, plan and run experiments."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from experiments import commands
from experiments.atomic import told_if_full
from experiments.catalogue import Catalogue, project_catalogue
from experiments.devices import AUTO
from experiments.store import Store

DESCRIPTION = "List, validate, plan and run experiments."
NAMED = {
    "plan": "what a run will take: cells, shards, network evaluations, time",
    "collect": "write results/<experiment>.parquet",
    "report": "render the report",
    "verdict": "exit status 1 if a cell failed and the experiment does not allow it",
    "retry": "forget failed cells, so that they are run again",
    "share": "pack and push a finished experiment, for others to pull",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=DESCRIPTION)
    parser.add_argument("--folder", type=Path, help="where experiments are (experiments/)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the store")
    sub = parser.add_subparsers(dest="command", required=True, metavar="command")
    sub.add_parser("list", help="every experiment and its title")
    sub.add_parser("validate", help="check files; all errors at once").add_argument(
        "experiments", nargs="+"
    )
    for name, text in NAMED.items():
        sub.add_parser(name, help=text).add_argument("experiment", help="a name or a file")
    sub.add_parser("pull", help="restore what was shared, every byte checked").add_argument(
        "experiments", nargs="*", help="default: all that are shared"
    )
    sub.add_parser(
        "merge", help="join results made elsewhere; conflicts are kept apart"
    ).add_argument("results_folder", type=Path, help="another results folder")
    simulate = sub.add_parser("simulate", help="how a sweep would behave on many workers")
    simulate.add_argument("experiment", help="a name or a file")
    simulate.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    simulate.add_argument(
        "--speed", type=float, default=1.0, help="how much faster its networks are than recorded"
    )
    simulate.add_argument(
        "--start", type=float, default=20.0, help="seconds of a process's imports on such a machine"
    )
    for name, text in (("shard", "run one shard"), ("score", "score cells")):
        command = sub.add_parser(name, help=text)
        command.add_argument("experiment", help="a name or a file")
        command.add_argument("--id", required=name == "shard", help="which one")
        command.add_argument("--threads", type=int, default=1, help="cores it may use")
        if name == "shard":
            command.add_argument(
                "--devices", default=AUTO, help="auto, cpu, or GPUs such as 0,1 (0,0: two on one)"
            )
            command.add_argument(
                "--workers", type=int, default=1, help="shards run at a time; 0: unknown"
            )
    return parser


def _run(given: argparse.Namespace, catalogue: Catalogue) -> int:
    desk = commands.Desk(catalogue, store=Store(given.results))
    if given.folder:
        desk = commands.Desk(catalogue, given.folder, Store(given.results))
    match given.command:
        case "list":
            return commands.list_experiments(desk)
        case "validate":
            return commands.validate(desk, given.experiments)
        case "shard":
            from experiments.shard_command import run_shard

            return run_shard(
                desk,
                given.experiment,
                given.id,
                devices=given.devices,
                threads=given.threads,
                workers=given.workers,
            )
        case "score":
            return commands.score(desk, given.experiment, given.id)
        case "simulate":
            from experiments.simulate import simulate

            return simulate(desk, given.experiment, given.workers, given.speed, given.start)
        case "plan":
            return commands.show_plan(desk, given.experiment)
        case "share" | "pull" | "merge":
            from experiments.sharing import commands as sharing

            if given.command == "share":
                return sharing.share(desk, given.experiment)
            if given.command == "pull":
                return sharing.pull(desk, given.experiments)
            return sharing.merge_folder(desk, given.results_folder)
        case name:
            return getattr(commands, name)(desk, given.experiment)


def main(arguments: Sequence[str] | None = None, catalogue: Catalogue | None = None) -> int:
    """Run a command; 2 and a message without traceback for what a user can put right."""
    given = _parser().parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # torch reads them when it is imported
        os.environ[name] = str(getattr(given, "threads", 1))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        with told_if_full(given.results):
            return _run(given, catalogue or project_catalogue())
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
