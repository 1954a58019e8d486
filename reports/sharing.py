"""What shards saved by sharing inversions, steps and source passes, from their manifests."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.atomic import read_sealed
from reports.results import Results


@dataclass(frozen=True)
class Saving:
    """One shard's network evaluations and time, as its last run recorded them."""

    shard: str
    cells: int  # that this run computed
    evaluations: int
    evaluations_alone: int  # that the same cells need one by one
    seconds_load: float
    seconds_warmup: float
    seconds: float  # in methods and inversions
    seconds_total: float

    @property
    def saved(self) -> float:
        """Share of the evaluations that sharing made unnecessary."""
        return 1 - self.evaluations / self.evaluations_alone


def savings(results: Results) -> list[Saving]:
    """The shards that computed cells of this experiment's table; largest first."""
    wanted = set(results.table["cell"])
    found = []
    for path in sorted((results.root / "results" / "shards").glob("*.json")):
        record = read_sealed(path)
        if (
            not record
            or not record["cost"]["evaluations_alone"]
            or not wanted & set(record["cells"])
        ):
            continue
        cost = record["cost"]
        found.append(
            Saving(
                record["shard"],
                record["ran"],
                cost["evaluations"],
                cost["evaluations_alone"],
                cost["seconds_load"],
                cost.get("seconds_warmup", 0.0),
                cost["seconds"],
                cost["seconds_total"],
            )
        )
    return sorted(found, key=lambda saving: (-saving.evaluations_alone, saving.shard))
