"""What cells that run in lockstep compute once for all: the engine's side of ``ctx.shared``."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

from experiments.cost import Cost, Meter


class Siblings:
    """Results of the present step, each with what it cost the cell that came first."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.results: dict[Hashable, Any] = {}
        self.costs: dict[Hashable, Cost] = {}
        self.made: list[Hashable] = []  # since the last settling
        self.owed = Cost()

    def shared(self, key: Hashable, work: Callable[[], Any]) -> Any:
        """The result under ``key``: done now, or earlier in this step by a sibling."""
        if key in self.results:
            self.owed = self.owed + self.costs[key]
            return self.results[key]
        before = self.meter.now()
        result = work()
        self.costs[key] = self.meter.now() - before
        self.results[key] = result
        self.made.append(key)
        return result

    def settle(self, measured: Cost) -> Cost:
        """A cell's measured step and what it owes for what siblings did for it."""
        total, self.owed = measured + self.owed, Cost()
        for key in self.made:  # alone, a cell would have seen this step's peaks
            self.costs[key] = replace(
                self.costs[key],
                peak_memory_mb=measured.peak_memory_mb,
                peak_reserved_mb=measured.peak_reserved_mb,
            )
        self.made = []
        return total

    def abandon(self) -> None:
        """A cell's step failed: what it used is nobody's debt, its peaks are nobody's."""
        self.made, self.owed = [], Cost()

    def forget(self) -> None:
        """A new step begins."""
        self.results, self.costs, self.made, self.owed = {}, {}, [], Cost()
