"""The input and parameter functions of the rules. An experiment is planned when first asked for."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from data.errors import UserError
from experiments.catalogue import Catalogue, project_catalogue
from experiments.commands import Desk
from experiments.devices import AUTO, on_gpus, resolve
from experiments.store import Store
from experiments.targets import Targets

Wildcards = Any


class Wanted:
    """What each rule needs, by experiment; wrong experiments end the call with our message."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        retry: bool = False,
        devices: Any = AUTO,
        catalogue: Callable[[], Catalogue] = project_catalogue,
    ) -> None:
        self.folder, self.store, self.retry, self._catalogue = folder, store, retry, catalogue
        # A list may come from a profile, a lone number from the command line.
        self.devices = ",".join(map(str, devices)) if isinstance(devices, list) else str(devices)
        self._desk: Desk | None = None
        self._known: dict[str, Targets] = {}

    @cached_property
    def slots(self) -> dict[str, int]:
        """How many shards each GPU takes at a time; none where the CPU does the work."""
        try:
            devices = resolve(self.devices)
        except UserError as error:
            _end(error)
        return dict(Counter(devices)) if on_gpus(devices) else {}

    @property
    def names(self) -> list[str]:
        """Every experiment there is."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def targets(self, name: str) -> Targets:
        """An experiment that can be run: nothing it needs is missing."""
        found = self._laid_out(name)
        with _ending_the_call():
            found.plan.require_present()
        return found

    def _laid_out(self, name: str) -> Targets:
        """An experiment, checked and planned, with manifests that no longer hold removed."""
        if name not in self._known:
            with _ending_the_call():
                if self._desk is None:
                    self._desk = Desk(self._catalogue(), self.folder, self.store)
                found = self._desk.laid_out(name)
            if self.retry:
                found.forget_failures()
            found.drop_stale()
            self._known[name] = found
        return self._known[name]

    def of_experiment(self, name: str) -> Callable[[Wildcards], list[str]]:
        """Input function of an experiment's own target: report and verdict."""
        return lambda wildcards: _paths(
            [self.targets(name).rendered(), self.targets(name).verdict()]
        )

    def unknown(self, wildcards: Wildcards) -> list[str]:
        """Input function for a target that nobody knows: says so and ends the call."""
        return _paths([self.targets(wildcards.unknown).rendered()])

    def shard(self, wildcards: Wildcards) -> list[str]:
        """Prepared datasets that a shard reads."""
        shard = self._holding(wildcards.digest).plan.shard(wildcards.digest)
        datasets = {cell.clip.dataset for cell in shard.cells} if shard else set()
        return [f"data/prepared/{name}/index.json" for name in sorted(datasets)]

    def gpu(self, wildcards: Wildcards) -> int:
        """Resource function of a shard: the places on a GPU that it takes."""
        plan = self._holding(wildcards.digest).plan
        shard = plan.shard(wildcards.digest)
        if not self.slots or not shard or not any(cell.backbone for cell in shard.cells):
            return 0
        return max(self.slots.values()) if plan.experiment.timing else 1

    def batch(self, wildcards: Wildcards) -> list[str]:
        """Shards whose cells a scoring batch scores."""
        targets = self._holding(wildcards.digest)
        batch = next(b for b in targets.batches if b.id == wildcards.digest)
        scored = {job.cell.id for job in batch.jobs}
        pairs = zip(targets.plan.shards, targets.shard_manifests(), strict=True)
        return _paths(path for shard, path in pairs if scored & {cell.id for cell in shard.cells})

    def collected(self, wildcards: Wildcards) -> list[str]:
        """Everything that the table is made of."""
        targets = self.targets(wildcards.experiment)
        return _paths(targets.shard_manifests() + targets.score_manifests())

    def rendered(self, wildcards: Wildcards) -> list[str]:
        """The table."""
        return _paths([self.targets(wildcards.experiment).collected()])

    def verdict(self, wildcards: Wildcards) -> list[str]:
        """The report, so that a run with failures has one before it ends in an error."""
        return _paths([self.targets(wildcards.experiment).rendered()])

    def experiment_of(self, wildcards: Wildcards) -> str:
        """Parameter function: an experiment that holds a shard or batch."""
        return str(self._holding(wildcards.digest).plan.checked.path)

    def _holding(self, digest: str) -> Targets:
        """The experiment of a shard or batch; a job on another machine may have to look for it."""
        for name in [*self._known, *self.names]:
            targets = self._laid_out(name)
            if targets.plan.shard(digest) or any(b.id == digest for b in targets.batches):
                return targets
        raise KeyError(f"no experiment has shard or batch {digest}")


@contextmanager
def _ending_the_call() -> Iterator[None]:
    """Say a user's error and end. Snakemake would wrap an exception in a traceback of its own."""
    try:
        yield
    except UserError as error:
        sys.stdout.flush()
        print(error, file=sys.stderr, flush=True)
        os._exit(2)


def _end(error: UserError) -> NoReturn:
    """End the call with a message: of an exception Snakemake would make a traceback of its own."""
    sys.stdout.flush()
    print(error, file=sys.stderr, flush=True)
    os._exit(2)


def _paths(paths: Iterable[Path]) -> list[str]:
    return [path.as_posix() for path in paths]
