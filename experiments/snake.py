"""The input and parameter functions of the rules. An experiment is planned when first asked for."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn

from data.errors import UserError
from experiments import warm
from experiments.catalogue import Catalogue, project_catalogue
from experiments.commands import Desk
from experiments.devices import ALLOTTED, AUTO, on_gpus, resolve
from experiments.needs import Past, escalated
from experiments.planner import Shard
from experiments.store import Store
from experiments.targets import Targets
from experiments.tickets import Ticket, Tickets, read_ticket

Wildcards = Any


class Wanted:
    """What each rule needs, by experiment; wrong experiments end the call with our message.

    ``main`` is false in a job's own process, which goes by the ticket that it was left.
    With ``devices`` ``allotted`` every shard that runs a network asks a cluster for one GPU.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        retry: bool = False,
        devices: Any = AUTO,
        main: bool = True,
        leave_tickets: Callable[[], bool] = lambda: False,
        longest: int | None = None,
        catalogue: Callable[[], Catalogue] = project_catalogue,
    ) -> None:
        self.folder, self.store, self._catalogue = folder, store, catalogue
        self.main, self.retry = main, retry and main
        self.leave_tickets, self.longest = leave_tickets, longest
        # A list may come from a profile, a lone number from the command line.
        self.devices = ",".join(map(str, devices)) if isinstance(devices, list) else str(devices)
        self._desk: Desk | None = None
        self._known: dict[str, Tickets] = {}
        self._warm: Any = None  # ends when this does

    @cached_property
    def slots(self) -> dict[str, int]:
        """How many shards each GPU here takes at a time; none where the CPU does the work."""
        if self.devices == ALLOTTED:
            return {}
        try:
            devices = resolve(self.devices)
        except UserError as error:
            _end(error)
        return dict(Counter(devices)) if on_gpus(devices) else {}

    @property
    def names(self) -> list[str]:
        """Every experiment there is."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    @cached_property
    def past(self) -> Past:
        """What such work has taken on the devices that will do it."""
        return Past(self.store, "cuda" if self.devices == ALLOTTED or self.slots else "cpu")

    def targets(self, name: str) -> Targets:
        """An experiment that can be run: nothing it needs is missing."""
        found = self._laid_out(name).targets
        with _ending_the_call():
            found.plan.require_present()
        return found

    def _laid_out(self, name: str) -> Tickets:
        """An experiment, checked and planned, with manifests that no longer hold removed."""
        if name not in self._known:
            with _ending_the_call():
                if self._desk is None:
                    self._desk = Desk(self._catalogue(), self.folder, self.store)
                found = self._desk.laid_out(name)
            if self.retry:
                found.forget_failures()
            if self.main:
                found.drop_stale()
            self._known[name] = Tickets(found, self.past, partial(self._places, found))
        return self._known[name]

    def warm_up(self) -> None:
        """Let a process beside this one load what the jobs to come need, once for all of them.

        Not where GPUs do the work: CUDA does not survive a fork.
        """
        if self._desk is None or self.slots:
            return
        catalogue, targets = self._desk.catalogue, [t.targets for t in self._known.values()]
        modules = sorted({name for t in targets for name in t.modules_to_come(catalogue)})
        if modules:
            self._warm = warm.start(modules, warm.code_of(modules))

    def of_experiment(self, name: str) -> Callable[[Wildcards], list[str]]:
        """Input function of an experiment's own target: report and verdict."""
        return lambda wildcards: _paths(
            [self.targets(name).rendered(), self.targets(name).verdict()]
        )

    def unknown(self, wildcards: Wildcards) -> list[str]:
        """Input function for a target that nobody knows: says so and ends the call."""
        return _paths([self.targets(wildcards.unknown).rendered()])

    def inputs(self, wildcards: Wildcards) -> list[str]:
        """Prepared datasets that a shard reads; shards whose cells a scoring batch scores."""
        if self.main and self.leave_tickets():
            self._holding(wildcards.digest).leave(wildcards.digest)
        return list(self._ticket(wildcards.digest).inputs)

    def gpu(self, wildcards: Wildcards) -> int:
        """Resource function of a shard: the places on a GPU that it takes."""
        return self._ticket(wildcards.digest).needs.gpu

    def mem_mb(self, wildcards: Wildcards, attempt: int) -> int:
        """Resource function: main memory, more after every failure."""
        return escalated(self._ticket(wildcards.digest).needs.mem_mb, attempt)

    def runtime(self, wildcards: Wildcards, attempt: int) -> int:
        """Resource function: minutes, more after every failure but never above ``longest``."""
        minutes = escalated(self._ticket(wildcards.digest).needs.minutes, attempt)
        return min(minutes, self.longest or minutes)

    def _places(self, targets: Targets, shard: Shard) -> int:
        if not any(cell.backbone for cell in shard.cells):
            return 0
        if self.devices == ALLOTTED:
            return 1
        if not self.slots:
            return 0
        return max(self.slots.values()) if targets.plan.experiment.timing else 1

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
        return self._ticket(wildcards.digest).experiment

    def _ticket(self, digest: str) -> Ticket:
        """What is known of a shard or batch: what it was left, or what planning tells."""
        left = None if self.main else read_ticket(self.store, digest)
        return left or self._holding(digest)[digest]

    def _holding(self, digest: str) -> Tickets:
        """The experiment of a shard or batch; a job without a ticket may have to look for it."""
        for name in [*self._known, *self.names]:
            if digest in (tickets := self._laid_out(name)):
                return tickets
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
