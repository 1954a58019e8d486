"""What a run will cost, from the plan and from what past shards on this hardware took."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data.progress import clock
from experiments.atomic import read_sealed
from experiments.cost import hardware
from experiments.gpus import visible
from experiments.planner import Plan
from experiments.store import OK, Store
from experiments.trie import families

Forecast = Callable[[str, Any, str], float | None]  # backbone, setting, dtype -> MB of tensors


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
    peaks: dict[str, float | None]  # "pnp on world-tiny": MB, None where it has not been run here
    forecasts: dict[str, float]  # the same, MB of tensors, where no run but the sizes tell
    saved: float | None  # share of the evaluations that the shards run so far did not need

    def lines(self, name: str) -> list[str]:
        """For people."""
        share = self.evaluations_shared / max(1, self.evaluations_alone)
        time = "unknown: nothing like it has been run on this hardware"
        if self.seconds_left is not None:
            time = f"{clock(self.seconds_left)} on one worker, without loading and scoring"
        peaks = [f"{what} {self._peak(what)}" for what in self.peaks]
        lines = [
            f"{name}: {self.rows} rows, {self.cells} cells in {self.shards} shards; "
            f"{self.settled} cells done, of which {self.failed} failed",
            f"network evaluations, cell by cell: {self.evaluations_alone:,}",
            f"network evaluations, shared:       {self.evaluations_shared:,} ({share:.0%})",
            f"network evaluations, still to run: {self.evaluations_left:,}",
            f"expected time: {time}",
        ]
        lines += [f"expected peak memory, MB: {', '.join(peaks)}"] if peaks else []
        if self.saved is not None:
            lines.append(f"saved by sharing in the shards run so far: {self.saved:.0%}")
        return lines

    def _peak(self, what: str) -> str:
        seen, told = self.peaks[what], self.forecasts.get(what)
        if seen is not None:
            return f"{seen:,.0f}"
        return "unknown" if told is None else f"{told:,.0f} (forecast, tensors alone)"


def estimate(plan: Plan, store: Store, forecast: Forecast = lambda *cell: None) -> Estimate:
    """What a plan needs and what of it is left."""
    statuses = {cell_id: store.status(cell_id) for cell_id in plan.cells}
    settled = [cell_id for cell_id, status in statuses.items() if status is not None]
    left = work_left(plan, store, set(settled))
    past = past_shards(store)
    rates, peaks = past_rates(past), past_peaks(past)
    networks = {(c.method.name, c.backbone.name) for c in plan.cells.values() if c.backbone}
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
        peaks={f"{m} on {b}": peaks.get((m, b)) for m, b in sorted(networks)},
        forecasts=forecasts(plan, forecast),
        saved=saved_share(plan, store),
    )


def forecasts(plan: Plan, forecast: Forecast) -> dict[str, float]:
    """MB of tensors at the worst of a (method, backbone)'s cells, where that can be said."""
    found: dict[str, float] = {}
    for cell in plan.cells.values():
        if cell.backbone:
            told = forecast(cell.backbone.name, cell.setting, cell.dtype)
            what = f"{cell.method.name} on {cell.backbone.name}"
            if told is not None:
                found[what] = max(told, found.get(what, 0.0))
    return found


def work_left(plan: Plan, store: Store, settled: set[str]) -> dict[str, int]:
    """Network evaluations still to run: by method, for ``inversion`` and for ``tuning``."""
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
    for name, evaluations in plan.tunings(todo).items():
        if not store.tuning(name).is_file():
            left["tuning"] += evaluations
    return dict(left)


def past_shards(store: Store) -> list[dict[str, Any]]:
    """Manifests of the shards that ran on hardware like this one's."""
    gpus = visible(os.environ.get("CUDA_VISIBLE_DEVICES"))
    here = (hardware("cpu", 1)["cpu"], gpus[0].model if gpus else None)
    records = [read_sealed(path) for path in sorted((store.root / "shards").glob("*.json"))]
    return [r for r in records if r and (r["hardware"]["cpu"], r["hardware"].get("gpu")) == here]


def past_rates(shards: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds per network evaluation by method."""
    work: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for record in shards:
        for name, (evaluations, seconds) in record["cost"]["work"].items():
            work[name][0] += evaluations
            work[name][1] += seconds
    return {name: seconds / n for name, (n, seconds) in work.items() if n}


def past_peaks(shards: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """The most memory, in MB, that a cell of a (method, backbone) has taken."""
    peaks: dict[tuple[str, str], float] = {}
    for record in shards:
        for name, peak in record["cost"].get("peaks", {}).items():
            key = (name, str(record.get("backbone")))
            peaks[key] = max(peak, peaks.get(key, 0.0))
    return peaks


def saved_share(plan: Plan, store: Store) -> float | None:
    """What sharing saved of the evaluations of this plan's shards; None before any has run."""
    paths = (store.root / "shards" / f"{shard.id}.json" for shard in plan.shards)
    costs = [record["cost"] for path in paths if (record := read_sealed(path))]
    alone = sum(cost["evaluations_alone"] for cost in costs)
    return 1 - sum(cost["evaluations"] for cost in costs) / alone if alone else None


def cell_weights(plan: Plan) -> dict[str, int]:
    """Cells of a plan and their shares of its work: network evaluations, 1 where there are none."""
    return {cell_id: max(1, plan.alone(cell)) for cell_id, cell in plan.cells.items()}


class Overview:
    """Progress of a whole experiment as any of its shards sees it, from the store.

    ``weights`` are the experiment's cells and their shares of its work.
    """

    def __init__(self, name: str, weights: Mapping[str, int], store: Store, workers: int) -> None:
        self.name, self.weights, self.store = name, weights, store
        self.workers = workers  # 0: not known, and no time is told
        self.known: dict[str, str] = {}

    def line(self, seconds_spent: float, done_here: set[str]) -> str:
        """``quickstart: 34/96 cells, 1 failed, 2:10 left``."""
        for cell_id in self.weights:
            if cell_id not in self.known and (status := self.store.status(cell_id)):
                self.known[cell_id] = status
        failed = sum(status != OK for status in self.known.values())
        done = sum(self.weights[cell_id] for cell_id in done_here)
        left = sum(w for cell_id, w in self.weights.items() if cell_id not in self.known)
        parts = [f"{self.name}: {len(self.known)}/{len(self.weights)} cells"]
        parts += [f"{failed} failed"] if failed else []
        # Cells differ a thousandfold: less than the dearest one's work tells nothing of the others.
        if left and self.workers and done >= max(self.weights.values()):
            parts.append(f"{clock(seconds_spent / done * left / self.workers)} left")
        return ", ".join(parts)
