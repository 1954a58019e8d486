"""What Snakemake is asked for: files named by content, so that no timestamp ever decides.

Each step of an experiment ends in a manifest whose name digests all that went into it. A manifest
that exists is up to date by its name; one that no longer tells the truth (a cell was altered, the
table is gone) is removed here, before the graph is built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from experiments.atomic import digest, read_sealed
from experiments.catalogue import Catalogue
from experiments.code_digest import PROJECT, code_digest
from experiments.planner import Plan, Shard, modules_of
from experiments.score import Batch, batches, fingerprints, scored
from experiments.seen import Seen
from experiments.store import FRAMES, OK, RECORD, SCORES, Store

REPORT_CODE = "reports.render"
REPORT_FILES = ("reports/templates/**/*", "pyproject.toml")


@dataclass(frozen=True, eq=False)
class Targets:
    """Manifests of one experiment."""

    plan: Plan
    store: Store
    marks: dict[str, str]  # recipe -> fingerprint
    look: str  # digest of the report's code and templates

    @cached_property
    def batches(self) -> list[Batch]:
        """Scoring jobs; none where no metric is asked for."""
        return batches(self.plan, self.marks) if self.marks else []

    @cached_property
    def id(self) -> str:
        """Digest of plan and scores."""
        return digest([self.plan.id, self.marks])

    @property
    def datasets(self) -> list[str]:
        """Datasets that the experiment uses."""
        return sorted({cell.clip.dataset for cell in self.plan.cells.values()})

    def shard_manifests(self) -> list[Path]:
        """One per shard."""
        return [self.store.root / "shards" / f"{shard.id}.json" for shard in self.plan.shards]

    def score_manifests(self) -> list[Path]:
        """One per scoring batch."""
        return [self.store.root / "scored" / f"{batch.id}.json" for batch in self.batches]

    def collected(self) -> Path:
        """Names the table that was written, by checksum."""
        return self.store.root / "collected" / f"{self.plan.name}-{self.id}.json"

    def rendered(self) -> Path:
        """Names the report that was written."""
        return (
            self.store.root / "rendered" / f"{self.plan.name}-{digest([self.id, self.look])}.json"
        )

    def verdict(self) -> Path:
        """Exists when no cell failed, or failures are allowed."""
        return self.store.root / "verdicts" / f"{self.plan.name}-{self.id}.json"

    def modules_to_come(self, catalogue: Catalogue) -> list[str]:
        """The modules of methods that are still to be run and of metrics that are to score."""
        shards = zip(self.plan.shards, self.shard_manifests(), strict=True)
        methods = {
            cell.method.name: cell.method
            for shard, manifest in shards
            if not manifest.exists()
            for cell in shard.cells
        }
        found = {name for method in methods.values() for name in modules_of(method, catalogue)}
        if not all(manifest.exists() for manifest in self.score_manifests()):
            found |= {type(catalogue.metric(recipe)).__module__ for recipe in self.marks}
        return sorted(found)

    def drop_stale(self) -> None:
        """Remove manifests that promise what is not in the store; others may be doing the same."""
        stale, seen = False, Seen(self.store.root)
        for shard, path in zip(self.plan.shards, self.shard_manifests(), strict=True):
            if path.exists() and not seen.holds(path, *self._ran(shard)):
                path.unlink(missing_ok=True)
            stale |= not path.exists()
        for batch, path in zip(self.batches, self.score_manifests(), strict=True):
            if path.exists() and (stale or not seen.holds(path, *self._scored(batch))):
                path.unlink(missing_ok=True)
            stale |= not path.exists()
        seen.keep()
        collected = self.collected()
        if collected.exists() and (stale or not self._table_intact()):
            collected.unlink(missing_ok=True)
        stale |= not collected.exists()
        rendered = self.rendered()
        record = read_sealed(rendered)
        root = self.store.root.resolve().parent
        if rendered.exists() and (stale or not record or not (root / record["report"]).is_file()):
            rendered.unlink(missing_ok=True)
        if stale:
            self.verdict().unlink(missing_ok=True)

    def _ran(self, shard: Shard) -> tuple[list[Path], Callable[[], bool]]:
        """The files that a shard's manifest stands for, and whether they are what it says."""
        cells = [cell.id for cell in shard.cells]
        return self._files(cells, FRAMES), lambda: all(map(self.store.settled, cells))

    def _scored(self, batch: Batch) -> tuple[list[Path], Callable[[], bool]]:
        """The files that a scoring manifest stands for, and whether they are what it says."""
        cells = [job.cell.id for job in batch.jobs]
        return self._files(cells, SCORES), lambda: scored(self.store, batch.jobs, self.marks)

    def _files(self, cells: Iterable[str], name: str) -> list[Path]:
        """The run record of every cell and one more file."""
        folders = map(self.store.cell, cells)
        return [path for folder in folders for path in (folder / RECORD, folder / name)]

    def _table_intact(self) -> bool:
        record = read_sealed(self.collected())
        table = self.store.root / f"{self.plan.name}.parquet"
        if record is None or not table.is_file():
            return False
        return hashlib.sha256(table.read_bytes()).hexdigest() == record["table_sha256"]

    def forget_failures(self) -> int:
        """Forget failed cells and what follows from them, so that they are run again."""
        failed = [c for c in self.plan.cells if self.store.status(c) not in (OK, None)]
        for cell_id in failed:
            self.store.forget(cell_id)
        self.drop_stale()
        return len(failed)


def targets_of(plan: Plan, store: Store, catalogue: Catalogue, project: Path = PROJECT) -> Targets:
    """Everything that Snakemake has to know of a plan."""
    files = sorted(path for pattern in REPORT_FILES for path in project.glob(pattern))
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
    code = code_digest([REPORT_CODE], project, follow_into=("reports", "metrics", "experiments"))
    return Targets(plan, store, fingerprints(plan, catalogue, project), digest([code, contents]))
