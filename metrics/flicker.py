"""How much pixels change from frame to frame; motion counts too, so it is only a description."""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.pixels import as_float


def flicker(frames: np.ndarray) -> np.ndarray:
    """(N - 1,) mean absolute differences of adjacent frames, in 8-bit levels."""
    values = 255 * as_float(frames)
    return np.abs(values[1:] - values[:-1]).mean(axis=(1, 2, 3))


class Flicker(Metric):
    """Mean absolute difference of adjacent frames; 0 for a constant video."""

    recipe = "flicker@rgb"
    unit = "levels"
    higher_is_better = None
    range = (0.0, 255.0)
    citation = "Huang et al. 2024 (VBench), temporal flickering, as levels of 255 and not inverted"

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame cannot flicker")
        values = flicker(sample.frames)
        return Score(float(values.mean()), tuple(values))
