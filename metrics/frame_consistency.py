"""How alike the frames of a video are, by the embedded CLIP's image embeddings.

A frozen video is perfectly consistent: read these beside ``dynamic_degree``.
"""

from __future__ import annotations

import numpy as np

from metrics.base import Metric, Sample, Score
from metrics.extractors import world_clip, world_clip_digest


def similarities(frames: np.ndarray) -> np.ndarray:
    """(N, N) cosines between all frames of (N, H, W, 3)."""
    features = world_clip().encode_image(frames).double().numpy()
    return np.clip(features @ features.T, -1.0, 1.0)


class FrameConsistency(Metric):
    """Mean cosine of consecutive frames; 1 for a constant video."""

    recipe = "frame_consistency@world-tiny"
    higher_is_better = True
    range = (-1.0, 1.0)
    citation = "Tem-Con of Qi et al. 2023 (FateZero): consecutive frames; embedded CLIP"

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()

    def compute(self, sample: Sample) -> Score:
        if len(sample.frames) < 2:
            return Score(None, reason="a single frame has no consistency")
        cosines = np.diagonal(similarities(sample.frames), offset=1)
        return Score(float(cosines.mean()), tuple(cosines))


class FrameConsistencyPairs(Metric):
    """Mean cosine of all pairs of frames; 1 for a constant video."""

    recipe = "frame_consistency_pairs@world-tiny"
    higher_is_better = True
    range = (-1.0, 1.0)
    citation = "clip_score_frame of Wu et al. 2023 (TGVE): all pairs; embedded CLIP"

    @property
    def extractor_digest(self) -> str:
        return world_clip_digest()

    def compute(self, sample: Sample) -> Score:
        n = len(sample.frames)
        if n < 2:
            return Score(None, reason="a single frame has no consistency")
        cosines = similarities(sample.frames)
        others = (cosines.sum(axis=1) - np.diagonal(cosines)) / (n - 1)
        return Score(float(others.mean()), tuple(others))
