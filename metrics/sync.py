"""Lip synchrony of real speech by SyncNet, by the protocol of its authors' program.

Mouth and sound are embedded in windows of five frames at 25 frames a second. For every shift of up
to 15 frames their distances are averaged over the video: Sync-D (LSE-D) is the least of these
means, Sync-C (LSE-C) their median less the least. Faces are the clip's face box as a square, where
the authors' program tracks them by a detector. Read them beside the ground truth's row: how near
real video comes depends on the footage.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.memo import Memo
from metrics.nets.syncnet import EXTRACTOR, FRAMES, SIDE, syncnet
from metrics.voices import driving_audio, face_boxes

if TYPE_CHECKING:
    import torch

SHIFT = 15  # frames
GROWTH = 0.4  # of half the face's box, on every side
_FPS = 25.0
_distances: Memo[np.ndarray] = Memo()  # both figures are read from the same distances


def squares(frames: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N, 224, 224, 3) uint8: the square about a box, grown, filled up with grey at the borders."""
    import cv2

    half = max(box[2] - box[0], box[3] - box[1]) / 2 * (1 + GROWTH)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    scale = SIDE / (2 * half)
    place = np.array([[scale, 0, SIDE / 2 - scale * x], [0, scale, SIDE / 2 - scale * y]])
    return np.stack(
        [cv2.warpAffine(frame, place, (SIDE, SIDE), borderValue=(110,) * 3) for frame in frames]
    )


def shifted_distances(mouths: torch.Tensor, sounds: torch.Tensor) -> np.ndarray:
    """(N, 2 * SHIFT + 1) distances of (N, D) mouths and sounds, shifted; zeros past the ends."""
    import torch
    from torch.nn import functional as F

    padded = F.pad(sounds, (0, 0, SHIFT, SHIFT))
    shifts = [padded[k : k + len(mouths)] for k in range(2 * SHIFT + 1)]
    return torch.stack([F.pairwise_distance(mouths, sound) for sound in shifts], dim=1).numpy()


class _Sync(Metric):
    extractor = EXTRACTOR.name
    citation = "Chung and Zisserman 2016 (SyncNet); LSE of Prajwal et al. 2020 (Wav2Lip)"

    @property
    def extractor_digest(self) -> str:
        """Digest of the weights; ``absent`` where they are not on this machine."""
        return EXTRACTOR.digest()

    def compute(self, sample: Sample) -> Score:
        network = syncnet()  # what is missing is said before what is undefined
        audio, boxes = driving_audio(sample), face_boxes(sample)
        if audio is None or boxes is None:
            return Score(None, reason="there is no sound to follow, or no face is known")
        if sample.clip.fps != _FPS or len(sample.frames) <= FRAMES:
            return Score(None, reason="SyncNet is defined for six frames and more, 25 a second")

        def measure() -> np.ndarray:
            mouths = network.mouths(squares(sample.frames, boxes[0]))
            return shifted_distances(mouths, network.sounds(audio.samples, len(mouths)))

        key = np.frombuffer(sample.frames.tobytes() + audio.samples.tobytes(), np.uint8)
        return self.judge(_distances.get(key, measure))

    @abstractmethod
    def judge(self, distances: np.ndarray) -> Score:
        """The figure of (N, shifts) distances."""


class SyncD(_Sync):
    """SyncNet's least mean distance of mouth and sound over all shifts (LSE-D)."""

    recipe = "sync_d@syncnet-v2"
    higher_is_better = False
    range = (0.0, 1e3)

    def judge(self, distances: np.ndarray) -> Score:
        best = int(distances.mean(axis=0).argmin())
        return Score(float(distances[:, best].mean()), tuple(distances[:, best]))


class SyncC(_Sync):
    """SyncNet's confidence: median over shifts of the mean distances, less the least (LSE-C)."""

    recipe = "sync_c@syncnet-v2"
    higher_is_better = True
    range = (-1e3, 1e3)

    def judge(self, distances: np.ndarray) -> Score:
        means = distances.mean(axis=0)
        # The lower of two middle values, as torch's median; there is one of an odd number.
        median = float(np.median(means))
        trace = median - distances[:, int(means.argmin())]
        return Score(median - float(means.min()), tuple(trace))
