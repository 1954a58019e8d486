"""Frames that cannot be a result: not finite, black, constant, or frozen under a moving source."""

from __future__ import annotations

from typing import Any

import numpy as np

BLACK = 8  # of 255: no pixel is brighter
FLAT = 1.0  # standard deviation of a frame's pixels, of 255
MOVES = 1.0  # mean absolute difference of neighbouring source frames, of 255


class BadOutput(Exception):
    """The message is the cell's status."""


def check_finite(latents: Any) -> None:
    """Raise BadOutput if an array or tensor holds NaN or infinity."""
    finite = latents.isfinite() if hasattr(latents, "isfinite") else np.isfinite(latents)
    if not bool(finite.all()):
        raise BadOutput("not finite: the latents contain NaN or infinity")


def check_frames(frames: np.ndarray, source: np.ndarray) -> None:
    """Raise BadOutput if (N, H, W, 3) frames are no possible edit of the (N, H, W, 3) source."""
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        given = getattr(frames, "dtype", type(frames).__name__)
        raise BadOutput(f"not frames: uint8 expected, {given} given")
    if frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) != len(source):
        raise BadOutput(
            f"not frames: shape {(len(source), 'H', 'W', 3)} expected, {frames.shape} given"
        )
    if frames.max() < BLACK:
        raise BadOutput("black: no pixel is brighter than 8 of 255")
    if _flat(frames) and not _flat(source):
        raise BadOutput("constant: every frame is one colour")
    if len(frames) > 1 and (frames == frames[:1]).all() and _movement(source) > MOVES:
        raise BadOutput("frozen: all frames are equal though the source moves")


def _flat(frames: np.ndarray) -> bool:
    return bool((frames.std(axis=(1, 2)) < FLAT).all())


def _movement(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean())
