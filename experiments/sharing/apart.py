"""Two results under one id: what differs, and where the other one is kept."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.atomic import write_atomic
from experiments.store import OK, Store


def keep_apart(target: Store, kind: str, own: str, files: Sequence[Path]) -> Path:
    """Copy files to ``results/conflicts/<kind>/<id>-<digest>/``; the same files only once."""
    contents = {path.name: path.read_bytes() for path in files if path.is_file()}
    total = hashlib.sha256(b"".join(contents[name] for name in sorted(contents))).hexdigest()
    folder = target.root / "conflicts" / kind / f"{own}-{total[:8]}"
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return folder


def cell_difference(here: Store, there: Store, cell_id: str) -> str:
    """In words: statuses, or by how much the frames differ, and on which machines."""
    mine, other = here.run(cell_id) or {}, there.run(cell_id) or {}
    if OK not in (mine["status"], other["status"]):
        return f"failed differently: '{mine['status']}' here, '{other['status']}' there"
    if mine["status"] != other["status"]:
        return f"'{mine['status']}' here, '{other['status']}' there"
    a, b = here.frames(cell_id).astype(int), there.frames(cell_id).astype(int)
    if a.shape != b.shape:
        told = f"frames of shape {a.shape} here and {b.shape} there"
    elif not (a != b).any():
        told = "the same frames, but what the method kept beside them differs"
    else:
        frames = int((a != b).any(axis=(1, 2, 3)).sum())
        told = f"{frames} of {len(a)} frames differ, by up to {np.abs(a - b).max()} of 255"
    return f"{told}; {_machine(mine)} here, {_machine(other)} there"


def same_outcome(here: Store, there: Store, cell_id: str) -> bool:
    """Whether two stores have the same frames of a cell, or both a failure of the same kind."""
    mine, other = here.run(cell_id) or {}, there.run(cell_id) or {}
    if mine["status"] != other["status"] or mine["status"] != OK:
        return mine["status"] == other["status"]
    if mine["file_sha256"] == other["file_sha256"]:
        return True
    if mine["frames_sha256"] != other["frames_sha256"]:
        return False
    a, b = here.traces(cell_id), there.traces(cell_id)
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def remove(folder: Path) -> None:
    """A scratch folder and all in it."""
    shutil.rmtree(folder, ignore_errors=True)


def _machine(run: dict[str, Any]) -> str:
    facts = run.get("provenance", {}).get("hardware", {})
    return str(facts.get("gpu") or facts.get("cpu") or "an unknown machine")
