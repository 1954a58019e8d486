"""Score cells: one process loads each extractor once and fills in what is missing.

A score belongs to the frames, the edit they are held against and the recipe with its code; when
one of these changes the score is computed again, and never otherwise.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import UserError
from data.progress import Progress
from experiments.atomic import digest, write_sealed
from experiments.catalogue import Catalogue
from experiments.cells import Cell, EditRef
from experiments.clips import clip_loader
from experiments.code_digest import PROJECT, code_digest
from experiments.planner import Plan
from experiments.shares import packed
from experiments.store import OK, Store
from metrics.base import Metric, Sample, Score
from metrics.sets import SetMetric, Share

BATCH = 128  # pairs of cell and edit that one process scores at most, or a few more


@dataclass(frozen=True)
class Job:
    """A cell to be scored against some edits (several if its frames ignore the edit)."""

    cell: Cell
    edits: tuple[EditRef | None, ...]


@dataclass(frozen=True)
class Batch:
    """Jobs that one process scores, and what the scores are made with."""

    jobs: tuple[Job, ...]
    fingerprints: dict[str, str]  # recipe -> digest of its version and code

    @property
    def id(self) -> str:
        """Digest of all that is scored and with what."""
        pairs = [[job.cell.id, *(e.digest if e else "" for e in job.edits)] for job in self.jobs]
        return digest([pairs, self.fingerprints])


def edit_name(edit: EditRef | None) -> str:
    """The key of an edit in ``scores.json``; empty where there is none."""
    return edit.edit if edit else ""


def score_mark(fingerprint: str, edit: EditRef | None) -> str:
    """What a stored score must carry to be the one wanted."""
    return mark_of(fingerprint, edit.digest if edit else "")


def mark_of(fingerprint: str, edit: str) -> str:
    """The mark of a recipe's fingerprint and an edit's digest (empty where there is no edit)."""
    return digest([fingerprint, edit])


def fingerprints(plan: Plan, catalogue: Catalogue, project: Path = PROJECT) -> dict[str, str]:
    """Digest of each recipe: its version, its extractor and the code behind it. Loads no torch."""
    return {
        recipe: fingerprint(catalogue.metric(recipe), project) for recipe in plan.experiment.metrics
    }


def fingerprint(metric: Metric, project: Path = PROJECT) -> str:
    """Digest of a recipe: its version, its extractor and the code behind it."""
    code = code_digest([type(metric).__module__], project, follow_into=("metrics",))
    return digest([metric.recipe, metric.version, getattr(metric, "extractor_digest", ""), code])


def batches(plan: Plan, marks: dict[str, str], size: int = BATCH) -> list[Batch]:
    """All pairs of cell and edit of a plan in even batches, the pairs of one cell together."""
    edits: dict[str, dict[str, EditRef | None]] = {}
    for request, cell in plan.rows:
        edits.setdefault(cell.id, {})[edit_name(request.edit)] = request.edit
    ordered = sorted(plan.cells.values(), key=lambda c: (c.clip.dataset, c.clip.clip))
    jobs = [Job(cell, tuple(edits[cell.id].values())) for cell in ordered]
    total, done = sum(len(job.edits) for job in jobs), 0
    count = -(-total // size)  # of even size, so that none is waited for
    found: list[list[Job]] = [[] for _ in range(count)]
    for job in jobs:
        found[done * count // total].append(job)
        done += len(job.edits)
    return [Batch(tuple(held), marks) for held in found if held]


def missing(store: Store, job: Job, marks: dict[str, str]) -> list[tuple[EditRef | None, str]]:
    """(edit, recipe) pairs of a cell that have no score yet; none for a cell without frames."""
    if store.status(job.cell.id) != OK:
        return []
    scores = store.scores(job.cell.id)
    return [
        (edit, recipe)
        for edit in job.edits
        for recipe, mark in marks.items()
        if scores.get(edit_name(edit), {}).get(recipe, {}).get("mark") != score_mark(mark, edit)
    ]


def run_batch(
    batch: Batch, store: Store, catalogue: Catalogue, say: Callable[[str], None] = print
) -> None:
    """Fill in the missing scores of a batch and write its manifest last."""
    metrics: dict[str, Metric] = {}
    clip_of = clip_loader(catalogue.dataset)
    progress, start, scores = Progress("score", len(batch.jobs)), time.perf_counter(), 0
    for job in batch.jobs:
        pairs = missing(store, job, batch.fingerprints)
        if pairs:
            clip, frames = clip_of(job.cell.clip), _frames(store, job.cell)
            traces = store.traces(job.cell.id)
            added: dict[str, dict[str, Any]] = {}
            for edit, recipe in pairs:
                metric = metrics.setdefault(recipe, catalogue.metric(recipe))
                asked = clip.edits[edit.edit] if edit else None
                sample = Sample(frames, clip, asked, traces)
                mark = score_mark(batch.fingerprints[recipe], edit)
                added.setdefault(edit_name(edit), {})[recipe] = _score(metric, sample, mark, say)
                scores += 1
            store.write_scores(job.cell.id, added)
        progress.update(1, str(job.cell))
    write_sealed(
        store.root / "scored" / f"{batch.id}.json",
        {
            "batch": batch.id,
            "cells": [job.cell.id for job in batch.jobs],
            "cost": {"scores": scores, "seconds": time.perf_counter() - start},
        },
    )


def _frames(store: Store, cell: Cell) -> np.ndarray:
    """A cell's frames; UserError if they are not those that were written."""
    try:
        return store.frames(cell.id)
    except KeyError:
        raise UserError(
            f"{store.cell(cell.id)}: the frames of {cell} were altered or are incomplete; they are "
            "not scored. Run the same snakemake command again: it makes them anew."
        ) from None


def _score(metric: Metric, sample: Sample, mark: str, say: Callable[[str], None]) -> dict[str, Any]:
    """A score as it is stored; a metric that fails gives a reason, never a number.

    What a cell gives to a set is stored in place of a number.
    """
    share: Share | None = None
    try:
        if isinstance(metric, SetMetric):
            given = metric.share(sample)
            share = None if isinstance(given, str) else given
            score = Score(None, reason="" if share else str(given))
        else:
            score = metric.compute(sample)
        value, per_frame, reason = score.value, list(score.per_frame), score.reason
        if value is not None and value != value:
            value, reason = None, "not a number"
    except UserError as error:
        value, per_frame, reason = None, [], str(error)
    except Exception as error:
        say(traceback.format_exc())
        value, per_frame, reason = None, [], f"error: {type(error).__name__}: {error}"
    stored = {
        "value": None if value is None else float(value),
        "per_frame": [None if x is None or x != x else float(x) for x in per_frame],
        "reason": reason,
        "version": metric.version,
        "mark": mark,
    }
    return stored if share is None else stored | {"share": packed(share)}


def scored(store: Store, jobs: Iterable[Job], marks: dict[str, str]) -> bool:
    """True when no score of the jobs is missing."""
    return not any(missing(store, job, marks) for job in jobs)
