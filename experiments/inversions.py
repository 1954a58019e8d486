"""Inverted latents, computed once and shared by every method and experiment that asks for them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data.clip import Clip
from experiments.atomic import read_sealed, told_if_full, write_sealed
from experiments.catalogue import Catalogue
from experiments.cost import Cost, Meter
from experiments.store import Store
from methods.base import InversionSpec


class Inversions:
    """Loads inverted latents from the store, or computes and stores them; keeps the last few."""

    def __init__(self, store: Store, catalogue: Catalogue, meter: Meter, keep: int = 2) -> None:
        self.store, self.catalogue, self.meter, self.keep = store, catalogue, meter, keep
        self.held: dict[str, tuple[Any, Cost]] = {}

    def get(
        self, inversion_id: str, spec: InversionSpec, clip: Clip, backbone: Any
    ) -> tuple[Any, Cost]:
        """An inversion and what computing it cost."""
        if inversion_id not in self.held:
            with self.store.lock(f"inversion-{inversion_id}"):
                found = self._read(inversion_id) or self._compute(
                    inversion_id, spec, clip, backbone
                )
            while len(self.held) >= self.keep:
                self.held.pop(next(iter(self.held)))
            self.held[inversion_id] = found
        return self.held[inversion_id]

    def _read(self, inversion_id: str) -> tuple[Any, Cost] | None:
        path = self.store.inversion(inversion_id)
        record = intact_inversion(path)
        return (self.catalogue.load_inversion(path), Cost(**record["cost"])) if record else None

    def _compute(
        self, inversion_id: str, spec: InversionSpec, clip: Clip, backbone: Any
    ) -> tuple[Any, Cost]:
        path = self.store.inversion(inversion_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.meter.measure() as cost:
            inversion = self.catalogue.invert(backbone, clip.frames, spec)
        # The lock is ours, so whoever began such a file is dead.
        for left in path.parent.glob(f".{path.name}.*"):
            left.unlink(missing_ok=True)
        with told_if_full(path):
            inversion.save(path)
        write_sealed(
            path.with_suffix(".json"),
            {
                "file_sha256": _sha256(path),
                "cost": asdict(cost),
                "clip": clip.id,
                "dataset": clip.dataset,
                "spec": asdict(spec),
            },
        )
        return inversion, cost


def intact_inversion(path: Path) -> dict[str, Any] | None:
    """The record beside an inversion's file, or None unless the file is as it was written."""
    record = read_sealed(path.with_suffix(".json"))
    if record is None or not path.is_file() or _sha256(path) != record["file_sha256"]:
        return None
    return record


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
