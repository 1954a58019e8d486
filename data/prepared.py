"""Prepared clips: one uncompressed ``.npz`` each and an ``index.json``, byte for byte stable.

Uncompressed, because compressed bytes depend on the zlib at hand; NumPy gives every member the
same fixed date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from data.clip import Clip, Edit, Flow, Region
from data.digest import sha256_file
from data.files import whole, write_text

_FLOW = ("forward", "backward", "occluded_forward", "occluded_backward")


def _arrays(clip: Clip) -> dict[str, np.ndarray]:
    """Every array of a clip by its name in the archive."""
    arrays = {"frames": clip.frames, "masks": clip.masks, "boxes": clip.boxes}
    arrays |= {f"flow.{name}": getattr(clip.flow, name, None) for name in _FLOW}
    for name, edit in clip.edits.items():
        arrays |= {f"edit.{name}.oracle": edit.oracle, f"edit.{name}.masks": edit.oracle_masks}
    return {name: array for name, array in arrays.items() if array is not None}


def write_clip(path: Path, clip: Clip) -> None:
    """Write a clip with its truth and edits, atomically."""
    meta = {
        "id": clip.id,
        "dataset": clip.dataset,
        "prompt": clip.prompt,
        "fps": clip.fps,
        "attribution": clip.attribution,
        "edits": [
            [e.id, e.kind, e.prompt, [list(pair) for pair in e.words]] for e in clip.edits.values()
        ],
    }
    layouts = {
        e.id: [[region.phrase, region.boxes] for region in e.layout]
        for e in clip.edits.values()
        if e.layout
    }
    meta |= {"layouts": layouts} if layouts else {}
    text = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)
    with whole(path) as part, part.open("wb") as stream:
        np.savez(stream, meta=text, **_arrays(clip))


def read_clip(path: Path) -> Clip:
    """The clip that :func:`write_clip` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = json.loads(arrays["meta"].tobytes())
    edits = {
        name: Edit(
            name,
            kind,
            prompt,
            tuple((a, b) for a, b in words),
            arrays.get(f"edit.{name}.oracle"),
            arrays.get(f"edit.{name}.masks"),
            _layout(meta.get("layouts", {}).get(name, [])),
        )
        for name, kind, prompt, words in meta["edits"]
    }
    flow = Flow(*(arrays[f"flow.{name}"] for name in _FLOW)) if "flow.forward" in arrays else None
    return Clip(
        meta["id"],
        meta["dataset"],
        arrays["frames"],
        meta["prompt"],
        meta["fps"],
        arrays.get("masks"),
        arrays.get("boxes"),
        flow,
        edits,
        meta["attribution"],
    )


def _layout(regions: list[tuple[str, list[list[float]]]]) -> tuple[Region, ...]:
    return tuple(Region(phrase, tuple(map(tuple, boxes))) for phrase, boxes in regions)


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """Clip id: ``{file, sha256, entry}``; empty where nothing has been prepared."""
    path = folder / "index.json"
    return json.loads(path.read_text(encoding="utf-8"))["clips"] if path.exists() else {}


def write_index(folder: Path, entries: dict[str, str]) -> None:
    """Write the index of prepared clips, given each clip's manifest entry digest."""
    clips = {
        name: {"file": f"{name}.npz", "sha256": sha256_file(folder / f"{name}.npz"), "entry": entry}
        for name, entry in entries.items()
    }
    write_text(folder / "index.json", json.dumps({"clips": clips}, indent=1) + "\n")
