"""Hold a report to its word: recompute some of its cells and compare frames and scores.

The report's own record says what they were made with. Where this checkout has other weights, clips
or code, its cells would be other cells, and that is said instead.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data.digest import sha256_file
from data.errors import UserError
from experiments.atomic import read_sealed
from experiments.catalogue import Catalogue
from experiments.cells import Cell
from experiments.devices import AUTO, CPU, held, resolve
from experiments.planner import Plan, Shard, make_plan
from experiments.provenance import lock_digest
from experiments.score import Batch, batches, fingerprints, run_batch
from experiments.sharing.apart import cell_difference
from experiments.store import OK, Store
from metrics.sets import SetMetric
from reports.sides import Side, read_side

ROUNDING = 1e-6  # of a score: what another processor may make of the same sums


@dataclass(frozen=True)
class Check:
    """What became of one cell, or of the report's files."""

    name: str
    matches: bool
    told: str


def verify(given: str, root: Path, cells: int, catalogue: Catalogue) -> list[Check]:
    """Check a report's files and recompute some of its cells in a scratch store.

    Raises UserError where the report cannot be held to its word here: it is of an older version,
    or weights, clips or code differ from those that it names.
    """
    side = read_side(given, root)
    folder = root / "reports" / side.name
    record = read_sealed(folder / "provenance.json")
    if "frames" not in side.provenance:
        raise UserError(
            f"{folder} does not say what frames it was made of: it was rendered by an older "
            "version. Render its results again: `python -m reports render "
            f"{side.provenance['experiment']}`."
        )
    if record is None:
        raise UserError(f"{folder / 'provenance.json'} was altered after the report was rendered.")
    plan = make_plan(root / "experiments" / f"{record['experiment']}.yaml", catalogue)
    plan.require_present()
    _require_same(record, plan, side, catalogue)
    chosen = choose(side, plan, cells)
    return [_files(folder, record), *_recompute(chosen, plan, side, root, catalogue)]


def choose(side: Side, plan: Plan, count: int) -> list[Cell]:
    """Cells in an order that nobody picked, methods taking turns, those without network last."""
    salt = side.provenance["results_digest"]
    known = [plan.cells[cell] for cell in side.provenance["frames"]]
    known.sort(key=lambda cell: hashlib.sha256(f"{salt}{cell.id}".encode()).hexdigest())
    turns: dict[str, int] = {}
    order = []
    for cell in known:
        turn = turns[cell.method.name] = turns.get(cell.method.name, 0) + 1
        order.append((cell.backbone is None, turn, len(order), cell))
    return [cell for *_, cell in sorted(order, key=lambda entry: entry[:3])[:count]]


def _require_same(record: dict[str, Any], plan: Plan, side: Side, catalogue: Catalogue) -> None:
    """Raise UserError where the cells of a report are not those of this checkout, saying why."""
    differ = []
    for name, digest in record["backbones"].items():
        here = catalogue.backbone(name).digest
        if here != digest:
            differ.append(f"the weights of '{name}' are {here[:12]}, the report's {digest[:12]}")
    clips = {f"{r.clip.dataset}/{r.clip.clip}": r.clip.digest for r, _ in plan.rows}
    for name, digest in record["clips"].items():
        if clips.get(name, digest) != digest:
            differ.append(f"clip {name} is {clips[name][:12]}, the report's {digest[:12]}")
    lost = set(record["frames"]) - set(plan.cells)
    if lost and not differ:
        spec = hashlib.sha256(plan.checked.path.read_bytes()).hexdigest()[:16]
        cause = "the code" if spec == record["experiment_digest"] else "the experiment, or code,"
        rows = side.cells.loc[side.cells["cell"].isin(lost), "row"]
        names = ", ".join(sorted({str(row).partition("[")[0] for row in rows}))
        differ.append(
            f"{cause} behind {names} differs, so {len(lost)} of its {len(record['frames'])} cells "
            "are none of this checkout's"
        )
    if differ:
        code = record["revision"] or record["code"]["commit"]
        dirty = " with uncommitted changes, which are lost" if record["code"]["dirty"] else ""
        raise UserError(
            f"{side.name} cannot be verified here: {'; '.join(differ)}. It is of commit "
            f"{code}{dirty}: `git checkout {code[:12]}`, restore its weights, and verify there."
        )


