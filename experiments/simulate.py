"""How a sweep would behave on 1, 8 or 64 workers: time, graph, store and what holds it up.

On paper: the plan's own shards, with their exact network evaluations, are dealt to workers in the
order in which they start. What an evaluation, a job's start, a score and a cell's files cost is
taken from the records of a store; what Snakemake's graph costs was measured (see GRAPH).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import UserError
from data.progress import clock
from experiments.commands import Desk
from experiments.planner import Plan
from experiments.rates import Rates, recorded
from experiments.score import BATCH

#: Seconds of one core and MB that `snakemake -n` takes per job and without any: Snakemake 9.27 on
#: this workflow, 84 jobs for 1,152 cells (4 s, 253 MB), 300 for 10,368 (8 s, 298 MB) and 1,631 for
#: 100,800 (58 s, 850 MB).
GRAPH = {"seconds": 0.015, "base_seconds": 4.0, "mb": 0.09, "base_mb": 250.0}
#: The same for planning, per cell.
PLANNING = {"seconds": 0.0003, "mb": 0.0045}
#: Seconds per cell to collect it: two records read and its frames' checksum (local disk).
COLLECTING = 0.0011
#: Seconds until a cluster tells that a job has ended: SLURM's executor asks every 20 to 180 s.
NOTICED = 60.0


@dataclass(frozen=True)
class Outlook:
    """A sweep on a number of workers; times in seconds."""

    workers: int
    shards: int
    evaluations: int
    makespan: float
    planning: float  # one process, before the first job
    running: float  # until the last shard has ended
    scoring: float  # what remains to be scored then
    collecting: float
    busy: float  # share of the running time in which workers evaluate networks
    starting: float  # share in which they start jobs; the rest they wait for the last ones

    @property
    def bottleneck(self) -> str:
        """What takes the most time that more workers, or fewer jobs, would give back."""
        idle = 1 - self.busy - self.starting
        shares = {
            "the networks": self.busy * self.running,
            "starting jobs": self.starting * self.running,
            "waiting for the last shards": idle * self.running,
            "planning": self.planning,
            "scoring": self.scoring,
            "collecting": self.collecting,
        }
        return max(shares, key=lambda name: shares[name])


def simulate(desk: Desk, name: str, workers: Sequence[int], speed: float, start: float) -> int:
    """Print how an experiment would behave; UserError where the store has no records."""
    plan, rates = desk.plan(name), recorded(desk.store, start, speed)
    if rates is None:
        raise UserError(
            f"{desk.store.root}: nothing has been run here, so costs are unknown. Run a small "
            "experiment with the same methods first, or name another store with --results."
        )
    print("\n".join(lines(plan, rates, workers)))
    return 0


def shard_seconds(plan: Plan, rates: Rates) -> list[tuple[float, int]]:
    """Seconds of networks and evaluations of each shard; what is prepared for cells counts once."""
    found, prepared = [], set()
    for shard in plan.shards:
        work = [(f.cells()[0].method.name, f.evaluations()) for f in shard.families]
        for kind, parts in (("tuning", plan.tunings), ("inversion", plan.inversions)):
            missing = {name: n for name, n in parts(shard.cells).items() if name not in prepared}
            prepared |= missing.keys()
            work.append((kind, sum(missing.values())))
        other = rates.evaluation[""]
        seconds = sum(n * rates.evaluation.get(name, other) for name, n in work)
        evaluations = sum(n for _, n in work)
        found.append((seconds, evaluations))
    return found


def outlook(
    shards: Sequence[tuple[float, int]], cells: int, rates: Rates, workers: int, per_job: float = 0
) -> Outlook:
    """The sweep on some workers; ``per_job`` is what a job spends beyond its start, in seconds."""
    overhead = rates.start + per_job
    free = [0.0] * min(workers, max(1, len(shards)))
    for seconds, _ in shards:
        heapq.heappush(free, heapq.heappop(free) + overhead + seconds)
    running = max(free)
    jobs = len(shards) + cells / BATCH
    planning = GRAPH["base_seconds"] + cells * PLANNING["seconds"] + jobs * GRAPH["seconds"]
    # Batches are scored beside the shards, by as many processes; a share of the last ones remains.
    scoring_all = cells * rates.score / workers + cells / BATCH / workers * overhead
    scoring = max(scoring_all - running, min(BATCH, cells) * rates.score + overhead) + NOTICED
    collecting = cells * COLLECTING + 2 * NOTICED
    spent = running * len(free)
    return Outlook(
        workers=workers,
        shards=len(shards),
        evaluations=sum(n for _, n in shards),
        makespan=planning + running + scoring + collecting,
        planning=planning,
        running=running,
        scoring=scoring,
        collecting=collecting,
        busy=sum(seconds for seconds, _ in shards) / spent,
        starting=len(shards) * overhead / spent,
    )


def lines(plan: Plan, rates: Rates, workers: Sequence[int]) -> list[str]:
    """What the command prints: a row for each number of workers, the graph and the store."""
    shards, cells = shard_seconds(plan, rates), len(plan.cells)
    jobs = len(shards) + math.ceil(cells / BATCH)
    found = [f"{plan.name}: {cells:,} cells in {len(shards):,} shards and {jobs - len(shards):,} "
             "scoring jobs", "",
             "| workers | makespan | networks busy | starting jobs | planning | bottleneck |",
             "| ---: | ---: | ---: | ---: | ---: | --- |"]  # fmt: skip
    for n in workers:
        told = outlook(shards, cells, rates, n)
        found.append(
            f"| {n} | {clock(told.makespan)} | {told.busy:.0%} | {told.starting:.0%} | "
            f"{clock(told.planning)} | {told.bottleneck} |"
        )
    # Three plans a job: Snakemake's, that of its step on the node, and the command's own.
    repeated = outlook(shards, cells, rates, workers[-1], 3 * cells * PLANNING["seconds"])
    found += ["", f"if every job planned the sweep, as without tickets: {clock(repeated.makespan)} "
              f"on {workers[-1]} workers, networks busy {repeated.busy:.0%}"]  # fmt: skip
    size = cells * rates.cell_bytes
    inversions = plan.inversions(plan.cells.values())
    size += len(inversions) * rates.inversion_bytes
    inodes = cells * rates.cell_files + 2 * len(inversions) + 3 * jobs
    found += [
        f"graph: {jobs + 3:,} jobs, {jobs * GRAPH['seconds']:,.0f} s and "
        f"{GRAPH['base_mb'] + jobs * GRAPH['mb'] + cells * PLANNING['mb']:,.0f} MB to build",
        f"graph with a job per cell: {cells:,} jobs, {cells * GRAPH['seconds']:,.0f} s and "
        f"{GRAPH['base_mb'] + cells * (GRAPH['mb'] + PLANNING['mb']):,.0f} MB",
        f"store: {size / 1e9:,.1f} GB in {inodes:,.0f} inodes, "
        f"{rates.cell_bytes / 1e3:,.0f} kB a cell",
        f"scoring: {rates.score:.2f} s a cell" if rates.score else "scoring: not recorded",
        f"network evaluations: {sum(n for _, n in shards):,}, cell by cell "
        f"{sum(plan.alone(cell) for cell in plan.cells.values()):,}",
    ]
    return found
