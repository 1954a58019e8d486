"""Run a shard: load the backbone once, compute the cells that the store lacks, write each at once.

What a kill leaves is a valid store: cells appear whole, and the shard's manifest comes last.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from data.clip import Clip
from data.progress import Progress
from experiments.atomic import DiskFull, digest, write_sealed
from experiments.catalogue import Catalogue
from experiments.cells import Cell
from experiments.checkpoint import Checkpoint
from experiments.clips import clip_loader
from experiments.cost import Cost, Meter, hardware, peak_main_mb
from experiments.inversions import Inversions
from experiments.planner import Plan, Shard
from experiments.provenance import provenance
from experiments.records import Tally, cell_record
from experiments.store import Store
from experiments.trie import Family, families
from experiments.tunings import Tunings
from experiments.walk import Outcome, status_of, walk
from methods.base import Context
from methods.tuning import TunedContext

T = TypeVar("T")


class ShardRunner:
    """Runs one shard of a plan in this process."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        store: Store,
        catalogue: Catalogue,
        device: str = "cpu",
        threads: int = 1,
        after_cell: Callable[[Tally], None] = lambda tally: None,
        energy: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.plan, self.shard, self.store, self.catalogue = plan, shard, store, catalogue
        self.device, self.after_cell = device, after_cell
        self.meter = Meter(device, energy, plan.experiment.cell_time_limit)
        self.clip = clip_loader(catalogue.dataset)
        self.inversions = Inversions(store, catalogue, self.meter)
        self.tunings = Tunings(store, catalogue, self.meter)
        self.backbone: Any = None
        self.tuning_cost, self.inversion_cost = Cost(), Cost()
        self.tally = Tally()
        self.provenance = provenance() | {"hardware": hardware(device, threads)}

    def run(self) -> Tally:
        """Run what is missing and write the shard's manifest."""
        start = time.perf_counter()
        missing = [cell for cell in self.shard.cells if not self.store.settled(cell.id)]
        total = len(self.shard.cells)
        progress = Progress(f"shard {self.shard.id}", total, done=total - len(missing))
        wanted = set(missing)
        for family in self.shard.families:
            if wanted.isdisjoint(family.cells()):
                continue
            for cell in self._run_family(family):
                if cell in wanted:
                    progress.update(1, f"{cell}: {self.tally.statuses[cell.id]}")
                    self.after_cell(self.tally)
        for cell in self.shard.cells:
            self.tally.statuses.setdefault(cell.id, str(self.store.status(cell.id)))
        self.tally.seconds_total = time.perf_counter() - start
        self.tally.peak_main_mb = peak_main_mb()
        write_sealed(
            self.store.root / "shards" / f"{self.shard.id}.json",
            {
                "shard": self.shard.id,
                "experiment": self.plan.name,
                "backbone": next((c.backbone.name for c in self.shard.cells if c.backbone), None),
                "cells": dict(sorted(self.tally.statuses.items())),
                "ran": len(missing),
                "cost": {k: v for k, v in asdict(self.tally).items() if k != "statuses"},
                "hardware": self.provenance["hardware"],
            },
        )
        return self.tally

    def _run_family(self, family: Family) -> Iterator[Cell]:
        """Run the missing cells of a family, unless another process has meanwhile run them."""
        cells = family.cells()
        name = digest(sorted(cell.id for cell in cells))
        checkpoint = Checkpoint(self.store.root / "partial" / f"{name}.npz")
        with self.store.lock(f"run-{name}"):
            missing = [cell for cell in cells if not self.store.settled(cell.id)]
            for cell in cells:
                if cell not in missing:
                    self.tally.statuses[cell.id] = str(self.store.status(cell.id))
                    yield cell
            for left in families(missing):
                for outcome in self._outcomes(left, checkpoint):
                    self._record(outcome)
                    yield outcome.cell

    def _outcomes(self, family: Family, checkpoint: Checkpoint) -> Iterator[Outcome]:
        cells = family.cells()
        try:
            context = self._contexts(cells[0])
        except DiskFull:
            raise
        except Exception as error:
            trace = traceback.format_exc()
            for cell in cells:
                yield Outcome(cell, None, Cost(), Cost(), status_of(error), trace)
            return
        before, start = self._evaluations(), time.perf_counter()
        seconds, outcomes = 0.0, walk(family, context, self.meter, checkpoint)
        while True:  # time the walk alone, not what is done with its outcomes
            outcome = next(outcomes, None)
            seconds += time.perf_counter() - start
            if outcome is None:
                break
            yield outcome
            start = time.perf_counter()
        self._add_work(cells[0].method.name, self._evaluations() - before, seconds)

    def _evaluations(self) -> int:
        return getattr(self.backbone, "evaluations", 0)

    def _add_work(self, name: str, evaluations: int, seconds: float) -> None:
        self.tally.evaluations += evaluations
        self.tally.seconds += seconds
        total = self.tally.work.setdefault(name, [0, 0.0])
        total[0] += evaluations
        total[1] += seconds

    def _contexts(self, first: Cell) -> Callable[[Cell], Context]:
        """What the cells of a family see: the same but for edit and setting."""
        self.tuning_cost, self.inversion_cost = Cost(), Cost()
        clip = self.clip(first.clip)
        backbone = self._backbone(first)
        if backbone is not None and not self.tally.seconds_warmup:
            self._warm_up(clip)
        self.meter.forget_cache()
        made, inversions, inversion = Context, self.inversions, None
        if name := self.plan.tuning_id(first):
            tuned = self._prepared("tuning", partial(self.tunings.get, name, first, clip, backbone))
            self.tuning_cost, inversions = tuned.cost, tuned.inversions
            made = partial(TunedContext, tuned=tuned.weights)
        if name := self.plan.inversion_id(first):
            get = partial(inversions.get, name, first.inversion, clip, backbone)
            inversion, self.inversion_cost = self._prepared("inversion", get)

        def context(cell: Cell) -> Context:
            edit = clip.edits[cell.edit] if cell.edit is not None else None
            return made(clip, edit, cell.setting, cell.seed, backbone, inversion)

        return context

    def _prepared(self, name: str, get: Callable[[], T]) -> T:
        """What cells start from; the work is counted where it was not there already."""
        before, start = self._evaluations(), time.perf_counter()
        found = get()
        if ran := self._evaluations() - before:
            self._add_work(name, ran, time.perf_counter() - start)
        return found

    def _backbone(self, cell: Cell) -> Any:
        if cell.backbone is None:
            return None
        if self.backbone is None:
            start = time.perf_counter()
            self.backbone = self.catalogue.load_backbone(
                cell.backbone.name, self.device, cell.dtype
            )
            self.meter.backbone = self.backbone
            self.tally.seconds_load = time.perf_counter() - start
        return self.backbone

    def _warm_up(self, clip: Clip) -> None:
        """Let the first network call choose kernels and allocate before anything is measured."""
        counted = self.backbone.evaluations
        with Meter(self.device).measure() as cost:  # not the cells' meter: no limit holds here
            self.catalogue.warm_up(self.backbone, clip.frames)
        self.backbone.evaluations = counted
        self.tally.seconds_warmup = cost.seconds

    def _record(self, outcome: Outcome) -> None:
        """Write a cell, or its failure; cells that never ran cost nothing."""
        cell, tuning, inversion = outcome.cell, self.tuning_cost, self.inversion_cost
        total = tuning + inversion + outcome.edit + outcome.decode
        record = cell_record(outcome, tuning, inversion, self.tally, self.provenance)
        status = outcome.status
        if outcome.frames is not None:
            self.store.write_frames(cell.id, outcome.frames, record, outcome.kept)
        else:
            self.store.write_failure(cell.id, status, outcome.trace, record)
        self.tally.statuses[cell.id] = status
        self.tally.evaluations_alone += total.evaluations
        name = cell.method.name
        self.tally.peaks[name] = max(total.peak_memory_mb, self.tally.peaks.get(name, 0.0))