def _files(folder: Path, record: dict[str, Any]) -> Check:
    """Whether tables, figures and numbers are those that were rendered."""
    altered = [
        name
        for name, digest in record["files"].items()
        if not (folder / name).is_file() or sha256_file(folder / name) != digest
    ]
    told = f"altered or missing: {', '.join(altered)}" if altered else "as they were rendered"
    return Check(f"{len(record['files'])} files", not altered, told)


def _recompute(
    chosen: list[Cell], plan: Plan, side: Side, root: Path, catalogue: Catalogue
) -> Iterable[Check]:
    with tempfile.TemporaryDirectory(prefix="crossframe-verify-") as scratch:
        store = Store(Path(scratch) / "results")
        for name in dict.fromkeys(cell.backbone and cell.backbone.name for cell in chosen):
            alike = [c for c in chosen if (c.backbone and c.backbone.name) == name]
            _run(Shard(tuple(alike)), plan, store, side, catalogue)
        marks = fingerprints(plan, catalogue)
        wanted = {cell.id for cell in chosen}
        jobs = [j for b in batches(plan, marks) for j in b.jobs if j.cell.id in wanted]
        run_batch(Batch(tuple(jobs), marks), store, catalogue)
        kept = Store(root / "results")
        for cell in chosen:
            yield _check(cell, side, store, kept, catalogue)


def _run(shard: Shard, plan: Plan, store: Store, side: Side, catalogue: Catalogue) -> None:
    """Run cells as the report's were: on the same kind of device, with as many threads."""
    runs = side.provenance["runs"]
    threads = int(next(iter(runs.get("hardware.threads", {"1": 0}))))
    networks = any(cell.backbone for cell in shard.cells)
    on_cpu = not networks or list(runs.get("hardware.device", {})) == [CPU]
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from experiments.runner import ShardRunner
    from experiments.shard_command import prepare_torch

    with held((CPU,) if on_cpu else resolve(AUTO)) as device:
        kind = prepare_torch(device, threads, insist=False) if networks else CPU
        ShardRunner(plan, shard, store, catalogue, kind, threads).run()


def _check(cell: Cell, side: Side, store: Store, kept: Store, catalogue: Catalogue) -> Check:
    """Compare a cell's frames and scores with the report's."""
    name = f"{cell.id} {cell}"
    run = store.run(cell.id) or {}
    if run.get("status") != OK:
        return Check(name, False, f"did not run here: {run.get('status', 'no record')}")
    if run["frames_sha256"] != side.provenance["frames"][cell.id]:
        told = "other frames"
        if kept.valid(cell.id):
            told = cell_difference(kept, store, cell.id)
        lock = side.provenance["lock"]
        if lock != lock_digest():
            told += "; the report's lock is another: its libraries may round differently"
        return Check(name, False, told)
    wrong, counted = _scores(cell, side, store, catalogue)
    if wrong:
        return Check(name, False, f"the same frames, but {'; '.join(wrong)}")
    return Check(name, True, f"the same frames, the same {counted} scores")


def _scores(cell: Cell, side: Side, store: Store, catalogue: Catalogue) -> tuple[list[str], int]:
    """Scores that differ, in words, and how many were compared."""
    wrong, counted = [], 0
    found = store.scores(cell.id)
    for recipe in side.provenance["metrics"]:
        if isinstance(catalogue.metric(recipe), SetMetric):
            continue  # its numbers are of many cells
        for _, line in side.cells[side.cells["cell"] == cell.id].iterrows():
            here = found.get(line["edit"], {}).get(recipe, {}).get("value")
            there = None if pd.isna(line[recipe]) else float(line[recipe])
            counted += 1
            if here is None or there is None:
                same = here is there
            else:
                same = math.isclose(here, there, rel_tol=ROUNDING, abs_tol=ROUNDING)
            if not same:
                wrong.append(f"{recipe} is {here} here and {there} in the report")
    return wrong, counted
