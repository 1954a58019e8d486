"""The results folder: cells, inversions and what is known to be valid in it.

A cell's ``run.json`` is written after its frames and holds their checksum, so it is the moment at
which the cell exists. A cell is *settled* when it is valid or when its failure is recorded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from data.digest import frames_digest
from experiments.atomic import locked, read_sealed, write_atomic, write_sealed

OK = "ok"
RECORD, FRAMES, SCORES = "run.json", "frames.npz", "scores.json"  # in a cell's folder
TRACE = "trace."  # in a cell's archive, before the names of what its method kept
ABANDONED = 3600.0  # seconds after which nobody is writing a temporary file any more


class Store:
    """Reads and writes ``results/``."""

    def __init__(self, root: Path | str = "results") -> None:
        self.root = Path(root)

    def cell(self, cell_id: str) -> Path:
        """A cell's folder."""
        return self.root / "cells" / cell_id

    def run(self, cell_id: str) -> dict[str, Any] | None:
        """A cell's run record, or None when there is none that can be trusted."""
        record = read_sealed(self.cell(cell_id) / RECORD)
        return record if record and record.get("cell") == cell_id else None

    def valid(self, cell_id: str) -> bool:
        """True when the cell ran well and its frames are those that were written."""
        record = self.run(cell_id)
        return bool(record) and record["status"] == OK and self._intact(cell_id, record)

    def settled(self, cell_id: str) -> bool:
        """True when there is nothing left to run: valid, or failed and recorded."""
        record = self.run(cell_id)
        return bool(record) and (record["status"] != OK or self._intact(cell_id, record))

    def status(self, cell_id: str) -> str | None:
        """``ok``, the reason of a failure, or None when the cell has not been run."""
        record = self.run(cell_id)
        return record["status"] if record else None

    def _intact(self, cell_id: str, record: dict[str, Any]) -> bool:
        try:
            content = (self.cell(cell_id) / FRAMES).read_bytes()
        except OSError:
            return False
        return hashlib.sha256(content).hexdigest() == record["file_sha256"]

    def frames(self, cell_id: str) -> np.ndarray:
        """(N, H, W, 3) uint8 frames of a valid cell; KeyError if the cell is not valid."""
        if not self.valid(cell_id):
            raise KeyError(f"cell {cell_id} is not valid in {self.root}; run its shard again")
        with np.load(self.cell(cell_id) / FRAMES) as archive:
            return archive["frames"]

    def traces(self, cell_id: str) -> dict[str, np.ndarray]:
        """What the method kept beside the frames of a valid cell, by name."""
        with np.load(self.cell(cell_id) / FRAMES) as archive:
            return {
                name.removeprefix(TRACE): archive[name]
                for name in archive.files
                if name.startswith(TRACE)
            }

    def write_frames(
        self,
        cell_id: str,
        frames: np.ndarray,
        record: dict[str, Any],
        traces: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        """Store a cell that ran well."""
        buffer = io.BytesIO()
        named = {TRACE + name: array for name, array in traces.items()}
        np.savez_compressed(buffer, frames=frames, **named)
        content = buffer.getvalue()
        checks = {
            "cell": cell_id,
            "status": OK,
            "n_frames": len(frames),
            "frames_sha256": frames_digest(frames),
            "file_sha256": hashlib.sha256(content).hexdigest(),
        }
        # Experiments that share a cell may both run it; the record must be of the frames kept.
        with self.lock(f"cell-{cell_id[:2]}"):
            self._sweep(cell_id)
            write_atomic(self.cell(cell_id) / FRAMES, content)
            write_sealed(self.cell(cell_id) / RECORD, record | checks)

    def write_failure(
        self, cell_id: str, status: str, traceback: str, record: dict[str, Any]
    ) -> None:
        """Record why a cell has no frames."""
        failure = {"cell": cell_id, "status": status, "traceback": traceback, "n_frames": 0}
        with self.lock(f"cell-{cell_id[:2]}"):
            self._sweep(cell_id)
            write_sealed(self.cell(cell_id) / RECORD, record | failure)
            (self.cell(cell_id) / FRAMES).unlink(missing_ok=True)

    def forget(self, cell_id: str) -> None:
        """Remove a cell's record, so that it is run again."""
        (self.cell(cell_id) / RECORD).unlink(missing_ok=True)

    def _sweep(self, cell_id: str) -> None:
        """Remove what a killed writer left; a young file may belong to a living one."""
        for left in self.cell(cell_id).glob(".*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > ABANDONED:
                    left.unlink()

    def scores(self, cell_id: str) -> dict[str, dict[str, Any]]:
        """Scores of a cell's present frames: edit digest -> recipe -> score; {} if none."""
        scores = read_sealed(self.cell(cell_id) / SCORES)
        run = self.run(cell_id)
        if not scores or not run or scores["frames_sha256"] != run.get("frames_sha256"):
            return {}
        return scores["scores"]

    def write_scores(self, cell_id: str, added: dict[str, dict[str, Any]]) -> None:
        """Add scores of the present frames to what is there."""
        with self.lock(f"scores-{cell_id[:2]}"):
            scores = self.scores(cell_id)
            for edit, recipes in added.items():
                scores[edit] = scores.get(edit, {}) | recipes
            run = self.run(cell_id)
            frames = run.get("frames_sha256") if run else None
            record = {"frames_sha256": frames, "scores": scores}
            write_sealed(self.cell(cell_id) / SCORES, record)

    def inversion(self, inversion_id: str) -> Path:
        """Where inverted latents are; a sealed ``.json`` beside them holds checksum and cost."""
        return self.root / "inversions" / f"{inversion_id}.safetensors"

    def tuning(self, tuning_id: str) -> Path:
        """Where tuned weights are; a sealed ``.json`` beside them holds checksum and cost."""
        return self.root / "tunings" / f"{tuning_id}.safetensors"

    def lock(self, name: str) -> AbstractContextManager[None]:
        """An exclusive lock among all processes that use this store."""
        return locked(self.root / "locks" / name)
