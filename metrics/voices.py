"""What the metrics of talking portraits share: who speaks what, and where the face is."""

from __future__ import annotations

import numpy as np

from data.portraits.face import SIZE
from data.speech import Audio, audio_of
from metrics.base import Sample


def driving_audio(sample: Sample) -> Audio | None:
    """The sound that the frames are to follow: the edit's, or the clip's own without an edit."""
    return audio_of(sample.edit if sample.edit is not None else sample.clip)


def known_opening(sample: Sample) -> np.ndarray | None:
    """(N,) how far the mouth is to be open, where the portrait world knows it."""
    return getattr(sample.edit if sample.edit is not None else sample.clip, "opening", None)


def unreadable(sample: Sample) -> str:
    """Why the portrait world's analyser cannot read the frames; empty if it can."""
    if driving_audio(sample) is None:
        return "there is no sound to follow"
    if known_opening(sample) is None or sample.frames.shape[1:3] != (SIZE, SIZE):
        return "the analyser reads the portrait world's faces only"
    if len(known_opening(sample)) != len(sample.frames):
        return "frames and sound differ in length"
    return ""


def face_boxes(sample: Sample) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes of face and lips in the clip's first frame, x0, y0, x1, y1 in pixels, where known."""
    boxes = sample.clip.boxes
    if boxes is None or len(boxes) != 2 or audio_of_any(sample) is None:
        return None
    return boxes[0, 0], boxes[1, 0]


def audio_of_any(sample: Sample) -> Audio | None:
    """The edit's sound or the clip's: what makes a portrait of a clip."""
    return audio_of(sample.edit) or audio_of(sample.clip)


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's correlation of two series; None where one of them is constant."""
    if a.std() < 1e-6 or b.std() < 1e-6:
        return None
    return float(np.corrcoef(a, b)[0, 1])
