"""What a shard or a scoring batch asks of the machine that runs it, from what such work has taken.

A cluster ends a job that takes more than it asked for, so these are limits, not expectations: of
all hardware that the store has records of, the slowest and the largest count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from experiments.atomic import read_sealed
from experiments.estimate import past_rates
from experiments.planner import Plan, Shard
from experiments.score import Batch
from experiments.store import Store

# Minutes to start: imports over a network file system, weights, the first kernels.
START = 10
MARGIN = 3  # times the minutes that the records tell of
HEADROOM = (1.25, 500)  # times the memory that the records tell of, and MB on top
UNKNOWN_MINUTES = 240
UNKNOWN_MB = {"cpu": 2000, "cuda": 16000}  # a GPU's network comes with larger weights
SCORING_MB = 3000


@dataclass(frozen=True)
class Needs:
    """Places on a GPU, main memory and time of one job."""

    gpu: int
    mem_mb: int
    minutes: int


def escalated(asked: int, attempt: int) -> int:
    """What the n-th attempt asks for: twice as much after every failure.

    Whether memory or time ran out is not known, so both are asked for.
    """
    return asked * 2 ** (attempt - 1)


class Past:
    """What the shards and scoring batches of a store have taken on one kind of device."""

    def __init__(self, store: Store, device: str) -> None:
        self.device = device
        by_hardware: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for record in _records(store, "shards"):
            if record["hardware"]["device"] == device:
                by_hardware[record["hardware"]["id"]].append(record)
        self.rates: dict[str, float] = {}  # method: seconds per network evaluation
        self.memory: dict[tuple[str, str], float] = {}  # (method, backbone): MB
        for records in by_hardware.values():
            for name, rate in past_rates(records).items():
                self.rates[name] = max(rate, self.rates.get(name, 0.0))
            for record in records:
                self._remember(record)
        scored = [r["cost"] for r in _records(store, "scored") if r.get("cost", {}).get("scores")]
        self.score_rate = max((cost["seconds"] / cost["scores"] for cost in scored), default=None)

    def _remember(self, record: dict[str, Any]) -> None:
        cost = record["cost"]
        # On a CPU a cell's peak is the process's; on a GPU it is the device's memory.
        peaks = cost.get("peaks", {}).values() if self.device == "cpu" else ()
        taken = max((cost.get("peak_main_mb", 0.0), *peaks), default=0.0)
        for name in cost["work"]:
            key = (name, str(record.get("backbone")))
            self.memory[key] = max(taken, self.memory.get(key, 0.0))

    def seconds(self, plan: Plan, shard: Shard) -> float | None:
        """A shard's work without loading; None where a method has not been run on such a device."""
        work: dict[str, int] = defaultdict(int)
        for family in shard.families:
            work[family.cells()[0].method.name] += family.evaluations()
        work["inversion"] += sum(plan.inversions(shard.cells).values())
        work["tuning"] += sum(plan.tunings(shard.cells).values())
        asked = {name: evaluations for name, evaluations in work.items() if evaluations}
        if not asked.keys() <= self.rates.keys():
            return None
        return sum(evaluations * self.rates[name] for name, evaluations in asked.items())

    def of_shard(self, plan: Plan, shard: Shard, places: int) -> Needs:
        """What a shard asks for on its first attempt."""
        keys = {(c.method.name, c.backbone.name) for c in shard.cells if c.backbone}
        known = [self.memory.get(key, 0.0) for key in keys]
        mem_mb = UNKNOWN_MB[self.device] if keys else UNKNOWN_MB["cpu"]
        if known and all(known):
            mem_mb = round(max(known) * HEADROOM[0] + HEADROOM[1])
        return Needs(places, mem_mb, _minutes(self.seconds(plan, shard)))

    def of_batch(self, batch: Batch) -> Needs:
        """What a scoring batch asks for on its first attempt."""
        scores = sum(len(job.edits) for job in batch.jobs) * len(batch.fingerprints)
        seconds = None if self.score_rate is None else scores * self.score_rate
        return Needs(0, SCORING_MB, _minutes(seconds))


def _minutes(seconds: float | None) -> int:
    return UNKNOWN_MINUTES if seconds is None else START + math.ceil(MARGIN * seconds / 60)


def _records(store: Store, folder: str) -> Iterable[dict[str, Any]]:
    paths = sorted((store.root / folder).glob("*.json"))
    return [record for path in paths if (record := read_sealed(path))]
