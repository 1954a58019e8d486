"""How a portrait moves: its head, and what else its face does. Descriptions, never ranked.

A talking picture whose head and eyes never move is easily in step and looks dead; compare these
with the ground truth's.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from metrics.base import Metric, Sample, Score
from metrics.pixels import as_float
from metrics.voices import face_boxes

MARGIN = 4  # pixels around the face's box
STEPS = 10  # a pixel's parts that shifts are found to


def crop(frames: np.ndarray, box: np.ndarray, margin: int = 0) -> np.ndarray:
    """(N, h, w, 3) of frames in a box with a margin, as floats in [0, 1]."""
    height, width = frames.shape[1:3]
    x0, y0 = (max(0, int(v) - margin) for v in box[:2])
    x1, y1 = (int(np.ceil(v)) + margin for v in box[2:])
    return as_float(frames[:, y0 : min(height, y1), x0 : min(width, x1)])


def head_shifts(frames: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N, 2) pixels, y then x, by which the face of each frame lies off the first frame's."""
    grey = crop(frames, box, MARGIN).mean(axis=-1)
    window = np.outer(np.hanning(grey.shape[1]), np.hanning(grey.shape[2]))
    faded = (grey - grey.mean(axis=(1, 2), keepdims=True)) * window
    return np.stack(
        [
            -phase_cross_correlation(faded[0], one, upsample_factor=STEPS, normalization=None)[0]
            for one in faded
        ]
    )


def steadied(frames: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Frames moved so that the face stays where the first frame has it; (N, H, W, 3) floats."""
    shifts = head_shifts(frames, box)
    values = as_float(frames)
    return np.stack(
        [
            ndimage.shift(one, (-dy, -dx, 0), order=1, mode="nearest")
            for one, (dy, dx) in zip(values, shifts, strict=True)
        ]
    )


class _OfFace(Metric):
    higher_is_better = None

    def compute(self, sample: Sample) -> Score:
        boxes = face_boxes(sample)
        if boxes is None:
            return Score(None, reason="no boxes of face and lips are known for this clip")
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame does not move")
        values = self.trace(sample.frames, *boxes)
        return Score(float(values.mean()), tuple(values))

    @abstractmethod
    def trace(self, frames: np.ndarray, face: np.ndarray, lips: np.ndarray) -> np.ndarray:
        """(N,) or (N - 1,) figures of the frames."""


class HeadMotion(_OfFace):
    """Mean distance of the face from its mean place."""

    recipe = "head_motion@shift"
    unit = "pixels"
    range = (0.0, 1e4)
    citation = "phase correlation of the face with the first frame's (Guizar-Sicairos et al. 2008)"

    def trace(self, frames: np.ndarray, face: np.ndarray, lips: np.ndarray) -> np.ndarray:
        places = head_shifts(frames, face)
        return np.hypot(*(places - places.mean(axis=0)).T)


class Expression(_OfFace):
    """Mean change of the face's pixels off their mean, mouth left out, head motion taken out."""

    recipe = "expression@rgb"
    unit = "levels"
    range = (0.0, 255.0)
    citation = "temporal deviation of the steadied upper face: lids and brows"

    def trace(self, frames: np.ndarray, face: np.ndarray, lips: np.ndarray) -> np.ndarray:
        upper = np.array([face[0], face[1], face[2], lips[1] - 2])
        inside = crop(steadied(frames, face), upper)
        return 255 * np.abs(inside - inside.mean(axis=0)).mean(axis=(1, 2, 3))
