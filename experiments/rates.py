"""What pieces of a sweep take, by the records of a store."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from experiments.atomic import read_sealed
from experiments.store import Store


@dataclass(frozen=True)
class Rates:
    """What pieces of work take."""

    evaluation: dict[str, float]  # method: seconds; "" is for all others
    start: float  # seconds of a job before its first step
    score: float  # seconds of one core for a cell's scores
    cell_bytes: float
    cell_files: float
    inversion_bytes: float


def recorded(store: Store, start: float, speed: float) -> Rates | None:
    """Rates from a store's records; ``speed`` divides the seconds of networks. None if it is empty.

    ``start`` is added to what records tell of loading and warming up: a process's imports.
    """
    shards = [r for p in (store.root / "shards").glob("*.json") if (r := read_sealed(p))]
    shards = [record for record in shards if record["cost"]["work"]]
    cells = [path for path in (store.root / "cells").glob("*") if (path / "run.json").is_file()]
    if not shards or not cells:
        return None
    work: dict[str, list[float]] = {"": [0.0, 0.0]}
    for record in shards:
        for name, (evaluations, seconds) in record["cost"]["work"].items():
            for key in (name, ""):
                total = work.setdefault(key, [0.0, 0.0])
                total[0] += evaluations
                total[1] += seconds
    sizes = [[path.stat().st_size for path in cell.iterdir()] for cell in cells]
    inversions = [p.stat().st_size for p in (store.root / "inversions").glob("*.safetensors")]
    return Rates(
        {name: s / n / speed for name, (n, s) in work.items() if n},
        start + median(_loading(record["cost"]) for record in shards),
        _score_seconds(store),
        median(sum(files) for files in sizes),
        median(len(files) + 1 for files in sizes),
        median(inversions) if inversions else 0.0,
    )


def _loading(cost: dict[str, Any]) -> float:
    return cost["seconds_load"] + cost.get("seconds_warmup", 0.0)


def _score_seconds(store: Store) -> float:
    """Seconds per cell; 0 where no scoring was recorded."""
    costs = [
        (record["cost"]["seconds"], len(record["cells"]))
        for path in (store.root / "scored").glob("*.json")
        if (record := read_sealed(path)) and record.get("cost", {}).get("scores")
    ]
    cells = sum(n for _, n in costs)
    return sum(seconds for seconds, _ in costs) / cells if cells else 0.0
