"""The commands of ``python -m experiments``: people use the first few, Snakemake the others."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from data.errors import UserError
from experiments.atomic import write_sealed
from experiments.catalogue import Catalogue
from experiments.code_digest import PROJECT
from experiments.devices import CPU, held
from experiments.estimate import estimate
from experiments.planner import Plan, make_plan
from experiments.shown import show
from experiments.store import OK, Store
from experiments.targets import Targets, targets_of
from experiments.tickets import read_ticket
from experiments.validate import Checked, check, experiment_path

EVERY = 10.0  # seconds between two lines of overall progress


@dataclass(frozen=True)
class Desk:
    """Where experiments are, what they may name, and where results go."""

    catalogue: Catalogue
    folder: Path = PROJECT / "experiments"
    store: Store = field(default_factory=Store)

    def path(self, name: str) -> Path:
        """An experiment's file, by name or path."""
        return experiment_path(name, self.folder)

    def plan(self, name: str) -> Plan:
        """An experiment ready to run."""
        return make_plan(self.path(name), self.catalogue)

    def plan_of(self, name: str, digest: str) -> Plan:
        """A plan that holds a shard or scoring batch: of it alone, where a ticket tells of it."""
        ticket = read_ticket(self.store, digest)
        only = ticket.cells if ticket else None
        return make_plan(self.path(name), self.catalogue, only=only)

    def laid_out(self, name: str) -> Targets:
        """What Snakemake asks for, be it that weights or clips are missing."""
        return targets_of(self.plan(name), self.store, self.catalogue)

    def targets(self, name: str) -> Targets:
        """What Snakemake asks for; UserError where weights or clips are missing."""
        found = self.laid_out(name)
        found.plan.require_present()
        return found


def list_experiments(desk: Desk) -> int:
    """Name and title of every experiment."""
    for path in sorted(desk.folder.glob("*.yaml")):
        try:
            title = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).get("title", "")
        except (yaml.YAMLError, AttributeError, UnicodeDecodeError):
            title = f"not readable: try python -m experiments validate {path.stem}"
        print(f"{path.stem:24} {title}")
    return 0


def validate(desk: Desk, names: list[str]) -> int:
    """Check files and say what they ask for; every problem of every file is reported."""
    problems = []
    for name in names:
        try:
            checked = check(desk.path(name), desk.catalogue)
            print(f"{checked.path}: valid, {len(checked.requests)} rows")
            _say_missing(checked)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return 0


def show_plan(desk: Desk, name: str) -> int:
    """Print what a run will take."""
    plan = desk.plan(name)
    print("\n".join(estimate(plan, desk.store, desk.catalogue.forecast).lines(plan.name)))
    _say_missing(plan.checked)
    return 0


def _say_missing(checked: Checked) -> None:
    for reason in checked.missing:
        print(f"to fetch before a run: {reason}")


def score(desk: Desk, name: str, batch_id: str | None) -> int:
    """Score one batch, or all of an experiment."""
    from experiments.score import batches, fingerprints, run_batch

    plan = desk.plan(name) if batch_id is None else desk.plan_of(name, batch_id)
    plan.require_present()
    marks = fingerprints(plan, desk.catalogue)
    found = batches(plan, marks) if marks else []
    chosen = [batch for batch in found if batch_id in (None, batch.id)]
    if batch_id and not chosen:
        raise UserError(changed(f"scoring batch {batch_id}", name))
    with held((CPU,)):  # a timing experiment on the CPU has it for itself
        for batch in chosen:
            run_batch(batch, desk.store, desk.catalogue, lambda text: print(text, file=sys.stderr))
    return 0


def collect(desk: Desk, name: str) -> int:
    """Write the tidy table."""
    from experiments.collect import table, write_table
    from experiments.seed_sets import with_sets_of_seeds

    targets = desk.targets(name)
    frame = table(targets.plan, desk.store)
    frame = with_sets_of_seeds(frame, targets.plan, desk.store, desk.catalogue)
    content = write_table(frame, targets.plan, desk.store)
    write_sealed(
        targets.collected(),
        {"table_sha256": hashlib.sha256(content).hexdigest(), "rows": len(targets.plan.rows)},
    )
    print(desk.store.root / f"{targets.plan.name}.parquet")
    return 0


def report(desk: Desk, name: str) -> int:
    """Render the report, show it to Snakemake and remember where it is."""
    targets = desk.targets(name)
    root = desk.store.root.resolve().parent
    command = [sys.executable, "-m", "reports", "render", targets.plan.name, "--root", str(root)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=PROJECT)
    lines = run.stdout.strip().splitlines()
    if run.returncode or not lines:
        return run.returncode or 1
    page = (PROJECT / lines[-1]).resolve()
    show(page, targets.rendered())
    # As seen from the project's folder, so that a copy of it elsewhere finds its own.
    write_sealed(targets.rendered(), {"report": page.relative_to(root).as_posix()})
    print(f"{targets.plan.name}: report {lines[-1]}")
    return 0


def verdict(desk: Desk, name: str) -> int:
    """Status 1 when a cell failed and the experiment does not allow it."""
    targets = desk.targets(name)
    plan, store = targets.plan, desk.store
    failed = {c: s for c in plan.cells if (s := store.status(c) or "not run") != OK}
    for cell_id, status in failed.items():
        print(f"{plan.name}: {plan.cells[cell_id]} ({cell_id}): {status}", file=sys.stderr)
    if failed and not plan.experiment.allow_failures:
        print(
            f"{plan.name}: {len(failed)} of {len(plan.cells)} cells failed; tracebacks are in "
            f"{store.root}/cells/<cell>/run.json. `python -m experiments retry {name}` forgets "
            "them, so that the next run tries again.",
            file=sys.stderr,
        )
        return 1
    write_sealed(targets.verdict(), {"failed": len(failed), "cells": len(plan.cells)})
    return 0


def retry(desk: Desk, name: str) -> int:
    """Forget failed cells."""
    targets = desk.targets(name)
    print(f"{name}: {targets.forget_failures()} failed cells will be run again")
    return 0


def changed(what: str, name: str) -> str:
    """What to say of something that is named by code or keys that are no more."""
    return (
        f"{what} is not part of experiment '{name}' any more: the file or the code it uses has "
        f"changed since the run began. Run `snakemake -j N {name}` again."
    )
