"""What is written of a cell and of a shard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from experiments.cost import Cost
from experiments.store import OK
from experiments.walk import Outcome


@dataclass
class Tally:
    """What a shard did."""

    statuses: dict[str, str] = field(default_factory=dict)
    evaluations: int = 0  # that were run
    evaluations_alone: int = 0  # that the same cells need one by one
    seconds: float = 0.0  # spent in methods, inversions included
    seconds_load: float = 0.0
    seconds_warmup: float = 0.0  # the process's first network call, which no cell pays for
    seconds_total: float = 0.0
    work: dict[str, list[float]] = field(default_factory=dict)  # method -> evaluations, seconds
    peaks: dict[str, float] = field(default_factory=dict)  # method -> peak memory of a cell, MB
    peak_main_mb: float = 0.0  # of the process, whatever the device

    @property
    def failed(self) -> int:
        """Cells without frames."""
        return sum(status != OK for status in self.statuses.values())


def cell_record(
    outcome: Outcome, tuning: Cost, inversion: Cost, tally: Tally, provenance: dict[str, Any]
) -> dict[str, Any]:
    """A cell's identity, names, provenance and cost; each figure as if it had run alone."""
    cell, total = outcome.cell, tuning + inversion + outcome.edit + outcome.decode
    return {
        "identity": cell.identity,
        "names": {
            "method": cell.method.name,
            "backbone": cell.backbone.name if cell.backbone else None,
            "dataset": cell.clip.dataset,
            "clip": cell.clip.clip,
            "edit": cell.edit,
            "seed": cell.seed,
        },
        "provenance": provenance,
        "cost": {
            "seconds_load": tally.seconds_load if cell.backbone else 0.0,
            "seconds_warmup": tally.seconds_warmup if cell.backbone else 0.0,
            "seconds_tune": tuning.seconds,
            "seconds_invert": inversion.seconds,
            "seconds_edit": outcome.edit.seconds,
            "seconds_decode": outcome.decode.seconds,
            "tuning_evaluations": tuning.evaluations,
            "inversion_evaluations": inversion.evaluations,
            "network_evaluations": outcome.edit.evaluations,
            "peak_memory_mb": total.peak_memory_mb,
            "peak_reserved_mb": total.peak_reserved_mb,
            "energy_j": total.energy_j,
            "hardware_id": provenance["hardware"]["id"],
        },
    }
