"""Clips as cells and metrics use them: loaded once, cut to the frames asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from data.clip import Clip, Edit, Flow
from data.speech import audio_of
from experiments.cells import ClipRef


def first_frames(clip: Clip, n: int) -> Clip:
    """The first ``n`` frames of a clip, with all that is known of them.

    Raises ValueError if the clip is shorter.
    """
    if n > len(clip.frames):
        raise ValueError(f"clip '{clip.id}' has {len(clip.frames)} frames, {n} asked for")
    if n == len(clip.frames):
        return clip
    edits = {name: _first_of_edit(edit, n, clip.fps) for name, edit in clip.edits.items()}
    return replace(
        clip,
        frames=clip.frames[:n],
        masks=_cut(clip.masks, n),
        boxes=_cut(clip.boxes, n),
        flow=_first_of_flow(clip.flow, n),
        edits=edits,
        **_first_of_sound(clip, n, clip.fps),
    )


def _cut(tracks: np.ndarray | None, n: int) -> np.ndarray | None:
    return None if tracks is None else tracks[:, :n]


def _first_of_edit(edit: Edit, n: int, fps: float) -> Edit:
    oracle = None if edit.oracle is None else edit.oracle[:n]
    masks, sound = _cut(edit.oracle_masks, n), _first_of_sound(edit, n, fps)
    return replace(edit, oracle=oracle, oracle_masks=masks, **sound)


def _first_of_sound(holder: Clip | Edit, n: int, fps: float) -> dict[str, Any]:
    """What only clips and edits with sound have, cut."""
    audio = audio_of(holder)
    cut = {"audio": audio.first(n, fps)} if audio else {}
    for name in ("opening", "landmarks"):
        if getattr(holder, name, None) is not None:
            cut[name] = getattr(holder, name)[:n]
    return cut


def _first_of_flow(flow: Flow | None, n: int) -> Flow | None:
    if flow is None:
        return None
    return Flow(
        flow.forward[: n - 1],
        flow.backward[: n - 1],
        flow.occluded_forward[: n - 1],
        flow.occluded_backward[: n - 1],
    )


def clip_loader(dataset: Callable[[str], Any], keep: int = 4) -> Callable[[ClipRef], Clip]:
    """A function that loads clips, keeping the last few."""

    @lru_cache(maxsize=keep)
    def load(ref: ClipRef) -> Clip:
        return first_frames(dataset(ref.dataset).clip(ref.clip), ref.frames)

    return load
