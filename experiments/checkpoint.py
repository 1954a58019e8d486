"""Where a walk stands, kept on disk from time to time: a crash costs seconds, not cells."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.atomic import write_atomic
from experiments.cost import Cost
from experiments.trie import Family, Node

if TYPE_CHECKING:
    from experiments.walk import Place

EVERY = 20.0  # seconds, where writing takes one or less: longer where it takes longer
DIGEST = 64  # leading bytes: the sha256 of the rest


class Checkpoint:
    """The places a family has reached, all after the same step, in one file."""

    def __init__(self, path: Path) -> None:
        self.path, self.last, self.took = path, time.monotonic(), 0.0

    def save(self, level: list[Place]) -> None:
        """Keep where all cells stand, if it is time to."""
        # At most a twentieth of the time goes into writing, however many jobs share the disk.
        if not level or time.monotonic() - self.last < EVERY * max(1.0, self.took):
            return
        start = time.monotonic()
        arrays: dict[str, np.ndarray] = {}
        places = []
        for index, place in enumerate(level):
            cells = [cell.id for cell in place.node.cells()]
            places.append({"cells": cells, "spent": asdict(place.spent), "k": place.node.k})
            arrays |= {f"{index}/{name}": array for name, array in place.state.pack().items()}
        buffer = io.BytesIO()
        np.savez(buffer, places=np.array(json.dumps(places)), **arrays)
        content = buffer.getvalue()
        write_atomic(self.path, hashlib.sha256(content).hexdigest().encode() + content)
        self.last = time.monotonic()
        self.took = self.last - start

    def load(self, family: Family) -> list[Place] | None:
        """Where a family stood, or None if nothing that covers all its cells was kept."""
        from experiments.walk import Place

        kept = self._read()
        if kept is None:
            return None
        by_cell = {cell: index for index, p in enumerate(kept[0]) for cell in p["cells"]}
        if not all(cell.id in by_cell for cell in family.cells()):
            return None
        level = []
        depth = kept[0][0]["k"]
        for node in _nodes(family, depth):
            cells = node.cells()
            index = by_cell[cells[0].id]
            if any(by_cell[cell.id] != index for cell in cells):
                return None
            state = cells[0].method.State.unpack(kept[1][index]).fork()
            level.append(Place(node, state, Cost(**kept[0][index]["spent"])))
        return level

    def _read(self) -> tuple[list[dict], list[dict[str, np.ndarray]]] | None:
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
            content = self.path.read_bytes()
            digest, content = content[:DIGEST].decode(), content[DIGEST:]
            if hashlib.sha256(content).hexdigest() != digest:
                return None
            with np.load(io.BytesIO(content)) as archive:
                arrays = dict(archive)
            places = json.loads(str(arrays.pop("places")))
            states: list[dict[str, np.ndarray]] = [{} for _ in places]
            for key, array in arrays.items():
                index, name = key.split("/", 1)
                states[int(index)][name] = array
            return places, states
        return None

    def remove(self) -> None:
        """Nothing is left to go on with."""
        self.path.unlink(missing_ok=True)


def _nodes(family: Family, depth: int) -> list[Node]:
    """All nodes of a family that stand for step ``depth``."""
    level = family.roots
    for _ in range(depth + 1):
        level = [child for node in level for child in node.children.values()]
    return level
