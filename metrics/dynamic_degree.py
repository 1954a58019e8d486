"""How much the edited video moves, so that a frozen one is seen beside its consistency."""

from __future__ import annotations

import numpy as np

from metrics.base import Sample, Score
from metrics.flow_metric import FlowMetric

_SHARE = 0.05  # of the pixels, the fastest


def motion_magnitude(flow: np.ndarray) -> np.ndarray:
    """(M,) mean speed of the fastest 5 % of pixels of (M, H, W, 2) flow, in pixels per frame."""
    speed = np.sort(np.linalg.norm(flow, axis=-1).reshape(len(flow), -1), axis=1)
    fastest = max(1, round(_SHARE * speed.shape[1]))
    return speed[:, -fastest:].mean(axis=1).astype(np.float64)


class DynamicDegree(FlowMetric):
    """Speed of the fastest 5 % of pixels, by the flow of the edited frames; 0 if frozen."""

    name = "dynamic_degree"
    unit = "px/frame"
    higher_is_better = None
    range = (0.0, float("inf"))
    citation = "Huang et al. 2024 (VBench), dynamic degree before its threshold, by this flow"

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame does not move")
        problem = self.too_small(sample.frames)
        if problem:
            return Score(None, reason=problem)
        values = motion_magnitude(self.flow(sample.frames)[0])
        return Score(float(values.mean()), tuple(values))
