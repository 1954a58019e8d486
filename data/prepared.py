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
from data.instructed import InstructedEdit, instruction_of
from data.speech import Audio, SpokenEdit, TalkingClip, audio_of

_FLOW = ("forward", "backward", "occluded_forward", "occluded_backward")
_SPEAKING = ("opening", "landmarks")  # besides audio; an edit has no landmarks


def _arrays(clip: Clip) -> dict[str, np.ndarray]:
    """Every array of a clip by its name in the archive."""
    arrays = {"frames": clip.frames, "masks": clip.masks, "boxes": clip.boxes}
    arrays |= {f"flow.{name}": getattr(clip.flow, name, None) for name in _FLOW}
    for name, edit in clip.edits.items():
        arrays |= {f"edit.{name}.oracle": edit.oracle, f"edit.{name}.masks": edit.oracle_masks}
        arrays |= _speaking(edit, f"edit.{name}.")
    arrays |= _speaking(clip, "")
    return {name: array for name, array in arrays.items() if array is not None}


def _speaking(holder: Clip | Edit, prefix: str) -> dict[str, np.ndarray | None]:
    """What only clips and edits with sound have."""
    audio = audio_of(holder)
    found = {f"{prefix}{name}": getattr(holder, name, None) for name in _SPEAKING}
    return found | {f"{prefix}audio": audio.samples if audio else None}


def _spoken(clip: Clip, arrays: dict[str, np.ndarray], rate: int) -> TalkingClip:
    """A clip and its edits with their sound."""

    def sound(prefix: str) -> dict[str, Any]:
        samples = arrays.get(f"{prefix}audio")
        audio = None if samples is None else Audio(samples, rate)
        return {"audio": audio, "opening": arrays.get(f"{prefix}opening")}

    edits = {
        name: SpokenEdit(**vars(edit) | sound(f"edit.{name}.")) for name, edit in clip.edits.items()
    }
    known = vars(clip) | sound("") | {"edits": edits, "landmarks": arrays.get("landmarks")}
    return TalkingClip(**known)


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
    sounds = [audio for each in (clip, *clip.edits.values()) if (audio := audio_of(each))]
    meta |= {"rate": sounds[0].rate} if sounds else {}
    asked = {e.id: text for e in clip.edits.values() if (text := instruction_of(e))}
    meta |= {"instructions": asked} if asked else {}
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
    for name, text in meta.get("instructions", {}).items():
        edits[name] = InstructedEdit(**vars(edits[name]), instruction=text)
    flow = Flow(*(arrays[f"flow.{name}"] for name in _FLOW)) if "flow.forward" in arrays else None
    clip = Clip(
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
    return _spoken(clip, arrays, meta["rate"]) if "rate" in meta else clip


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
