"""Sound, and the clips and edits that have it.

They are kinds of clip and edit of their own: methods that read no sound see what they always saw.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from data.clip import Clip, Edit

RATE = 16_000  # samples a second, what speech networks hear


@dataclass(frozen=True)
class Audio:
    """Sound of one channel."""

    samples: np.ndarray  # (S,) int16
    rate: int = RATE

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate

    @property
    def digest(self) -> str:
        """Hex SHA-256 of rate and samples."""
        samples = np.ascontiguousarray(self.samples, "<i2")
        return hashlib.sha256(f"{self.rate}".encode() + samples.tobytes()).hexdigest()

    def first(self, n_frames: int, fps: float) -> Audio:
        """What sounds during the first frames of a video; silence where it is shorter."""
        length = round(n_frames * self.rate / fps)
        cut = self.samples[:length]
        return Audio(np.pad(cut, (0, length - len(cut))), self.rate)


@dataclass(frozen=True)
class TalkingClip(Clip):
    """A portrait. ``masks`` and ``boxes`` are of the face (first) and of the lips."""

    audio: Audio | None = None  # the source's own sound
    opening: np.ndarray | None = None  # (N,) in [0, 1]: how far the mouth is open, where known
    landmarks: np.ndarray | None = None  # (N, P, 2) x, y in pixels, where known


@dataclass(frozen=True)
class SpokenEdit(Edit):
    """What a portrait is to say; ``prompt`` is its text or says what it is."""

    audio: Audio | None = None
    opening: np.ndarray | None = None  # (N,) in [0, 1]: the true answer's, where known


def audio_of(holder: Clip | Edit | None) -> Audio | None:
    """The sound of a clip or edit, if it has any."""
    return getattr(holder, "audio", None)
