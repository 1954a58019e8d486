"""How much the edited video moves, so that a frozen one is seen beside its consistency."""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.motion import dis_flow

_SHARE = 0.05  # of the pixels, the fastest


def motion_magnitude(frames: np.ndarray) -> np.ndarray:
    """(N - 1,) mean flow magnitude of the fastest 5 % of pixels, in pixels per frame."""
    forward, _ = dis_flow(frames)
    speed = np.sort(np.linalg.norm(forward, axis=-1).reshape(len(forward), -1), axis=1)
    fastest = max(1, round(_SHARE * speed.shape[1]))
    return speed[:, -fastest:].mean(axis=1).astype(np.float64)


class DynamicDegree(Metric):
    """Speed of the fastest 5 % of pixels, by DIS flow of the edited frames; 0 if frozen."""

    recipe = "dynamic_degree@dis"
    unit = "px/frame"
    higher_is_better = None
    range = (0.0, float("inf"))
    citation = "Huang et al. 2024 (VBench), dynamic degree before its threshold; OpenCV DIS flow"

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame does not move")
        if min(sample.frames.shape[1:3]) < 16:
            return Score(None, reason="frames are too small for optical flow")
        values = motion_magnitude(sample.frames)
        return Score(float(values.mean()), tuple(values))
