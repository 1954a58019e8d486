"""How much of a phrase's attention lies inside its boxes: what layout guidance works on.

A cheap inner proxy: it needs no detector, but says what the network looked at, not what it drew.
"""

from __future__ import annotations

import numpy as np

from data.clip import Region
from metrics.base import Metric, Sample, Score
from metrics.detectors import layout_of

TRACE = "attention"  # (steps, N, phrases, h, w) shares, as a method that watches keeps them


def inside(region: Region, height: int, width: int) -> np.ndarray:
    """(height, width) bool: cells whose centre lies in one of the region's boxes."""
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    mask = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in region.boxes:
        mask |= ((y >= y0) & (y < y1))[:, None] & (x >= x0) & (x < x1)
    return mask


class AttentionMass(Metric):
    """Share of each phrase's attention that falls inside its boxes, mean over phrases and steps."""

    recipe = "attention_mass@backbone"
    higher_is_better = True
    range = (0.0, 1.0)
    citation = "Chen et al. 2024, section 3.2: the ratio whose distance from 1 is the loss"

    def compute(self, sample: Sample) -> Score:
        layout = layout_of(sample)
        if not layout or not all(region.boxes for region in layout):
            return Score(None, reason="no boxes are asked")
        if TRACE not in sample.traces:
            return Score(None, reason="no attention was kept: name a block in setting 'watch'")
        kept = np.asarray(sample.traces[TRACE], np.float64)
        masks = np.stack([inside(region, *kept.shape[-2:]) for region in layout])
        share = (kept * masks).sum(axis=(-2, -1)) / kept.sum(axis=(-2, -1))
        values = tuple(share.mean(axis=(0, 2)))
        return Score(float(np.mean(values)), values)
