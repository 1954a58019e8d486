"""A dataset of three tiny clips, with which the engine is tested by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from data.clip import Clip, Edit
from data.digest import clip_digest, edit_digest, frames_digest
from data.source import EditSummary

N, SIZE = 4, 16
EDITS = {"colour": "a blue disc", "shape": "a red square"}
CLIPS = ("disc", "ring", "still")


def make_clip(name: str) -> Clip:
    """Noise that moves one pixel per frame; the clip ``still`` has no edits."""
    rng = np.random.default_rng(CLIPS.index(name))
    first = rng.integers(40, 220, (SIZE, SIZE, 3), dtype=np.uint8)
    frames = np.stack([np.roll(first, shift, axis=1) for shift in range(N)])
    edits = {
        key: Edit(key, key, prompt, (("red", "blue"),), 255 - frames if key == "colour" else None)
        for key, prompt in ({} if name == "still" else EDITS).items()
    }
    return Clip(name, "toys", frames, f"a red {name}", edits=edits)


class FakeDataset:
    """Three tiny clips."""

    name = "toys"
    clip_ids = list(CLIPS)

    def clip(self, clip_id: str) -> Clip:
        return make_clip(clip_id)

    def summary(self, clip_id: str) -> Any:
        clip = make_clip(clip_id)
        return SimpleNamespace(
            n_frames=N,
            prompt=clip.prompt,
            edits={
                e.id: EditSummary(e.kind, e.prompt, e.words, e.oracle is not None)
                for e in clip.edits.values()
            },
            digest=clip_digest(frames_digest(clip.frames), clip.prompt),
            edit_digests={
                e.id: edit_digest(
                    e.prompt, e.words, None if e.oracle is None else frames_digest(e.oracle)
                )
                for e in clip.edits.values()
            },
        )
