"""What a run will cost, from the plan and from what past shards on this hardware took."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from data.progress import clock
from experiments.atomic import read_sealed
from experiments.cost import hardware
from experiments.planner import Plan, Shard
from experiments.store import OK, Store
from experiments.trie import families


@dataclass(frozen=True)
class Estimate:
    """The figures that ``plan`` prints."""

    rows: int
    cells: int
    settled: int
    failed: int
    shards: int
    evaluations_alone: int
    evaluations_shared: int
    evaluations_left: int
    seconds_left: float | None  # None: nothing like it has been run here

    def lines(self, name: str) -> list[str]:
        """For people."""
        share = self.evaluations_shared / max(1, self.evaluations_alone)
        time = "unknown: nothing like it has been run on this hardware"
        if self.seconds_left is not None:
            time = f"{clock(self.seconds_left)} on one worker, without loading and scoring"
        return [
            f"{name}: {self.rows} rows, {self.cells} cells in {self.shards} shards; "
            f"{self.settled} cells done, of which {self.failed} failed",
            f"network evaluations, cell by cell: {self.evaluations_alone:,}",
            f"network evaluations, shared:       {self.evaluations_shared:,} ({share:.0%})",
            f"network evaluations, still to run: {self.evaluations_left:,}",
            f"expected time: {time}",
        ]


def estimate(plan: Plan, store: Store) -> Estimate:
    """What a plan needs and what of it is left."""
    statuses = {cell_id: store.status(cell_id) for cell_id in plan.cells}
    settled = [cell_id for cell_id, status in statuses.items() if status is not None]
    left = work_left(plan, store, set(settled))
    rates = past_rates(store)
    seconds: float | None = 0.0
    for name, evaluations in left.items():
        if evaluations and seconds is not None:
            seconds = seconds + evaluations * rates[name] if name in rates else None
    return Estimate(
        rows=len(plan.rows),
        cells=len(plan.cells),
        settled=len(settled),
        failed=sum(statuses[cell_id] != OK for cell_id in settled),
        shards=len(plan.shards),
        evaluations_alone=sum(plan.alone(cell) for cell in plan.cells.values()),
        evaluations_shared=plan.shared(),
        evaluations_left=sum(left.values()),
        seconds_left=seconds,
    )


def work_left(plan: Plan, store: Store, settled: set[str]) -> dict[str, int]:
    """Network evaluations still to run, by method and for ``inversion``."""
    left: dict[str, int] = defaultdict(int)
    todo = []
    for shard in plan.shards:
        cells = [cell for cell in shard.cells if cell.id not in settled]
        todo += cells
        whole = len(cells) == len(shard.cells)
        for family in shard.families if whole else families(cells):
            left[family.cells()[0].method.name] += family.evaluations()
    for name, evaluations in plan.inversions(todo).items():
        if not store.inversion(name).is_file():
            left["inversion"] += evaluations
    return dict(left)


def past_rates(store: Store) -> dict[str, float]:
    """Seconds per network evaluation by method, from the manifests of past shards."""
    here = hardware("cpu", 1)["cpu"]
    work: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for path in (store.root / "shards").glob("*.json"):
        record = read_sealed(path)
        if record and record["hardware"]["cpu"] == here:
            for name, (evaluations, seconds) in record["cost"]["work"].items():
                work[name][0] += evaluations
                work[name][1] += seconds
    return {name: seconds / n for name, (n, seconds) in work.items() if n}


class Overview:
    """Progress of a whole experiment as any of its shards sees it, from the store."""

    def __init__(self, plan: Plan, shard: Shard, store: Store, workers: int) -> None:
        self.plan, self.store, self.workers = plan, store, max(1, workers)
        self.known: dict[str, str] = {}
        self.weight = {cell_id: max(1, plan.alone(cell)) for cell_id, cell in plan.cells.items()}
        self.mine = {cell.id for cell in shard.cells}

    def line(self, seconds_spent: float, done_here: set[str]) -> str:
        """``quickstart: 34/96 cells, 1 failed, 2:10 left``."""
        for cell_id in self.plan.cells:
            if cell_id not in self.known and (status := self.store.status(cell_id)):
                self.known[cell_id] = status
        failed = sum(status != OK for status in self.known.values())
        done = sum(self.weight[cell_id] for cell_id in done_here)
        left = sum(w for cell_id, w in self.weight.items() if cell_id not in self.known)
        parts = [f"{self.plan.name}: {len(self.known)}/{len(self.plan.cells)} cells"]
        parts += [f"{failed} failed"] if failed else []
        if done and left:
            parts.append(f"{clock(seconds_spent / done * left / self.workers)} left")
        return ", ".join(parts)
