"""What a job has to know of its shard or scoring batch, so that it need not plan the sweep.

Whoever starts a sweep plans all of it and checks all of the store, once. A job that did the same
would spend, on a sweep of 100,000 cells, minutes of a GPU's time before its first step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.atomic import read_sealed, write_sealed
from experiments.estimate import cell_weights
from experiments.needs import Needs, Past
from experiments.place import at_home
from experiments.planner import Plan, Shard
from experiments.score import Batch
from experiments.store import Store
from experiments.targets import Targets


@dataclass(frozen=True)
class Ticket:
    """A shard or scoring batch as a job sees it."""

    experiment: str  # path of the file
    cells: tuple[str, ...]  # ids, in the order in which they run
    inputs: tuple[str, ...]  # files that must be there before
    needs: Needs
    sweep: str  # the plan's id: names the file that lists all of the experiment's cells


class Tickets:
    """Tickets of one experiment, by id of shard or batch; each is made out when asked for."""

    def __init__(self, targets: Targets, past: Past, places: Callable[[Shard], int]) -> None:
        self.targets, self.past, self.places = targets, past, places
        self.shards = {shard.id: shard for shard in targets.plan.shards}
        self.batches = {batch.id: batch for batch in targets.batches}
        self._known: dict[str, Ticket] = {}
        self._shards_of: dict[str, list[str]] = defaultdict(list)  # cell: manifests of its shards
        manifests = zip(targets.plan.shards, targets.shard_manifests(), strict=True)
        for shard, manifest in manifests:
            for cell in shard.cells:
                self._shards_of[cell.id].append(manifest.as_posix())

    def __contains__(self, digest: str) -> bool:
        return digest in self.shards or digest in self.batches

    def __getitem__(self, digest: str) -> Ticket:
        if digest not in self._known:
            make = self._of_shard if digest in self.shards else self._of_batch
            self._known[digest] = make(digest)
        return self._known[digest]

    def _of_shard(self, digest: str) -> Ticket:
        shard, plan = self.shards[digest], self.targets.plan
        # Elsewhere than here clips come from the project's prepared files or are made in memory.
        datasets = sorted({cell.clip.dataset for cell in shard.cells}) if at_home() else []
        return Ticket(
            str(plan.checked.path),
            tuple(cell.id for cell in shard.cells),
            tuple(f"data/prepared/{name}/index.json" for name in datasets),
            self.past.of_shard(plan, shard, self.places(shard)),
            plan.id,
        )

    def _of_batch(self, digest: str) -> Ticket:
        batch: Batch = self.batches[digest]
        cells = tuple(job.cell.id for job in batch.jobs)
        manifests = dict.fromkeys(path for cell in cells for path in self._shards_of[cell])
        return Ticket(
            str(self.targets.plan.checked.path),
            cells,
            tuple(manifests),
            self.past.of_batch(batch),
            self.targets.plan.id,
        )

    def leave(self, digest: str) -> None:
        """Write a ticket for a job in another process, perhaps on another machine."""
        store, ticket = self.targets.store, self[digest]
        if read_ticket(store, digest) != ticket:
            write_sealed(_path(store, digest), asdict(ticket))
        sweep = _path(store, ticket.sweep)
        if not sweep.exists():
            write_sealed(sweep, {"cells": cell_weights(self.targets.plan)})


def _path(store: Store, name: str) -> Path:
    return store.root / "tickets" / f"{name}.json"


def read_ticket(store: Store, digest: str) -> Ticket | None:
    """The ticket that was left, or None: the experiment must be planned then."""
    record = read_sealed(_path(store, digest))
    if record is None or "needs" not in record:
        return None
    return Ticket(
        record["experiment"],
        tuple(record["cells"]),
        tuple(record["inputs"]),
        Needs(**record["needs"]),
        record["sweep"],
    )


def weights_around(store: Store, plan: Plan, shard: Shard) -> dict[str, int]:
    """The cells of the experiment that a shard is of, and their shares of its work.

    ``plan`` holds the shard and, where the shard has a ticket, perhaps nothing else.
    """
    ticket = read_ticket(store, shard.id)
    record = read_sealed(_path(store, ticket.sweep)) if ticket else None
    known = record["cells"] if record else {}
    return known if all(cell.id in known for cell in shard.cells) else cell_weights(plan)
